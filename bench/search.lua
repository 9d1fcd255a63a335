-- wrk script: each request asks the next question of QUERIES against ROUTE; prints one JSON line.
local bodies, at = {}, 0
for line in io.lines(os.getenv("QUERIES")) do
	bodies[#bodies + 1] = '{"query":"' .. line:gsub('[\\"]', "\\%0") .. '","n":10}'
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

request = function()
	at = at % #bodies + 1
	return wrk.format(nil, nil, nil, bodies[at])
end

done = function(summary, latency)
	local e = summary.errors
	local line = '\n{"queries_per_second":%.2f,"p50_ms":%.3f,"p95_ms":%.3f,"errors":%d}\n'
	io.write(string.format(line, summary.requests / (summary.duration / 1e6),
		latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
		e.status + e.connect + e.read + e.timeout))
end

#include "http/route.h"

#include <stdio.h>

#include "base/utf8.h"

/* Up to the next slash, or all of it. */
static struct span component(struct span path)
{
	const char *slash = path.bytes > 0 ? memchr(path.data, '/', path.bytes) : NULL;
	return slash != NULL ? span_slice(path, 0, (size_t)(slash - path.data)) : path;
}

bool route_match(const char *pattern, struct span path, struct span ret_params[HTTP_PARAMS_MAX])
{
	struct span left = span_of(pattern);
	size_t count = 0;
	for (;;) {
		if (left.bytes == 0 || path.bytes == 0)
			return left.bytes == path.bytes;
		if (left.data[0] != '/' || path.data[0] != '/')
			return false;
		left = span_slice(left, 1, left.bytes);
		path = span_slice(path, 1, path.bytes);
		struct span want = component(left);
		struct span have = component(path);
		if (want.bytes > 0 && want.data[0] == '{') {
			if (span_slice(want, want.bytes - 2, want.bytes).data[0] == '*')
				have = path;
			if (have.bytes == 0 || count == HTTP_PARAMS_MAX)
				return false;
			ret_params[count++] = have;
		} else if (!span_equal(want, have)) {
			return false;
		}
		left = span_slice(left, want.bytes, left.bytes);
		path = span_slice(path, have.bytes, path.bytes);
	}
}

static bool method_serves(const char *route, const char *method)
{
	return strcmp(route, method) == 0 ||
	       (strcmp(route, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void allow_add(char *allow, size_t allow_bytes, const char *method)
{
	size_t used = strlen(allow);
	const char *comma = used > 0 ? ", " : "";
	const char *also = strcmp(method, "GET") == 0 ? ", HEAD" : "";
	snprintf(allow + used, allow_bytes - used, "%s%s%s", comma, method, also);
}

const struct http_route *route_find(const struct http_options *options, const char *method,
				    struct span path, struct span ret_params[HTTP_PARAMS_MAX],
				    char *allow, size_t allow_bytes)
{
	allow[0] = '\0';
	for (size_t i = 0; i < options->route_count; i++) {
		const struct http_route *route = &options->routes[i];
		struct span params[HTTP_PARAMS_MAX] = {{NULL, 0}};
		if (!route_match(route->pattern, path, params))
			continue;
		if (method_serves(route->method, method)) {
			memcpy(ret_params, params, sizeof(params));
			return route;
		}
		allow_add(allow, allow_bytes, route->method);
	}
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

status url_decode(struct mem_scope *scope, struct span raw, bool plus, struct span *ret_text,
		  struct fault *reterr)
{
	char *out = mem_new_array(scope, char, raw.bytes + 1);
	if (out == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to decode the address");
	size_t bytes = 0;
	for (size_t i = 0; i < raw.bytes; i++) {
		char c = raw.data[i];
		if (c == '%') {
			int high = i + 1 < raw.bytes ? hex_digit(raw.data[i + 1]) : -1;
			int low = i + 2 < raw.bytes ? hex_digit(raw.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return fault_set(
					reterr, ST_INVALID,
					"the address holds a broken %%-escape: write %%XX with "
					"two hexadecimal digits");
			c = (char)(high * 16 + low);
			i += 2;
			if (c == '\0')
				return fault_set(reterr, ST_INVALID, "the address holds %%00");
		} else if (plus && c == '+') {
			c = ' ';
		}
		out[bytes++] = c;
	}
	struct span text = {out, bytes};
	if (!utf8_is_valid(text))
		return fault_set(reterr, ST_INVALID,
				 "the address is not UTF-8: percent-encode names as UTF-8");
	*ret_text = text;
	return ST_OK;
}

/* The whole server in this process: real socket, real catalogue, real knowledge bases (full text
 * only, so that no model is needed), real children for parsing and ingest. */
#include "api/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/size.h"
#include "doc/doc.h"
#include "mem/faults.h"
#include "qa/ingest.h"
#include "rt/clock.h"
#include "rt/json.h"
#include "store/store.h"

enum { ANSWER_BYTES = 1024 * 1024 };

/* ---- the child: the real ingest, but for the names that ask for trouble ---- */

static int ingest_worker(char **argv)
{
	const char *data = argv[3], *kb = argv[5], *upload = argv[7], *name = argv[9];
	if (strcmp(name, "crash.txt") == 0)
		return 99;
	if (strcmp(name, "sleep.txt") == 0)
		sleep(60);
	struct service_options options = {.data = data, .no_generate = true};
	struct service *s = NULL;
	struct ingest_options ingest = {0};
	struct ingest_result result = {0};
	struct fault fault = {0};
	status st = service_open(mem_scope_root(), &options, &s, &fault);
	if (st == ST_OK)
		st = ingest_add_upload(s, kb, upload, name, &ingest, &result, &fault);
	service_close(s);
	printf("{\"event\":\"progress\",\"file\":\"x\",\"bytes_done\":1,\"bytes\":2,\"chunks\":1}\n"
	       "{\"event\":\"done\",\"added\":%d,\"skipped\":0,\"failed\":%d,\"chunks\":%d,"
	       "\"status\":\"%s\",\"error\":%s}\n",
	       (int)result.added, (int)result.failed, (int)result.chunks, status_name(st),
	       st == ST_OK && result.failed == 0 ? "null" : "\"it was refused\"");
	return 0;
}

/* ---- server and client ---- */

static char folder[64];
static struct service *service;
static struct api *api;
static int http_status;

static void start(void)
{
	struct fault fault = {0};
	struct service_options options = {
		.data = folder, .create = true, .serving = true, .no_generate = true};
	struct api_options listen = {.listen = "127.0.0.1:0"};
	if (service_open(mem_scope_root(), &options, &service, &fault) != ST_OK ||
	    api_open(mem_scope_root(), service, &listen, &api, &fault) != ST_OK)
		fail_msg("%s", fault.text);
}

static void stop(void)
{
	api_close(api, 1000);
	service_close(service);
}

static int dial(void)
{
	const char *colon = strrchr(api_address(api), ':');
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval limit = {.tv_sec = 20};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* The body of the answer, or all of it with `whole`. */
static const char *talk(const char *head, const char *body, bool whole)
{
	static char text[ANSWER_BYTES];
	int fd = dial();
	int n = snprintf(text, sizeof(text),
			 "%s\r\nHost: t\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
			 head, strlen(body), body);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	size_t bytes = 0;
	for (;;) {
		ssize_t got = recv(fd, text + bytes, sizeof(text) - 1 - bytes, 0);
		if (got > 0)
			bytes += (size_t)got;
		else if (got == 0 || errno != EINTR) /* SIGCHLD of an ingest worker */
			break;
	}
	text[bytes] = '\0';
	close(fd);
	http_status = bytes > 12 ? (int)strtol(text + 9, NULL, 10) : 0;
	char *end = strstr(text, "\r\n\r\n");
	return whole || end == NULL ? text : end + 4;
}

static const char *ask(const char *request, const char *body)
{
	char head[1024];
	snprintf(head, sizeof(head), "%s HTTP/1.1", request);
	return talk(head, body, false);
}

static struct json *ask_json(int want, const char *request, const char *body)
{
	const char *answer = ask(request, body);
	struct json *root = NULL;
	struct fault fault = {0};
	if (http_status != want || json_parse(span_of(answer), &root, &fault) != ST_OK)
		fail_msg("%s: expected %d, got %d: %s", request, want, http_status, answer);
	return root;
}

static void expect_error(int want, const char *request, const char *body, const char *inside)
{
	struct json *root = ask_json(want, request, body);
	const struct json *error = json_get(root, "error");
	struct span message = json_text(json_get(error, "message"));
	assert_int_equal(json_count(error), 4);
	assert_true(json_get(error, "type") && json_get(error, "param") && json_get(error, "code"));
	if (memmem(message.data, message.bytes, inside, strlen(inside)) == NULL)
		fail_msg("%s: expected '%s' in '%.*s'", request, inside, SPAN_ARG(message));
	json_free(root);
}

static void make_kb(const char *name)
{
	char body[200];
	snprintf(body, sizeof(body), "{\"name\":\"%s\",\"description\":\"d\",\"model\":\"none\"}",
		 name);
	json_free(ask_json(201, "POST /api/v1/kbs", body));
}

static int64_t upload(const char *kb, const char *name, const char *content)
{
	char head[300], body[4000];
	snprintf(head, sizeof(head),
		 "POST /api/v1/kbs/%s/files HTTP/1.1\r\n"
		 "Content-Type: multipart/form-data; boundary=xyz",
		 kb);
	snprintf(body, sizeof(body),
		 "--xyz\r\nContent-Disposition: form-data; name=\"file\"; "
		 "filename=\"%s\"\r\n\r\n%s\r\n--xyz--\r\n",
		 name, content);
	const char *answer = talk(head, body, false);
	struct json *root = NULL;
	if (http_status != 202 || json_parse(span_of(answer), &root, NULL) != ST_OK)
		fail_msg("upload: %d %s", http_status, answer);
	int64_t id = json_int(json_get(root, "job"), 0);
	json_free(root);
	assert_true(id > 0);
	return id;
}

/* Wait until the job has this state. */
static void job_becomes(int64_t id, const char *state)
{
	char request[64], last[64] = "";
	snprintf(request, sizeof(request), "GET /api/v1/jobs/%lld", (long long)id);
	for (uint64_t end = clock_ms() + 20000; clock_ms() < end; usleep(50000)) {
		struct json *job = ask_json(200, request, "");
		snprintf(last, sizeof(last), "%.*s", SPAN_ARG(json_text(json_get(job, "state"))));
		json_free(job);
		if (strcmp(last, state) == 0)
			return;
	}
	fail_msg("job %lld is %s, not %s", (long long)id, last, state);
}

static const char guide[] = "# 保修\n\n保修期为三年，自购买之日起计算。\n\n# Returns\n\n"
			    "Goods can be returned within 14 days of the purchase.\n";

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/plimsoll-api-XXXXXX");
	/* Whatever models this machine has are none of this test's business. */
	if (mkdtemp(folder) == NULL || setenv("PLIMSOLL_CACHE", folder, 1) != 0)
		return -1;
	start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop();
	assert_int_equal(mem_account_stat(mem_account_root()).live, 0);
	return dir_remove(folder, NULL) == ST_OK ? 0 : -1;
}

/* ---- tests ---- */

static void test_api__knowledge_bases_come_and_go(void **state)
{
	(void)state;
	make_kb("book");
	make_kb("手册");
	expect_error(409, "POST /api/v1/kbs", "{\"name\":\"book\",\"model\":\"none\"}", "book");
	expect_error(400, "POST /api/v1/kbs", "{\"name\":\"../x\"}", "name must be");
	expect_error(400, "POST /api/v1/kbs", "{\"name\":7}", "name must be a string");
	expect_error(400, "POST /api/v1/kbs", "{}", "name is missing");
	expect_error(400, "POST /api/v1/kbs", "[]", "JSON object");
	expect_error(400, "POST /api/v1/kbs", "{\"name\":", "not JSON");
	expect_error(400, "POST /api/v1/kbs", "", "empty");
	struct json *list = ask_json(200, "GET /api/v1/kbs", "");
	assert_int_equal(json_count(json_get(list, "kbs")), 2);
	json_free(list);
	struct json *kb = ask_json(200, "GET /api/v1/kbs/%E6%89%8B%E5%86%8C", "");
	assert_true(span_equal(json_text(json_get(kb, "name")), SPAN("手册")));
	json_free(kb);
	list = ask_json(200, "GET /v1/models", "");
	assert_true(json_count(json_get(list, "data")) >= 2);
	json_free(list);
	json_free(ask_json(200, "GET /v1/models/book", ""));
	expect_error(404, "GET /v1/models/none-such", "", "no such model");
	json_free(ask_json(200, "DELETE /api/v1/kbs/book", ""));
	expect_error(404, "GET /api/v1/kbs/book", "", "book");
	expect_error(404, "DELETE /api/v1/kbs/book", "", "book");
	expect_error(404, "GET /api/v1/kbs/..", "", "");
	expect_error(404, "GET /api/v1/kbs/%2E%2E%2Fx", "", "name");
	expect_error(405, "PUT /api/v1/kbs", "", "method");
}

static void test_api__a_file_goes_in_is_found_and_goes_out(void **state)
{
	(void)state;
	make_kb("book");
	int64_t id = upload("book", "指南/terms.md", guide);
	job_becomes(id, "done");
	struct json *files = ask_json(200, "GET /api/v1/kbs/book/files", "");
	assert_int_equal(json_count(json_get(files, "files")), 1);
	json_free(files);
	struct json *found =
		ask_json(200, "POST /api/v1/kbs/book/search", "{\"query\":\"保修期多久\",\"n\":1}");
	const struct json *hit = json_at(json_get(found, "hits"), 0);
	assert_true(span_equal(json_text(json_get(hit, "file")), SPAN("指南/terms.md")));
	json_free(found);

	const char *path = "GET /api/v1/kbs/book/files/%E6%8C%87%E5%8D%97/terms.md";
	char head[200];
	snprintf(head, sizeof(head), "%s HTTP/1.1", path);
	const char *answer = talk(head, "", true);
	assert_int_equal(http_status, 200);
	assert_non_null(
		strstr(answer, "Content-Disposition: attachment; filename*=UTF-8''terms.md"));
	assert_non_null(strstr(answer, "Content-Type: text/plain"));
	assert_non_null(strstr(answer, "X-Content-Type-Options: nosniff"));
	assert_non_null(strstr(answer, guide));
	snprintf(head, sizeof(head), "%s?text=1", path);
	assert_non_null(strstr(ask(head, ""), "保修期为三年"));
	expect_error(404, "GET /api/v1/kbs/book/files/none.md", "", "");
	ask("GET /api/v1/kbs/book/files/..%2F..%2F..%2Fcatalogue.sqlite", "");
	assert_true(http_status == 400 || http_status == 404);
	ask("GET /api/v1/kbs/book/files/../../../catalogue.sqlite", "");
	assert_true(http_status == 400 || http_status == 404);

	json_free(ask_json(200, "DELETE /api/v1/kbs/book/files/%E6%8C%87%E5%8D%97/terms.md", ""));
	found = ask_json(200, "POST /api/v1/kbs/book/search", "{\"query\":\"保修期多久\"}");
	assert_int_equal(json_count(json_get(found, "hits")), 0);
	json_free(found);
	expect_error(404, "DELETE /api/v1/kbs/book/files/none.md", "", "");
}

static void test_api__bad_uploads_are_refused_at_once(void **state)
{
	(void)state;
	make_kb("book");
	const char *form =
		"POST /api/v1/kbs/book/files HTTP/1.1\r\nContent-Type: multipart/form-data; "
		"boundary=xyz";
#define FORM(field, name)                                                                          \
	"--xyz\r\nContent-Disposition: form-data; name=\"" field "\"; filename=\"" name            \
	"\"\r\n\r\nx\r\n--xyz--\r\n"
	static const struct {
		const char *body;
		int code;
		const char *text;
	} bad[] = {
		{FORM("file", "../../x.txt"), 400, "cannot be a file's name"},
		{FORM("file", "/etc/x.txt"), 400, "cannot be a file's name"},
		{FORM("file", "x.exe"), 415, "not read"},
		{FORM("data", "x.txt"), 400, "use the field 'file'"},
		{"--xyz--\r\n", 400, "no file came"},
	};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		const char *answer = talk(form, bad[i].body, false);
		if (http_status != bad[i].code || strstr(answer, bad[i].text) == NULL)
			fail_msg("%zu: %d %s", i, http_status, answer);
	}
	talk("POST /api/v1/kbs/none/files HTTP/1.1\r\nContent-Type: multipart/form-data; "
	     "boundary=xyz",
	     FORM("file", "x.txt"), false);
	assert_int_equal(http_status, 404);
	/* Nothing of all that stays on disk. */
	char path[128];
	snprintf(path, sizeof(path), "%s/temp/uploads", folder);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void test_api__a_crashing_worker_is_tried_three_times(void **state)
{
	(void)state;
	make_kb("book");
	int64_t id = upload("book", "crash.txt", "x");
	job_becomes(id, "failed");
	char request[64];
	snprintf(request, sizeof(request), "GET /api/v1/jobs/%lld", (long long)id);
	struct json *job = ask_json(200, request, "");
	assert_int_equal(json_int(json_get(job, "attempts"), 0), 3);
	assert_non_null(json_text(json_get(job, "error")).data);
	json_free(job);
	/* The next one is not harmed, and a file that is no text fails with a reason. */
	job_becomes(upload("book", "good.txt", guide), "done");
	job_becomes(upload("book", "empty.txt", ""), "failed");
}

static void test_api__jobs_can_be_cancelled_and_followed(void **state)
{
	(void)state;
	make_kb("book");
	int64_t running = upload("book", "sleep.txt", "x");
	int64_t waiting = upload("book", "later.txt", "x");
	job_becomes(running, "running");
	char request[64];
	snprintf(request, sizeof(request), "DELETE /api/v1/jobs/%lld", (long long)waiting);
	json_free(ask_json(200, request, ""));
	job_becomes(waiting, "cancelled");
	expect_error(409, request, "", "ended");
	snprintf(request, sizeof(request), "DELETE /api/v1/jobs/%lld", (long long)running);
	json_free(ask_json(202, request, ""));
	job_becomes(running, "cancelled");
	expect_error(404, "GET /api/v1/jobs/999", "", "no such job");
	expect_error(404, "GET /api/v1/jobs/1x", "", "no such job");

	int64_t id = upload("book", "good.txt", guide);
	char head[160];
	snprintf(head, sizeof(head), "GET /api/v1/jobs/%lld HTTP/1.1\r\nAccept: text/event-stream",
		 (long long)id);
	const char *events = talk(head, "", true);
	assert_non_null(strstr(events, "Content-Type: text/event-stream"));
	if (strstr(events, "event: end\ndata: {") == NULL)
		fail_msg("%s", events);
	assert_non_null(strstr(events, "\"state\":\"done\""));
}

static void test_api__a_job_waits_while_another_process_writes(void **state)
{
	(void)state;
	make_kb("book");
	struct kb_writer *writer = NULL;
	struct fault fault = {0};
	assert_int_equal(
		kb_writer_open(mem_scope_root(), service_kb_root(service), "book", &writer, &fault),
		ST_OK);
	int64_t id = upload("book", "good.txt", guide);
	usleep(2500000); /* tried twice or thrice meanwhile, and put back each time */
	kb_writer_close(writer);
	job_becomes(id, "done");
	char request[64];
	snprintf(request, sizeof(request), "GET /api/v1/jobs/%lld", (long long)id);
	struct json *job = ask_json(200, request, "");
	assert_int_equal(json_int(json_get(job, "attempts"), 0), 1); /* waiting costs none */
	json_free(job);
}

static void test_api__a_running_job_goes_on_after_a_restart(void **state)
{
	(void)state;
	make_kb("book");
	int64_t id = upload("book", "sleep.txt", "x");
	job_becomes(id, "running");
	stop();
	struct store *store = NULL;
	struct job job;
	struct fault fault = {0};
	assert_int_equal(store_open(mem_scope_root(), folder, &store, &fault), ST_OK);
	assert_int_equal(store_job_get(store, id, &job, &fault), ST_OK);
	store_close(store);
	assert_int_equal(job.state, JOB_QUEUED);
	assert_int_equal(job.attempts, 0);
	start();
	job_becomes(id, "running"); /* its upload has survived the sweep */
}

/* ---- chat ---- */

static void test_api__chat_quotes_with_sources(void **state)
{
	(void)state;
	make_kb("book");
	job_becomes(upload("book", "terms.md", guide), "done");
	struct json *a =
		ask_json(200, "POST /v1/chat/completions",
			 "{\"model\":\"book\",\"session_id\":\"s1\",\"messages\":[{\"role\":"
			 "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Goods can be "
			 "returned within 14 days of the purchase\"}]}]}");
	const struct json *choice = json_at(json_get(a, "choices"), 0);
	const struct json *message = json_get(choice, "message");
	struct span text = json_text(json_get(message, "content"));
	if (memmem(text.data, text.bytes, "14 days", 7) == NULL)
		fail_msg("%.*s", SPAN_ARG(text));
	assert_true(span_equal(json_text(json_get(a, "object")), SPAN("chat.completion")));
	assert_true(span_equal(json_text(json_get(a, "model")), SPAN("book")));
	assert_true(span_equal(json_text(json_get(a, "session_id")), SPAN("s1")));
	assert_true(span_equal(json_text(json_get(a, "mode")), SPAN("extractive")));
	assert_true(span_equal(json_text(json_get(choice, "finish_reason")), SPAN("stop")));
	const struct json *citations = json_get(json_get(message, "context"), "citations");
	assert_true(json_count(citations) >= 1);
	struct span cited = json_text(json_get(json_at(citations, 0), "text"));
	int64_t from = json_int(json_get(json_at(citations, 0), "start"), -1);
	assert_true(from >= 0 && memcmp(guide + from, cited.data, cited.bytes) == 0);
	const struct json *note =
		json_get(json_at(json_get(message, "annotations"), 0), "url_citation");
	assert_true(span_equal(json_text(json_get(note, "url")),
			       SPAN("/api/v1/kbs/book/files/terms.md")));
	assert_non_null(json_get(json_get(a, "usage"), "total_tokens"));
	json_free(a);
}

static void test_api__chat_streams_in_openai_chunks(void **state)
{
	(void)state;
	make_kb("book");
	job_becomes(upload("book", "terms.md", guide), "done");
	const char *text =
		talk("POST /v1/chat/completions HTTP/1.1",
		     "{\"model\":\"x\",\"kb\":\"book\",\"stream\":true,\"stream_options\":"
		     "{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":"
		     "\"Goods can be returned within 14 days of the purchase\"}]}",
		     true);
	assert_int_equal(http_status, 200);
	static const char *const parts[] = {
		"Cache-Control: no-cache",
		"X-Accel-Buffering: no",
		"\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"context\":{\"citations\":[{",
		"\"finish_reason\":null}],\"usage\":null}",
		"14 days",
		"\"annotations\":[{",
		"\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}",
		"\"choices\":[],\"usage\":{",
		"data: [DONE]\n\n"};
	const char *at = text;
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		const char *next = strstr(i < 2 ? text : at, parts[i]);
		if (next == NULL)
			fail_msg("no %s after: %s", parts[i], at);
		at = i < 2 ? at : next;
	}
	/* What fails before the first chunk is a plain error. */
	expect_error(
		404, "POST /v1/chat/completions",
		"{\"model\":\"none\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
		"\"x\"}]}",
		"none");
}

static void test_api__wrong_fields_are_named(void **state)
{
	(void)state;
	make_kb("book");
	static const char *const bad[][2] = {
		{"{\"messages\":[]}", "model is missing"},
		{"{\"model\":\"book\"}", "messages is missing"},
		{"{\"model\":\"book\",\"messages\":[]}", "messages must not be empty"},
		{"{\"model\":\"book\",\"messages\":\"hi\"}", "messages must be an array"},
		{"{\"model\":\"book\",\"messages\":[7]}", "messages[0] must be an object"},
		{"{\"model\":\"book\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{"
		 "\"role\":\"cat\","
		 "\"content\":\"b\"}]}",
		 "messages[1].role must be one of"},
		{"{\"model\":\"book\",\"messages\":[{\"role\":\"user\"}]}",
		 "messages[0].content is missing"},
		{"{\"model\":\"book\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
		 "\"image_url\"}]"
		 "}]}",
		 "messages[0].content[0].type must be"},
		{"{\"model\":\"book\",\"temperature\":9,\"messages\":[{\"role\":\"user\","
		 "\"content\":\"a\"}]}",
		 "temperature must be from 0 to 2"},
		{"{\"model\":\"book\",\"n\":0,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"
		 "}",
		 "n must be from 1"},
		{"{\"model\":\"book\",\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
		 "last message must be the user's"},
	};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		expect_error(400, "POST /v1/chat/completions", bad[i][0], bad[i][1]);
	expect_error(400, "POST /api/v1/kbs/book/search", "{\"query\":\"\"}",
		     "query must not be empty");
	expect_error(400, "POST /api/v1/kbs/book/search", "{\"query\":\"x\",\"n\":1000}",
		     "n must be");
	expect_error(400, "POST /api/v1/kbs/book/search", "{\"query\":\"x\",\"arm\":\"leg\"}",
		     "arm must");
	expect_error(404, "POST /api/v1/kbs/none/search", "{\"query\":\"x\"}", "none");
	expect_error(400, "POST /v1/embeddings", "{\"model\":\"m\",\"input\":[[1,2]]}",
		     "token numbers");
	expect_error(400, "POST /v1/embeddings", "{\"model\":\"m\",\"input\":[\"a\",\"\"]}",
		     "input[1]");
	expect_error(400, "POST /v1/embeddings", "{\"model\":\"m\"}", "input is missing");
}

static void test_api__memory_returns_after_ten_thousand_requests(void **state)
{
	(void)state;
	static const char *const bodies[][2] = {
		{"GET /health", ""},
		{"POST /api/v1/kbs/book/search", "{\"query\":\"returned purchase\"}"},
		{"GET /api/v1/kbs/book/files", ""},
		{"GET /nowhere", ""},
		{"POST /v1/chat/completions", "{\"model\":"},
	};
	make_kb("book");
	job_becomes(upload("book", "terms.md", guide), "done");
	for (size_t i = 0; i < 50; i++) /* what is opened once is open now */
		ask(bodies[i % 5][0], bodies[i % 5][1]);
	usleep(100000);
	size_t before = mem_account_stat(mem_account_root()).live;
	uint64_t start_ms = clock_ms();
	for (size_t i = 0; i < 10000; i++)
		ask(bodies[i % 5][0], bodies[i % 5][1]);
	size_t after = 0;
	for (int i = 0; i < 100; i++) {
		after = mem_account_stat(mem_account_root()).live;
		if (after == before)
			break;
		usleep(10000);
	}
	printf("10000 requests in %d ms; live account bytes before %zu, after %zu\n",
	       (int)(clock_ms() - start_ms), before, after);
	assert_int_equal(after, before);
}

/* Each allocation of each kind of request fails in turn: an answer with a reason, or a closed line
 * where not even that was possible; never a crash, and every byte comes back. */
static void test_api__every_allocation_may_fail(void **state)
{
	(void)state;
	static const char *const requests[][2] = {
		{"POST /api/v1/kbs/book/search", "{\"query\":\"returned purchase\"}"},
		{"GET /api/v1/kbs/book/files", ""},
		{"GET /api/v1/kbs", ""},
		{"POST /v1/chat/completions",
		 "{\"model\":\"book\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
		 "\"Goods can be returned within 14 days of the purchase\"}]}"},
	};
	make_kb("book");
	job_becomes(upload("book", "terms.md", guide), "done");
	for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
		ask(requests[i][0], requests[i][1]);
		usleep(20000);
		size_t before = mem_account_stat(mem_account_root()).live;
		for (uint64_t n = 1; n < 3000; n++) {
			mem_fault_arm(MEM_FAULT_ALLOC, n, false);
			ask(requests[i][0], requests[i][1]);
			uint64_t fired = mem_fault_fired(MEM_FAULT_ALLOC);
			mem_fault_disarm(MEM_FAULT_ALLOC);
			if (http_status != 200 && http_status != 503 && http_status != 0)
				fail_msg("%s, allocation %d: %d", requests[i][0], (int)n,
					 http_status);
			if (fired == 0)
				break;
			assert_true(n < 2999);
		}
		for (int k = 0; k < 100 && mem_account_stat(mem_account_root()).live != before; k++)
			usleep(10000);
		assert_int_equal(mem_account_stat(mem_account_root()).live, before);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "doc-worker") == 0)
		return doc_worker_main(argc, argv);
	if (argc > 9 && strcmp(argv[1], "ingest-worker") == 0)
		return ingest_worker(argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
		TEST(test_api__knowledge_bases_come_and_go),
		TEST(test_api__a_file_goes_in_is_found_and_goes_out),
		TEST(test_api__bad_uploads_are_refused_at_once),
		TEST(test_api__a_crashing_worker_is_tried_three_times),
		TEST(test_api__jobs_can_be_cancelled_and_followed),
		TEST(test_api__a_job_waits_while_another_process_writes),
		TEST(test_api__a_running_job_goes_on_after_a_restart),
		TEST(test_api__chat_quotes_with_sources),
		TEST(test_api__chat_streams_in_openai_chunks),
		TEST(test_api__wrong_fields_are_named),
		TEST(test_api__every_allocation_may_fail),
		TEST(test_api__memory_returns_after_ten_thousand_requests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

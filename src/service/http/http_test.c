/* The server as clients see it: raw sockets against a real http_server on a free port. */
#include "http/http.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/size.h"
#include "mem/faults.h"
#include "rt/buf.h"
#include "rt/clock.h"
#include "rt/file.h"

enum { ANSWER_BYTES = 256 * 1024, WAIT_MS = 5000 };

/* ---- handlers ---- */

static atomic_int slow_running, slow_cancelled, stream_cancelled, refusals;
static atomic_size_t stream_written;

static void hello(struct http_request *r)
{
	http_reply(r, 200, "text/plain", SPAN("hello"), NULL);
}

static void echo(struct http_request *r)
{
	static const char *const headers[] = {"X-Echo: yes", NULL};
	http_reply(r, 200, "text/plain", r->body, headers);
}

static void item(struct http_request *r)
{
	char text[512];
	const char *query = http_query(r, "q");
	const char *header = http_header(r, "X-Test");
	snprintf(text, sizeof(text), "[%.*s] q=%s h=%s route=%s", SPAN_ARG(r->params[0]),
		 query != NULL ? query : "-", header != NULL ? header : "-", r->route);
	http_reply(r, 200, "text/plain", span_of(text), NULL);
}

/* Works until somebody cancels it or the time is over. */
static void slow(struct http_request *r)
{
	const char *ms = http_query(r, "ms");
	uint64_t end = clock_ms() + (ms != NULL ? strtoull(ms, NULL, 10) : 5000);
	atomic_fetch_add(&slow_running, 1);
	while (!cancel_is_set(&r->cancel) && clock_ms() < end)
		usleep(5000);
	if (cancel_is_set(&r->cancel))
		atomic_fetch_add(&slow_cancelled, 1);
	atomic_fetch_sub(&slow_running, 1);
	http_reply(r, 200, "text/plain", SPAN("slow"), NULL);
}

/* ?bytes=N in pieces of 1000; ?silent=1 writes once and then only waits. */
static void stream(struct http_request *r)
{
	struct fault fault = {0};
	const char *want = http_query(r, "bytes");
	size_t bytes = want != NULL ? strtoull(want, NULL, 10) : 3000;
	bool silent = http_query(r, "silent") != NULL;
	if (http_stream_begin(r, 200, "text/event-stream", NULL, &fault) != ST_OK) {
		http_reply(r, status_http(fault.code), "text/plain", span_of(fault.text), NULL);
		return;
	}
	if (silent)
		http_stream_ping(r, SPAN(": ping\n\n"), 150);
	char piece[1000];
	memset(piece, 'x', sizeof(piece));
	status st = ST_OK;
	while (bytes > 0 && st == ST_OK) {
		size_t count = size_min(bytes, sizeof(piece));
		st = http_stream_write(r, (struct span){piece, count}, &fault);
		bytes -= count;
		atomic_fetch_add(&stream_written, count);
	}
	uint64_t end = clock_ms() + 1000;
	while (silent && !cancel_is_set(&r->cancel) && clock_ms() < end)
		usleep(5000);
	if (cancel_is_set(&r->cancel))
		atomic_fetch_add(&stream_cancelled, 1);
}

static void upload(struct http_request *r)
{
	struct buf text;
	buf_init(&text, r->scope, 64 * KIB);
	for (size_t i = 0; i < r->file_count; i++) {
		struct span content = {"?", 1};
		struct fault fault = {0};
		status st = file_read(r->scope, r->files[i].path, 32, &content, &fault);
		buf_printf(&text, "%s=%s:%llu:%.*s;", r->files[i].field, r->files[i].name,
			   (unsigned long long)r->files[i].bytes,
			   st == ST_OK ? (int)content.bytes : 3,
			   st == ST_OK ? content.data : "...");
	}
	http_reply(r, 200, "text/plain", buf_span(&text), NULL);
}

static void send_file(struct http_request *r)
{
	http_reply_file(r, r->app, "application/octet-stream", NULL);
}

static void error_body(struct http_request *r, int code, const char *message)
{
	char text[400];
	atomic_fetch_add(&refusals, 1);
	snprintf(text, sizeof(text), "{\"error\":\"%s\",\"status\":%d}", message, code);
	http_reply(r, code, "application/json", span_of(text), NULL);
}

static const struct http_route routes[] = {
	{"GET", "/hello", hello, 0, false},
	{"POST", "/echo", echo, 1000, false},
	{"GET", "/items/{id}", item, 0, false},
	{"DELETE", "/items/{id}", item, 0, false},
	{"GET", "/tree/{path*}", item, 0, false},
	{"GET", "/slow", slow, 0, false},
	{"GET", "/stream", stream, 0, false},
	{"POST", "/upload", upload, 1 * 1024 * 1024, true},
	{"GET", "/file", send_file, 0, false},
};

/* ---- server and client ---- */

static char temp[] = "/tmp/plimsoll-http-XXXXXX";
static char file_path[128];

static struct http_server *serve(uint32_t workers, uint32_t queue_max)
{
	struct http_options options = {
		.listen = "127.0.0.1:0",
		.routes = routes,
		.route_count = ARRAY_COUNT(routes),
		.app = file_path,
		.temp_dir = temp,
		.workers = workers,
		.queue_max = queue_max,
		.connections_max = 64,
		.body_max = 64 * KIB,
		.idle_seconds = 10,
		.error = error_body,
	};
	struct http_server *server = NULL;
	struct fault fault = {0};
	if (http_open(mem_scope_root(), &options, &server, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	return server;
}

static int dial(const struct http_server *server)
{
	const char *colon = strrchr(http_address(server), ':');
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	size_t bytes = strlen(text);
	while (bytes > 0) {
		ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
		assert_true(sent > 0);
		text += sent;
		bytes -= (size_t)sent;
	}
}

/* Read until `until` stands in the answer (NULL: until the end); the answer so far, terminated. */
static const char *hear(int fd, const char *until)
{
	static char answer[ANSWER_BYTES];
	size_t bytes = 0;
	answer[0] = '\0';
	uint64_t end = clock_ms() + WAIT_MS;
	while (bytes + 1 < sizeof(answer) && (until == NULL || strstr(answer, until) == NULL)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (clock_ms() > end || poll(&p, 1, 100) < 0)
			break;
		if (p.revents == 0)
			continue;
		ssize_t got = recv(fd, answer + bytes, sizeof(answer) - 1 - bytes, 0);
		if (got <= 0)
			break;
		bytes += (size_t)got;
		answer[bytes] = '\0';
	}
	return answer;
}

/* One request on its own connection, all of the answer. */
static const char *ask(const struct http_server *server, const char *request)
{
	int fd = dial(server);
	say(fd, request);
	const char *answer = hear(fd, NULL);
	close(fd);
	return answer;
}

#define CLOSE "Host: t\r\nConnection: close\r\n"

static void expect(const char *answer, const char *start, const char *inside)
{
	if (strncmp(answer, start, strlen(start)) != 0 || strstr(answer, inside) == NULL)
		fail_msg("expected '%s' with '%s', got: %.600s", start, inside, answer);
}

static bool becomes(atomic_int *value, int want, uint64_t within_ms)
{
	uint64_t end = clock_ms() + within_ms;
	while (atomic_load(value) != want && clock_ms() < end)
		usleep(2000);
	return atomic_load(value) == want;
}

static size_t temp_files(void)
{
	size_t count = 0;
	DIR *folder = opendir(temp);
	for (struct dirent *d = readdir(folder); d != NULL; d = readdir(folder))
		count += d->d_name[0] != '.';
	closedir(folder);
	return count;
}

static size_t live(void)
{
	return mem_account_stat(mem_account_root()).live;
}

/* A server on its own scope; at the end every byte is back. */
static size_t live_at_start;

static int group_setup(void **state)
{
	(void)state;
	if (mkdtemp(temp) == NULL)
		return -1;
	snprintf(file_path, sizeof(file_path), "%s.bin", temp);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	unlink(file_path);
	return rmdir(temp);
}

static int each_setup(void **state)
{
	(void)state;
	atomic_store(&slow_cancelled, 0);
	atomic_store(&stream_cancelled, 0);
	atomic_store(&stream_written, 0);
	live_at_start = live();
	return 0;
}

static int each_teardown(void **state)
{
	(void)state;
	assert_int_equal(live(), live_at_start);
	return 0;
}

/* ---- tests ---- */

static void test_http__routes_and_decodes(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	expect(ask(server, "GET /hello HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 200",
	       "\r\n\r\nhello");
	expect(ask(server, "GET /hello HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 200",
	       "X-Content-Type-Options: nosniff");
	expect(ask(server,
		   "GET /items/%E4%B8%AD%2Fb?q=a%20b%2Bc+d HTTP/1.1\r\nX-Test: 7\r\n" CLOSE "\r\n"),
	       "HTTP/1.1 200", "[中/b] q=a b+c d h=7 route=/items/{id}");
	expect(ask(server, "GET /tree/a/b%20c/d.md HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 200",
	       "[a/b c/d.md]");
	expect(ask(server, "POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: 3\r\n\r\nabc"),
	       "HTTP/1.1 200", "X-Echo: yes");
	http_close(server, 1000);
}

static void test_http__refuses_wrong_addresses(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	expect(ask(server, "GET /nothing HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 404",
	       "\"status\":404");
	expect(ask(server, "GET /items/ HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 404", "404");
	expect(ask(server, "GET /../../etc/passwd HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 404",
	       "404");
	expect(ask(server, "PUT /items/1 HTTP/1.1\r\n" CLOSE "Content-Length: 0\r\n\r\n"),
	       "HTTP/1.1 405", "Allow: GET, HEAD, DELETE");
	expect(ask(server, "GET /items/%zz HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 400", "%-escape");
	expect(ask(server, "GET /items/%4 HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 400", "%-escape");
	expect(ask(server, "GET /items/a%00b HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 400", "%00");
	expect(ask(server, "GET /items/%C0%AF HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 400", "UTF-8");
	expect(ask(server, "GET /items/%FF%FE HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 400", "UTF-8");
	expect(ask(server, "POST /echo HTTP/1.1\r\n" CLOSE
			   "Sec-Fetch-Site: cross-site\r\nContent-Length: 3\r\n\r\nabc"),
	       "HTTP/1.1 403", "another site");
	http_close(server, 1000);
}

static void test_http__head_has_no_body(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	const char *answer = ask(server, "HEAD /hello HTTP/1.1\r\n" CLOSE "\r\n");
	expect(answer, "HTTP/1.1 200", "Content-Length: 5");
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	answer = ask(server, "HEAD /stream HTTP/1.1\r\n" CLOSE "\r\n");
	expect(answer, "HTTP/1.1 200", "text/event-stream");
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	http_close(server, 1000);
}

static void test_http__pipelined_requests_are_answered_in_order(void **state)
{
	(void)state;
	struct http_server *server = serve(4, 4);
	const char *answer =
		ask(server, "GET /items/1 HTTP/1.1\r\nHost: t\r\n\r\n"
			    "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\ntwo"
			    "GET /items/3 HTTP/1.1\r\n" CLOSE "\r\n");
	const char *one = strstr(answer, "[1]"), *two = strstr(answer, "two"),
		   *three = strstr(answer, "[3]");
	assert_true(one != NULL && two != NULL && three != NULL && one < two && two < three);
	http_close(server, 1000);
}

static void test_http__slow_and_chunked_bodies(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	int fd = dial(server);
	const char *text = "POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: 5\r\n\r\nsnail";
	for (const char *c = text; *c != '\0'; c++) {
		assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
		usleep(1000);
	}
	expect(hear(fd, NULL), "HTTP/1.1 200", "\r\n\r\nsnail");
	close(fd);
	expect(ask(server, "POST /echo HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n"
			   "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"),
	       "HTTP/1.1 200", "\r\n\r\nabc0123456789");
	expect(ask(server, "POST /echo HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n"
			   "zz\r\nabc\r\n0\r\n\r\n"),
	       "", "");
	http_close(server, 1000);
}

static void test_http__large_things_are_refused_early(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	/* Content-Length alone is enough: no byte of the body has been sent. */
	uint64_t start = clock_ms();
	expect(ask(server, "POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: 99999999999\r\n\r\n"),
	       "HTTP/1.1 413", "1000 bytes");
	assert_true(clock_ms() - start < 2000);
	/* A little too large: read, answered, and the line is kept. */
	int fd = dial(server);
	char text[2000];
	snprintf(text, sizeof(text),
		 "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n%1001d", 7);
	say(fd, text);
	expect(hear(fd, "413}"), "HTTP/1.1 413", "1000 bytes");
	say(fd, "GET /hello HTTP/1.1\r\n" CLOSE "\r\n");
	expect(hear(fd, NULL), "HTTP/1.1 200", "hello");
	close(fd);
	/* A client that asks first is told before it sends. */
	expect(ask(server, "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
			   "Content-Length: 5000000\r\n\r\n"),
	       "HTTP/1.1 413", "1000 bytes");
	fd = dial(server);
	say(fd,
	    "POST /echo HTTP/1.1\r\n" CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	expect(hear(fd, "\r\n\r\n"), "HTTP/1.1 100", "");
	say(fd, "ok");
	expect(hear(fd, NULL), "HTTP/1.1 200", "\r\n\r\nok");
	close(fd);
	http_close(server, 1000);
}

static void test_http__endless_body_and_header_are_cut(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	/* Chunks without end: told as soon as the limit is passed. */
	int fd = dial(server);
	say(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	char chunk[600];
	snprintf(chunk, sizeof(chunk), "200\r\n%0512d\r\n", 1);
	for (int i = 0; i < 3; i++)
		say(fd, chunk);
	expect(hear(fd, "413}"), "HTTP/1.1 413", "1000 bytes");
	close(fd);
	/* Headers without end. */
	fd = dial(server);
	say(fd, "GET /hello HTTP/1.1\r\nHost: t\r\n");
	char header[1100];
	snprintf(header, sizeof(header), "X-A: %01000d\r\n", 1);
	for (int i = 0; i < 64; i++)
		if (send(fd, header, strlen(header), MSG_NOSIGNAL) < 0)
			break;
	expect(hear(fd, "\r\n\r\n"), "HTTP/1.1 431", "");
	close(fd);
	http_close(server, 1000);
}

static void test_http__client_gone_is_noticed_everywhere(void **state)
{
	(void)state;
	struct http_server *server = serve(1, 4);
	int computing = dial(server), queued = dial(server);
	say(computing, "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
	assert_true(becomes(&slow_running, 1, 1000));
	say(queued, "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
	usleep(50000);
	close(queued); /* gone before its turn: its handler must never run */
	usleep(700000);
	close(computing);
	assert_true(becomes(&slow_cancelled, 1, 1000));
	usleep(100000);
	assert_int_equal(atomic_load(&slow_running), 0);
	assert_int_equal(atomic_load(&slow_cancelled), 1);

	int streaming = dial(server);
	say(streaming, "GET /stream?bytes=100000000 HTTP/1.1\r\nHost: t\r\n\r\n");
	hear(streaming, "xxxx");
	close(streaming);
	assert_true(becomes(&stream_cancelled, 1, 1000));

	int silent = dial(server);
	say(silent, "GET /stream?silent=1&bytes=1 HTTP/1.1\r\nHost: t\r\n\r\n");
	hear(silent, "\r\nx\r\n");
	close(silent);
	assert_true(becomes(&stream_cancelled, 2, 900)); /* 1000 would be its normal end */
	http_close(server, 1000);
}

static void test_http__half_closed_client_gets_its_answer(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	int fd = dial(server);
	say(fd, "GET /slow?ms=700 HTTP/1.1\r\nHost: t\r\n\r\n");
	shutdown(fd, SHUT_WR);
	const char *answer = hear(fd, NULL);
	expect(answer, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200");
	assert_non_null(strstr(answer, "\r\n\r\nslow"));
	assert_int_equal(atomic_load(&slow_cancelled), 0);
	close(fd);
	http_close(server, 1000);
}

static void test_http__slow_reader_holds_the_stream_back(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	int fd = dial(server);
	say(fd, "GET /stream?bytes=30000000 HTTP/1.1\r\n" CLOSE "\r\n");
	usleep(500000);
	size_t held = atomic_load(&stream_written);
	assert_true(held < 12 * MIB); /* the window and what the kernel's own buffers take */
	usleep(200000);
	assert_int_equal(atomic_load(&stream_written), held);
	static char chunk[65536];
	size_t total = 0;
	for (ssize_t got; (got = recv(fd, chunk, sizeof(chunk), 0)) > 0;)
		total += (size_t)got;
	assert_true(total > 30000000);
	assert_int_equal(atomic_load(&stream_written), 30000000);
	close(fd);
	http_close(server, 1000);
}

static void test_http__silent_stream_is_pinged(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	const char *answer = ask(server, "GET /stream?silent=1&bytes=1 HTTP/1.1\r\n" CLOSE "\r\n");
	expect(answer, "HTTP/1.1 200", ": ping\n\n");
	http_close(server, 1000);
}

#define PART_HEAD(field, name)                                                                     \
	"--xx\r\nContent-Disposition: form-data; name=\"" field "\"; filename=\"" name             \
	"\"\r\nContent-Type: text/plain\r\n\r\n"
#define PART(field, name, text) PART_HEAD(field, name) text "\r\n"

static const char *post_upload(struct http_server *server, const char *type, const char *body)
{
	static char text[4096];
	snprintf(text, sizeof(text),
		 "POST /upload HTTP/1.1\r\n" CLOSE "Content-Type: %s\r\n"
		 "Content-Length: %zu\r\n\r\n%s",
		 type, strlen(body), body);
	return ask(server, text);
}

static void test_http__multipart_files_pass_through_temporary_files(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	const char *form = "multipart/form-data; boundary=xx";
	expect(post_upload(server, form,
			   PART("file", "一.txt", "abc")
				   PART("file", "empty",
					"") "--xx\r\nContent-Disposition: form-data; "
					    "name=\"note\"\r\n\r\nhi\r\n" PART(
						    "more", "../x", "defg") "--xx--\r\n"),
	       "HTTP/1.1 200", "file=一.txt:3:abc;file=empty:0:;more=../x:4:defg;");
	expect(post_upload(server, form, PART("file", "a", "abc") "--xx\r\nContent-Dispo"),
	       "HTTP/1.1 400", "boundary");
	expect(post_upload(server, form, "nonsense"), "HTTP/1.1 200", "Content-Length: 0");
	expect(post_upload(server, "application/json", "{}"), "HTTP/1.1 400",
	       "multipart/form-data");
	expect(post_upload(server, "multipart/form-data", PART("file", "a", "abc") "--xx--\r\n"),
	       "HTTP/1.1 400", "boundary");
	assert_int_equal(temp_files(), 0);
	/* A part whose first byte comes late is still one file. */
	int fd = dial(server);
	say(fd,
	    "POST /upload HTTP/1.1\r\n" CLOSE "Content-Type: multipart/form-data; boundary=xx\r\n"
	    "Content-Length: 117\r\n\r\n" PART_HEAD("file", "late.txt") "\r\n");
	usleep(50000);
	say(fd, "abcde\r\n--xx--\r\n");
	expect(hear(fd, NULL), "HTTP/1.1 200", "file=late.txt:7:");
	close(fd);
	/* Larger than announced, and gone in the middle. */
	fd = dial(server);
	say(fd,
	    "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Type: multipart/form-data; boundary=xx\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n10000\r\n" PART("file", "big", ""));
	char chunk[4001];
	snprintf(chunk, sizeof(chunk), "%04000d", 1);
	say(fd, chunk);
	usleep(100000);
	assert_int_equal(temp_files(), 1);
	close(fd);
	for (int i = 0; i < 200 && temp_files() > 0; i++)
		usleep(10000);
	assert_int_equal(temp_files(), 0);
	http_close(server, 1000);
}

static void test_http__too_many_requests_are_told_to_wait(void **state)
{
	(void)state;
	struct http_server *server = serve(1, 1);
	int a = dial(server), b = dial(server);
	say(a, "GET /slow?ms=2000 HTTP/1.1\r\n" CLOSE "\r\n");
	assert_true(becomes(&slow_running, 1, 1000));
	say(b, "GET /slow?ms=1 HTTP/1.1\r\n" CLOSE "\r\n");
	usleep(200000);
	expect(ask(server, "GET /hello HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 503",
	       "Retry-After: 1");
	expect(hear(a, NULL), "HTTP/1.1 200", "slow");
	expect(hear(b, NULL), "HTTP/1.1 200", "slow");
	close(a);
	close(b);
	http_close(server, 1000);
}

static void test_http__files_are_sent_whole(void **state)
{
	(void)state;
	struct fault fault = {0};
	static char content[100000];
	memset(content, 'z', sizeof(content));
	assert_int_equal(file_replace(file_path, (struct span){content, sizeof(content)}, &fault),
			 ST_OK);
	struct http_server *server = serve(2, 4);
	const char *answer = ask(server, "GET /file HTTP/1.1\r\n" CLOSE "\r\n");
	expect(answer, "HTTP/1.1 200", "Content-Length: 100000");
	assert_int_equal(strlen(strstr(answer, "\r\n\r\n") + 4), sizeof(content));
	unlink(file_path);
	expect(ask(server, "GET /file HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 404",
	       "cannot be read");
	http_close(server, 1000);
}

static void test_http__close_lets_running_requests_end(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	int fd = dial(server), endless = dial(server);
	say(fd, "GET /slow?ms=300 HTTP/1.1\r\n" CLOSE "\r\n");
	assert_true(becomes(&slow_running, 1, 1000));
	http_close(server, 2000);
	expect(hear(fd, NULL), "HTTP/1.1 200", "slow");
	assert_int_equal(atomic_load(&slow_cancelled), 0);
	close(fd);
	close(endless);

	server = serve(2, 4);
	endless = dial(server);
	say(endless, "GET /slow?ms=20000 HTTP/1.1\r\n" CLOSE "\r\n");
	assert_true(becomes(&slow_running, 1, 1000));
	uint64_t start = clock_ms();
	http_close(server, 100);
	assert_true(clock_ms() - start < 2000);
	assert_int_equal(atomic_load(&slow_cancelled), 1);
	close(endless);
}

static void test_http__memory_returns_after_ten_thousand_requests(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 8);
	size_t before = live();
	const char *request =
		"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789";
	uint64_t start = clock_ms();
	int fd = dial(server);
	for (int i = 0; i < 10000; i++) {
		say(fd, request);
		hear(fd, "0123456789");
	}
	close(fd);
	for (int i = 0; i < 100 && live() != before; i++)
		usleep(1000);
	printf("10000 requests in %d ms; live account bytes before %zu, after %zu\n",
	       (int)(clock_ms() - start), before, live());
	assert_int_equal(live(), before);
	http_close(server, 1000);
}

static void test_http__at_the_load_line_requests_are_told_to_wait(void **state)
{
	(void)state;
	struct http_server *server = serve(2, 4);
	struct mem_account *account = mem_account_find("http");
	assert_non_null(account);
	size_t now = mem_account_stat(account).live;
	for (size_t room = 1; room < 4000; room += 100) {
		mem_account_set_lines(account, 0, now + room);
		const char *answer = ask(server, "GET /hello HTTP/1.1\r\n" CLOSE "\r\n");
		if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
			expect(answer, "HTTP/1.1 503", "Retry-After: 1");
		else
			assert_true(room > 500);
	}
	mem_account_set_lines(account, 0, 0);
	expect(ask(server, "GET /hello HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 200", "hello");
	http_close(server, 1000);
}

/* Each allocation of each kind of request fails in turn: an answer or a closed line, never a crash,
 * and every byte comes back (each_teardown). */
static void test_http__every_allocation_may_fail(void **state)
{
	(void)state;
	static const char *const requests[] = {
		"GET /items/a%20b?q=1 HTTP/1.1\r\nX-Test: 1\r\n" CLOSE "\r\n",
		"POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: 3\r\n\r\nabc",
		"GET /stream HTTP/1.1\r\n" CLOSE "\r\n",
		"GET /nothing HTTP/1.1\r\n" CLOSE "\r\n",
		"POST /upload HTTP/1.1\r\n" CLOSE
		"Content-Type: multipart/form-data; boundary=xx\r\n"
		"Content-Length: 106\r\n\r\n" PART("file", "a", "abc") "--xx--\r\n",
	};
	struct http_server *server = serve(2, 4);
	size_t before = live();
	for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
		for (uint64_t n = 1; n < 200; n++) {
			mem_fault_arm(MEM_FAULT_ALLOC, n, false);
			ask(server, requests[i]);
			uint64_t fired = mem_fault_fired(MEM_FAULT_ALLOC);
			mem_fault_disarm(MEM_FAULT_ALLOC);
			if (fired == 0)
				break;
			assert_true(n < 199);
		}
	}
	for (int i = 0; i < 100 && live() != before; i++)
		usleep(1000);
	assert_int_equal(live(), before);
	assert_int_equal(temp_files(), 0);
	http_close(server, 1000);
}

static void test_http__refuses_bad_listen_addresses(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "7861", ":7861", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "256.1.1.1:1"};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct http_options options = {
			.listen = bad[i], .workers = 1, .body_max = 1, .temp_dir = temp};
		struct http_server *server = NULL;
		struct fault fault = {0};
		assert_int_equal(http_open(mem_scope_root(), &options, &server, &fault),
				 ST_INVALID);
		assert_null(server);
	}
	struct http_server *server = serve(1, 1);
	struct http_options options = {
		.listen = http_address(server), .workers = 1, .body_max = 1, .temp_dir = temp};
	struct http_server *second = NULL;
	struct fault fault = {0};
	assert_int_equal(http_open(mem_scope_root(), &options, &second, &fault), ST_EXISTS);
	http_close(server, 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
		TEST(test_http__routes_and_decodes),
		TEST(test_http__refuses_wrong_addresses),
		TEST(test_http__head_has_no_body),
		TEST(test_http__pipelined_requests_are_answered_in_order),
		TEST(test_http__slow_and_chunked_bodies),
		TEST(test_http__large_things_are_refused_early),
		TEST(test_http__endless_body_and_header_are_cut),
		TEST(test_http__client_gone_is_noticed_everywhere),
		TEST(test_http__half_closed_client_gets_its_answer),
		TEST(test_http__slow_reader_holds_the_stream_back),
		TEST(test_http__silent_stream_is_pinged),
		TEST(test_http__multipart_files_pass_through_temporary_files),
		TEST(test_http__too_many_requests_are_told_to_wait),
		TEST(test_http__files_are_sent_whole),
		TEST(test_http__close_lets_running_requests_end),
		TEST(test_http__memory_returns_after_ten_thousand_requests),
		TEST(test_http__at_the_load_line_requests_are_told_to_wait),
		TEST(test_http__every_allocation_may_fail),
		TEST(test_http__refuses_bad_listen_addresses),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

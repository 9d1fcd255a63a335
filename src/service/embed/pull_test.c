/* Downloads from a small HTTP server in this process: whole, broken, resumed, changed, refused. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/size.h"
#include "embed/pull.h"
#include "rt/clock.h"

enum { FILE_BYTES = 300000, REQUEST_BYTES = 4096 };

static struct server {
	int fd;
	unsigned port;
	pthread_t thread;
	int breaks;        /* so many answers to /file end after half of what was asked */
	int version;       /* of /file; its ETag */
	bool ranges, etag; /* whether the server knows them */
	size_t asked_from; /* of the last request */
	char content[FILE_BYTES];
} server;

static char folder[64], path[FILE_PATH_BYTES], url[128], good[SHA256_HEX_BYTES];

static void send_all(int to, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = send(to, data, bytes, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		data += n;
		bytes -= (size_t)n;
	}
}

static void send_text(int to, const char *text)
{
	send_all(to, text, strlen(text));
}

static void answer_file(int to, const char *request)
{
	char head[512], etag[64] = "", condition[64];
	const char *range = strstr(request, "Range: bytes=");
	size_t from = 0, bytes = FILE_BYTES;
	if (range != NULL)
		from = (size_t)strtoul(range + strlen("Range: bytes="), NULL, 10);
	server.asked_from = from;
	snprintf(condition, sizeof(condition), "If-Range: \"v%d\"", server.version);
	if (!server.ranges || (server.etag && strstr(request, condition) == NULL))
		from = 0;
	if (server.etag)
		snprintf(etag, sizeof(etag), "ETag: \"v%d\"\r\n", server.version);
	if (from >= FILE_BYTES && range != NULL) {
		snprintf(head, sizeof(head),
			 "HTTP/1.1 416 No\r\nContent-Range: bytes */%d\r\nContent-Length: 0\r\n"
			 "Connection: close\r\n\r\n",
			 FILE_BYTES);
		send_text(to, head);
		return;
	}
	bytes -= from;
	if (from > 0)
		snprintf(head, sizeof(head),
			 "HTTP/1.1 206 Part\r\n%sContent-Range: bytes %zu-%d/%d\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			 etag, from, FILE_BYTES - 1, FILE_BYTES, bytes);
	else
		snprintf(head, sizeof(head),
			 "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n",
			 etag, bytes);
	send_text(to, head);
	if (server.breaks > 0) {
		server.breaks--;
		bytes /= 2;
	}
	send_all(to, server.content + from, bytes);
}

static void answer(int to, const char *request)
{
	if (strncmp(request, "GET /file", 9) == 0)
		answer_file(to, request);
	else if (strncmp(request, "GET /redirect", 13) == 0)
		send_text(to, "HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 4\r\n"
			      "Connection: close\r\n\r\ngone");
	else if (strncmp(request, "GET /loop", 9) == 0)
		send_text(to, "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n"
			      "Connection: close\r\n\r\n");
	else if (strncmp(request, "GET /elsewhere", 14) == 0)
		send_text(to, "HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\n"
			      "Content-Length: 0\r\nConnection: close\r\n\r\n");
	else if (strncmp(request, "GET /chunks", 11) == 0)
		send_text(to, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			      "Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
	else if (strncmp(request, "GET /empty", 10) == 0)
		send_text(to, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	else if (strncmp(request, "GET /error", 10) == 0)
		send_text(to,
			  "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry");
	else if (strncmp(request, "GET /slow", 9) == 0) {
		send_text(to, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
		char byte;
		(void)!recv(to, &byte, 1, 0); /* until the client goes */
	} else
		send_text(
			to,
			"HTTP/1.1 404 None\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
}

static void *serve(void *context)
{
	(void)context;
	for (;;) {
		char request[REQUEST_BYTES];
		size_t bytes = 0;
		int to = accept(server.fd, NULL, NULL);
		if (to < 0)
			return NULL;
		request[0] = '\0';
		while (bytes < sizeof(request) - 1 && strstr(request, "\r\n\r\n") == NULL) {
			ssize_t n = recv(to, request + bytes, sizeof(request) - 1 - bytes, 0);
			if (n <= 0)
				break;
			bytes += (size_t)n;
			request[bytes] = '\0';
		}
		answer(to, request);
		close(to);
	}
}

static int start_server(void **state)
{
	(void)state;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	setenv("no_proxy", "127.0.0.1", 1);
	signal(SIGPIPE, SIG_IGN);
	uint32_t x = 1;
	for (size_t i = 0; i < FILE_BYTES; i++)
		server.content[i] = (char)((x = x * 1664525u + 1013904223u) >> 24);
	struct sha256 digest;
	assert_int_equal(sha256_of((struct span){server.content, FILE_BYTES}, &digest, NULL),
			 ST_OK);
	sha256_hex(&digest, good);
	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(server.fd >= 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(server.fd, 8), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&at, &bytes), 0);
	server.port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/plimsoll-pull-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sub/model.gguf", folder);
	server.breaks = 0;
	server.version = 1;
	server.ranges = server.etag = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return dir_remove(folder, NULL) == ST_OK ? 0 : -1;
}

static status pull(const char *what, const char *sha256, uint64_t bytes_max,
		   struct pull_result *result)
{
	struct fault fault = {0};
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", server.port, what);
	struct pull_options o = {.url = url,
				 .path = path,
				 .sha256 = sha256,
				 .bytes_max = bytes_max,
				 .idle_ms = 1000};
	status st = pull_file(&o, result, &fault);
	if (st != ST_OK) {
		assert_int_equal(fault.code, st);
		assert_true(strlen(fault.text) > 10);
	}
	return st;
}

static bool is_there(const char *ending)
{
	char name[FILE_PATH_BYTES + 16];
	snprintf(name, sizeof(name), "%s%s", path, ending);
	return file_exists(name);
}

static void must_be_whole(const struct pull_result *r, size_t resumed_from)
{
	assert_int_equal(r->bytes, FILE_BYTES);
	assert_int_equal(r->resumed_from, resumed_from);
	assert_string_equal(r->sha256, good);
	assert_true(is_there(""));
	assert_false(is_there(".part") || is_there(".part.from"));
}

static void test_pull__fetches_a_file(void **state)
{
	(void)state;
	struct pull_result r;
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, 0);
	assert_int_equal(pull("/redirect", NULL, FILE_BYTES, &r), ST_OK);
	must_be_whole(&r, 0);
	assert_int_equal(pull("/chunks", NULL, 0, &r), ST_OK);
	assert_int_equal(r.bytes, 5);
	assert_int_equal(pull("/empty", NULL, 0, &r), ST_OK);
	assert_int_equal(r.bytes, 0);
}

static void test_pull__goes_on_where_it_broke(void **state)
{
	(void)state;
	struct pull_result r;
	server.breaks = 2;
	assert_int_equal(pull("/file", good, 0, &r), ST_REMOTE);
	assert_true(is_there(".part") && is_there(".part.from") && !is_there(""));
	assert_int_equal(pull("/file", good, 0, &r), ST_REMOTE);
	assert_int_equal(server.asked_from, FILE_BYTES / 2);
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, FILE_BYTES * 3 / 4);
	/* without a validator the length must be the same */
	server.etag = false;
	server.breaks = 1;
	assert_int_equal(pull("/file", good, 0, &r), ST_REMOTE);
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, FILE_BYTES / 2);
}

static void test_pull__begins_again_when_it_must(void **state)
{
	(void)state;
	struct pull_result r;
	server.breaks = 1; /* the file changes */
	assert_int_equal(pull("/file", good, 0, &r), ST_REMOTE);
	server.version = 2;
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, 0);
	server.breaks = 1; /* the server knows no ranges */
	server.ranges = false;
	assert_int_equal(pull("/file", good, 0, &r), ST_REMOTE);
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, 0);
	server.breaks = 1; /* another address */
	server.ranges = true;
	assert_int_equal(pull("/file?a", good, 0, &r), ST_REMOTE);
	assert_int_equal(pull("/file?b", good, 0, &r), ST_OK);
	must_be_whole(&r, 0);
}

/* All bytes were there, but the program died before it gave them their name. */
static void test_pull__finishes_a_complete_part(void **state)
{
	(void)state;
	struct pull_result r;
	char name[FILE_PATH_BYTES + 16], note[256];
	server.breaks = 1;
	assert_int_equal(pull("/file", good, 0, &r), ST_REMOTE);
	snprintf(name, sizeof(name), "%s.part", path);
	assert_int_equal(file_replace(name, (struct span){server.content, FILE_BYTES}, NULL),
			 ST_OK);
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, FILE_BYTES);
	/* longer than what the server has: begun again */
	snprintf(note, sizeof(note), "%s\n%d\n\"v1\"\n", url, FILE_BYTES);
	assert_int_equal(file_replace(name, (struct span){server.content, FILE_BYTES}, NULL),
			 ST_OK);
	int fd;
	assert_int_equal(fd_open(name, 01 | 02000, 0, &fd, NULL), ST_OK); /* append */
	assert_int_equal(fd_write(fd, SPAN("more"), NULL), ST_OK);
	fd_closep(&fd);
	snprintf(name, sizeof(name), "%s.part.from", path);
	assert_int_equal(file_replace(name, span_of(note), NULL), ST_OK);
	assert_int_equal(pull("/file", good, 0, &r), ST_OK);
	must_be_whole(&r, 0);
}

static void test_pull__refuses(void **state)
{
	(void)state;
	static const char wrong[] =
		"00000000000000000000000000000000000000000000000000000000000000ff";
	struct pull_result r;
	assert_int_equal(pull("/file", wrong, 0, &r), ST_CORRUPT);
	assert_false(is_there("") || is_there(".part") || is_there(".part.from"));
	assert_int_equal(pull("/file", "12", 0, &r), ST_INVALID);
	assert_int_equal(pull("/file", good, FILE_BYTES - 1, &r), ST_LIMIT);
	assert_int_equal(pull("/chunks", NULL, 4, &r), ST_LIMIT);
	assert_int_equal(pull("/missing", NULL, 0, &r), ST_NOT_FOUND);
	assert_int_equal(pull("/error", NULL, 0, &r), ST_REMOTE);
	assert_int_equal(pull("/loop", NULL, 0, &r), ST_REMOTE);
	assert_int_equal(pull("/elsewhere", NULL, 0, &r), ST_INVALID);
	assert_false(is_there(""));
	struct fault fault = {0};
	struct pull_options o = {.url = "ftp://127.0.0.1/x", .path = path};
	assert_int_equal(pull_file(&o, &r, &fault), ST_INVALID);
	o.url = "http://127.0.0.1:1/x"; /* nobody listens */
	assert_int_equal(pull_file(&o, &r, &fault), ST_REMOTE);
}

static void note_progress(void *context, uint64_t done, uint64_t total)
{
	uint64_t *last = context;
	assert_true(total == 0 || done <= total);
	*last = done;
}

static void test_pull__tells_stops_and_times_out(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct pull_result r;
	struct cancel cancel = {false};
	uint64_t last = 0, begun = clock_ms();
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/file", server.port);
	struct pull_options o = {.url = url,
				 .path = path,
				 .idle_ms = 1000,
				 .progress = note_progress,
				 .progress_context = &last,
				 .cancel = &cancel};
	assert_int_equal(pull_file(&o, &r, &fault), ST_OK);
	assert_int_equal(last, FILE_BYTES);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/slow", server.port);
	assert_int_equal(pull_file(&o, &r, &fault), ST_TIMEOUT);
	assert_true(clock_ms() - begun < 20000);
	cancel_set(&cancel);
	assert_int_equal(pull_file(&o, &r, &fault), ST_CANCELLED);
}

static void test_pull__names_the_file(void **state)
{
	(void)state;
	char name[FILE_NAME_BYTES];
	assert_int_equal(pull_name("https://h/a/b%20c.gguf?x=1#y", name, NULL), ST_OK);
	assert_string_equal(name, "b c.gguf");
	assert_int_equal(pull_name("https://h", name, NULL), ST_INVALID);
	assert_int_equal(pull_name("https://h/", name, NULL), ST_INVALID);
	assert_int_equal(pull_name("https://h/..", name, NULL), ST_INVALID);
	assert_int_equal(pull_name("https://h/a%2fb", name, NULL), ST_INVALID);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_pull__fetches_a_file),
		TEST(test_pull__goes_on_where_it_broke),
		TEST(test_pull__begins_again_when_it_must),
		TEST(test_pull__finishes_a_complete_part),
		TEST(test_pull__refuses),
		TEST(test_pull__tells_stops_and_times_out),
		TEST(test_pull__names_the_file),
	};
	return cmocka_run_group_tests(tests, start_server, stop_server);
}

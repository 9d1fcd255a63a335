/* Remote generation and embedding against a real HTTP server (remote_server.py) that behaves in
 * every way the other side can behave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/size.h"
#include "base/utf8.h"
#include "embed/embedder.h"
#include "llm/llm.h"
#include "llm/transport.h"
#include "rt/buf.h"
#include "rt/clock.h"

static pid_t server;
static int server_stdin;
static int port;

static int setup(void **state)
{
	(void)state;
	int in[2], out[2];
	char line[16] = "";
	setenv("no_proxy", "127.0.0.1", 1);
	if (pipe(in) != 0 || pipe(out) != 0)
		return -1;
	server = fork();
	if (server == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execlp("python3", "python3",
		       PLIMSOLL_SOURCE_DIR "/src/service/llm/remote_server.py", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server_stdin = in[1];
	for (size_t at = 0; at + 1 < sizeof(line); at++) {
		if (read(out[0], line + at, 1) != 1 || line[at] == '\n')
			break;
	}
	close(out[0]);
	port = (int)strtol(line, NULL, 10);
	return port > 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	close(server_stdin);
	waitpid(server, NULL, 0);
	return mem_account_stat(mem_account_root()).live == 0 ? 0 : -1;
}

/* One chat with one mode of the server. */
struct talk {
	struct mem_scope *scope;
	struct generator *generator;
	struct llm_message message;
	struct llm_request request;
	struct llm_result result;
	struct buf seen;
	size_t pieces, stop_after;
	struct fault fault;
	status st;
};

static struct llm_remote_options options_for(const char *mode, char url[64])
{
	snprintf(url, 64, "http://127.0.0.1:%d/%s/v1/", port, mode);
	return (struct llm_remote_options){.base_url = url,
					   .model = "tiny",
					   .api_key = "secret",
					   .connect_ms = 1000,
					   .first_byte_ms = 500,
					   .idle_ms = 500,
					   .at_once_max = 2};
}

static bool talk_emit(void *context, struct span piece)
{
	struct talk *t = context;
	assert_true(utf8_is_valid(piece));
	buf_add(&t->seen, piece);
	t->pieces++;
	return t->stop_after == 0 || t->pieces < t->stop_after;
}

static void talk_init(struct talk *t, const char *mode, bool stream, uint32_t retries)
{
	char url[64];
	struct llm_remote_options options = options_for(mode, url);
	options.retries_max = retries;
	*t = (struct talk){.message = {"user", SPAN("今日は \"quoted\" 😀")}};
	t->scope = mem_scope_open(mem_scope_root(), "talk", 0);
	assert_int_equal(llm_remote_open(t->scope, &options, &t->generator, NULL), ST_OK);
	buf_init(&t->seen, t->scope, MIB);
	t->request = (struct llm_request){.message_count = 1,
					  .tokens_max = 50,
					  .temperature = 0.5F,
					  .top_p = 1,
					  .repeat_penalty = 1,
					  .stop = {SPAN("END")},
					  .stop_count = 1};
	if (stream) {
		t->request.emit = talk_emit;
		t->request.emit_context = t;
	}
}

static void talk_run(struct talk *t)
{
	t->request.messages = &t->message;
	t->st = generator_run(t->generator, &t->request, t->scope, &t->result, &t->fault);
}

static void talk_fini(struct talk *t)
{
	generator_close(t->generator);
	mem_scope_close(t->scope);
}

#define GOOD_ANSWER SPAN("今日は \"quoted\" 😀|50|0.5|END|Bearer secret|tiny")

static void test_remote__answers_whole_and_streamed(void **state)
{
	(void)state;
	for (int stream = 0; stream < 2; stream++) {
		struct talk t;
		talk_init(&t, "good", stream == 1, 0);
		for (int again = 0; again < 3; again++) { /* the handle is used again */
			talk_run(&t);
			assert_int_equal(t.st, ST_OK);
			assert_true(span_equal(t.result.text, GOOD_ANSWER));
			assert_string_equal(t.result.finish, stream ? "length" : "stop");
			assert_int_equal(t.result.prompt_tokens, 11);
			assert_int_equal(t.result.completion_tokens, 7);
			if (stream)
				assert_true(span_equal(buf_span(&t.seen), GOOD_ANSWER));
			buf_clear(&t.seen);
		}
		talk_fini(&t);
	}
}

/* Each way to fail: what we answer, and words that the sentence must hold. */
static const struct failing {
	const char *mode;
	bool stream;
	uint32_t retries;
	status st;
	const char *words;
} failing[] = {
	{"hangup", false, 1, ST_REMOTE, "hung up without an answer"},
	{"garbage", false, 0, ST_REMOTE, "nonsense (not JSON)"},
	{"garbage", true, 0, ST_REMOTE, "nonsense (not an event stream)"},
	{"slow", false, 0, ST_TIMEOUT, "did not begin to answer within 500 ms"},
	{"silent", true, 0, ST_TIMEOUT, "fell silent for 500 ms"},
	{"cut", true, 3, ST_REMOTE, "broke off after"},
	{"torn", true, 3, ST_REMOTE, "hung up after"},
	{"broken", true, 0, ST_REMOTE, "out of memory"},
	{"nokey", false, 3, ST_REMOTE, "refuses the API key (401): Incorrect API key"},
	{"missing", false, 3, ST_REMOTE, "(404)"},
	{"moved", false, 3, ST_REMOTE, "sends us elsewhere (307)"},
	{"overloaded", false, 1, ST_BUSY, "(429): slow down"},
	{"endless", false, 0, ST_REMOTE, "more than 16777216 bytes"},
	{"endless", true, 0, ST_REMOTE, "an endless line"},
};

static void test_remote__every_failure_is_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(failing); i++) {
		const struct failing *f = &failing[i];
		struct talk t;
		talk_init(&t, f->mode, f->stream, f->retries);
		talk_run(&t);
		if (t.st != f->st || strstr(t.fault.text, f->words) == NULL)
			print_error("%s: %s\n", f->mode, fault_text(&t.fault));
		assert_int_equal(t.st, f->st);
		assert_non_null(strstr(t.fault.text, f->words));
		talk_fini(&t);
	}
}

static void test_remote__retries_until_it_goes_well(void **state)
{
	(void)state;
	const char *const modes[] = {"flaky-a", "hangup-once"};
	for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
		struct talk t;
		talk_init(&t, modes[i], i == 0, 3);
		talk_run(&t);
		assert_int_equal(t.st, ST_OK);
		assert_true(span_equal(t.result.text, GOOD_ANSWER));
		talk_fini(&t);
	}
}

static void test_remote__nobody_there_and_no_such_host(void **state)
{
	(void)state;
	struct llm_remote_options options = {.base_url = "http://127.0.0.1:1/v1",
					     .model = "m",
					     .api_key = "",
					     .connect_ms = 1000};
	struct generator *g;
	struct talk t;
	talk_init(&t, "good", false, 0);
	generator_close(t.generator);
	assert_int_equal(llm_remote_open(t.scope, &options, &g, NULL), ST_OK);
	t.generator = g;
	talk_run(&t);
	assert_int_equal(t.st, ST_REMOTE);
	assert_non_null(strstr(t.fault.text, "no connection to http://127.0.0.1:1/v1"));
	generator_close(g);
	options.base_url = "http://no-such-host.invalid/v1";
	assert_int_equal(llm_remote_open(t.scope, &options, &t.generator, NULL), ST_OK);
	talk_run(&t);
	assert_int_equal(t.st, ST_REMOTE);
	assert_non_null(strstr(t.fault.text, "is not known"));
	talk_fini(&t);
}

static void test_remote__plain_text_is_not_tls(void **state)
{
	(void)state;
	struct talk t;
	char url[64];
	struct llm_remote_options options = options_for("good", url);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/v1", port);
	talk_init(&t, "good", false, 0);
	generator_close(t.generator);
	assert_int_equal(llm_remote_open(t.scope, &options, &t.generator, NULL), ST_OK);
	talk_run(&t);
	assert_int_equal(t.st, ST_REMOTE);
	assert_non_null(strstr(t.fault.text, "no secure connection"));
	talk_fini(&t);
}

static void *cancel_later(void *context)
{
	usleep(200 * 1000);
	cancel_set(context);
	return NULL;
}

static void test_remote__cancel_and_a_reader_who_leaves(void **state)
{
	(void)state;
	const char *const modes[] = {"slow", "drip"};
	for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
		struct cancel cancel = {false};
		struct talk t;
		pthread_t thread;
		talk_init(&t, modes[i], true, 3);
		t.request.cancel = &cancel;
		uint64_t began_ms = clock_ms();
		assert_int_equal(pthread_create(&thread, NULL, cancel_later, &cancel), 0);
		talk_run(&t);
		pthread_join(thread, NULL);
		assert_int_equal(t.st, ST_CANCELLED);
		assert_in_range(clock_ms() - began_ms, 150, 1200);
		talk_fini(&t);
	}
	struct talk t;
	talk_init(&t, "drip", true, 3);
	t.stop_after = 2;
	talk_run(&t);
	assert_int_equal(t.st, ST_CANCELLED);
	assert_int_equal(t.pieces, 2);
	talk_fini(&t);
}

static void test_remote__addresses_and_keys_are_checked(void **state)
{
	(void)state;
	const char *const bad[] = {"", "localhost", "file:///etc/passwd", "ftp://x/v1",
				   "http://user:pass@x/v1"};
	struct generator *g = NULL;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct llm_remote_options o = {.base_url = bad[i], .model = "m", .api_key = ""};
		assert_int_equal(llm_remote_open(mem_scope_root(), &o, &g, NULL), ST_INVALID);
	}
	struct llm_remote_options o = {
		.base_url = "http://x/v1", .model = "m", .api_key = "a\r\nb: c"};
	assert_int_equal(llm_remote_open(mem_scope_root(), &o, &g, NULL), ST_INVALID);
	assert_null(g);
}

static void test_remote__guesses_are_not_too_low(void **state)
{
	(void)state;
	assert_in_range(transport_tokens_guess(SPAN("The quick brown fox")), 5, 12);
	assert_in_range(transport_tokens_guess(SPAN("载重线以下的船体")), 8, 24);
	assert_in_range(transport_tokens_guess(SPAN("1234567890")), 10, 12);
}

/* ---- embeddings ---- */

struct embedding {
	struct mem_scope *scope;
	struct embedder *embedder;
	struct fault fault;
};

static void embedding_init(struct embedding *e, const char *mode, uint32_t context_tokens)
{
	char url[64];
	struct llm_remote_options options = options_for(mode, url);
	options.retries_max = 2;
	options.context_tokens = context_tokens;
	options.model = "e5-tiny";
	e->scope = mem_scope_open(mem_scope_root(), "embedding", 0);
	assert_int_equal(llm_remote_encoder_open(e->scope, &options, 4, &e->embedder, NULL), ST_OK);
}

static void embedding_fini(struct embedding *e)
{
	embedder_close(e->embedder);
	mem_scope_close(e->scope);
}

static void assert_vector(const float *v, double x, double y)
{
	double length = sqrt(x * x + y * y + 1);
	assert_true(fabs((double)v[0] - x / length) < 1e-5);
	assert_true(fabs((double)v[1] - y / length) < 1e-5);
	assert_true(fabs((double)v[2] - 1 / length) < 1e-5);
}

static void test_remote__vectors_in_order_with_prefixes(void **state)
{
	(void)state;
	enum { COUNT = 150 }; /* three calls */
	const char *const modes[] = {"good", "flaky-b"};
	struct span texts[COUNT];
	float vectors[COUNT * 4];
	char letters[COUNT];
	memset(letters, 'a', sizeof(letters));
	for (size_t i = 0; i < COUNT; i++)
		texts[i] = (struct span){letters, i};
	for (size_t m = 0; m < ARRAY_COUNT(modes); m++) {
		struct embedding e;
		size_t tokens;
		embedding_init(&e, modes[m], 0);
		struct embed_job job = {.texts = texts, .count = COUNT, .kind = EMBED_QUERY};
		assert_int_equal(embedder_embed(e.embedder, &job, vectors, &tokens, NULL), ST_OK);
		for (size_t i = 0; i < COUNT; i++) /* "query: " has seven bytes, and no a */
			assert_vector(vectors + i * 4, (double)i + 7, (double)i);
		embedding_fini(&e);
	}
}

static void test_remote__long_texts_become_windows(void **state)
{
	(void)state;
	struct embedding e;
	float vector[4];
	char text[1000];
	memset(text, 'a', sizeof(text));
	embedding_init(&e, "good", 100);
	struct span texts[] = {{text, sizeof(text)}};
	struct embed_job job = {.texts = texts, .count = 1, .kind = EMBED_PLAIN};
	assert_int_equal(embedder_embed(e.embedder, &job, vector, NULL, NULL), ST_OK);
	/* Windows of at most 182 bytes: their vectors lean less to the first two axes than one of
	 * 1000. */
	assert_true(vector[2] > 1.0F / 260 && vector[2] < 1.0F / 150);
	embedding_fini(&e);
}

static void test_remote__vectors_that_are_none_are_refused(void **state)
{
	(void)state;
	const struct {
		const char *mode, *words;
	} bad[] = {
		{"short", "vectors of 3 numbers, 4 were expected"},
		{"zero", "a vector that is none"},
		{"few", "not one vector for each text"},
		{"garbage", "not JSON"},
		{"endless", "more than"},
	};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct embedding e;
		float vectors[8] = {9, 9, 9, 9, 9, 9, 9, 9};
		struct span texts[] = {SPAN("one"), SPAN("two")};
		embedding_init(&e, bad[i].mode, 0);
		struct embed_job job = {.texts = texts, .count = 2, .kind = EMBED_PASSAGE};
		assert_int_equal(embedder_embed(e.embedder, &job, vectors, NULL, &e.fault),
				 ST_REMOTE);
		assert_non_null(strstr(e.fault.text, bad[i].words));
		assert_true(vectors[0] > 8 && vectors[7] > 8);
		embedding_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_remote__answers_whole_and_streamed),
		cmocka_unit_test(test_remote__every_failure_is_told_apart),
		cmocka_unit_test(test_remote__retries_until_it_goes_well),
		cmocka_unit_test(test_remote__nobody_there_and_no_such_host),
		cmocka_unit_test(test_remote__plain_text_is_not_tls),
		cmocka_unit_test(test_remote__cancel_and_a_reader_who_leaves),
		cmocka_unit_test(test_remote__addresses_and_keys_are_checked),
		cmocka_unit_test(test_remote__guesses_are_not_too_low),
		cmocka_unit_test(test_remote__vectors_in_order_with_prefixes),
		cmocka_unit_test(test_remote__long_texts_become_windows),
		cmocka_unit_test(test_remote__vectors_that_are_none_are_refused),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}

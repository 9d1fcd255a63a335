#include "cmd/workers.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cmd/cmd.h"
#include "qa/ingest.h"
#include "rt/clock.h"

enum { EVENT_MS = 200 };

struct reporter {
	struct mem_scope *scope;
	uint64_t reported_ms;
	char error[FAULT_TEXT_BYTES]; /* of the last file that failed */
};

static void print_event(struct buf *line)
{
	(void)buf_add_byte(line, '\n');
	if (line->refused == ST_OK) {
		(void)fwrite(line->data, 1, line->bytes, stdout);
		(void)fflush(stdout);
	}
	buf_fini(line);
}

static void on_progress(void *context, const struct ingest_progress *p)
{
	struct reporter *r = context;
	if (p->stage == INGEST_FAILED)
		(void)snprintf(r->error, sizeof r->error, "%s", p->error);
	bool last = p->stage == INGEST_DONE;
	if (!last && clock_ms() - r->reported_ms < EVENT_MS)
		return;
	r->reported_ms = clock_ms();
	struct buf line;
	struct json_writer w;
	buf_init(&line, r->scope, 16 * KIB);
	json_writer_init(&w, &line);
	json_object(&w);
	json_put_text(&w, "event", SPAN("progress"));
	json_put_text(&w, "file", span_of(p->file));
	json_put_int(&w, "bytes_done", (int64_t)p->bytes_done);
	json_put_int(&w, "bytes", (int64_t)p->bytes);
	json_put_int(&w, "chunks", (int64_t)p->chunks);
	json_object_end(&w);
	print_event(&line);
}

static void print_done(struct mem_scope *scope, const struct ingest_result *result, status st,
		       const char *error)
{
	struct buf line;
	struct json_writer w;
	buf_init(&line, scope, 16 * KIB);
	json_writer_init(&w, &line);
	json_object(&w);
	json_put_text(&w, "event", SPAN("done"));
	json_put_text(&w, "status", span_of(status_name(st)));
	json_put_int(&w, "added", (int64_t)result->added);
	json_put_int(&w, "skipped", (int64_t)result->skipped);
	json_put_int(&w, "failed", (int64_t)result->failed);
	json_put_int(&w, "chunks", (int64_t)result->chunks);
	if (error != NULL && *error != '\0')
		json_put_text(&w, "error", span_of(error));
	else
		json_put_null(&w, "error");
	json_object_end(&w);
	print_event(&line);
}

int ingest_worker_main(struct mem_scope *scope, struct cancel *cancel, int argc, char **argv)
{
	static const struct option options[] = {{"data", required_argument, NULL, 'd'},
						{"kb", required_argument, NULL, 'k'},
						{"upload", required_argument, NULL, 'u'},
						{"name", required_argument, NULL, 'n'},
						{0}};
	const char *data = NULL, *kb = NULL, *upload = NULL, *name = NULL;
	for (int code; (code = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1;) {
		switch (code) {
		case 'd':
			data = optarg;
			break;
		case 'k':
			kb = optarg;
			break;
		case 'u':
			upload = optarg;
			break;
		case 'n':
			name = optarg;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (data == NULL || kb == NULL || upload == NULL || name == NULL)
		return CMD_USAGE;
	struct service_options open = {.data = data, .no_generate = true};
	struct service *s = NULL;
	struct fault fault = {0};
	struct reporter reporter = {.scope = scope};
	struct ingest_options ingest = {
		.progress = on_progress, .context = &reporter, .cancel = cancel};
	struct ingest_result result = {0};
	status st = service_open(scope, &open, &s, &fault);
	if (st == ST_OK)
		st = ingest_add_upload(s, kb, upload, name, &ingest, &result, &fault);
	service_close(s);
	print_done(scope, &result, st, st != ST_OK ? fault_text(&fault) : reporter.error);
	return st == ST_OK && result.failed == 0 ? CMD_OK : CMD_FAILED;
}

/* The verbs that change what a knowledge base holds: add, rm, rebuild; with progress and a summary.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/verbs.h"
#include "qa/ingest.h"
#include "rt/clock.h"

struct watch {
	struct progress progress;
	struct cmd *cmd;
	uint64_t line_ms; /* last plain line of a long file */
};

enum { LINE_EVERY_MS = 5000 };

static void on_progress(void *context, const struct ingest_progress *p)
{
	struct watch *w = context;
	char note[64], size[CMD_SIZE_BYTES];
	switch (p->stage) {
	case INGEST_DONE:
		progress_line(&w->progress, "added    %s (%llu chunks)", p->file,
			      (unsigned long long)p->chunks);
		return;
	case INGEST_SKIPPED:
		progress_line(&w->progress, "same     %s", p->file);
		return;
	case INGEST_FAILED:
		progress_line(&w->progress, "failed   %s: %s", p->file, p->error);
		return;
	case INGEST_COPY:
	case INGEST_PARSE:
		break;
	}
	(void)snprintf(note, sizeof note, "%llu chunks, file %llu of %llu",
		       (unsigned long long)p->chunks, (unsigned long long)p->files_done + 1,
		       (unsigned long long)p->files);
	progress_bar(&w->progress, p->file, p->bytes_done, p->bytes, note);
	if (w->progress.terminal || clock_ms() - w->line_ms < LINE_EVERY_MS)
		return;
	w->line_ms = clock_ms();
	progress_line(&w->progress, "working  %s: %s, %s", p->file, cmd_size(p->bytes_done, size),
		      note);
}

static int print_result(struct cmd *cmd, const struct ingest_result *r, uint64_t ms)
{
	if (!cmd->json) {
		(void)printf("%llu added, %llu unchanged, %llu failed, %llu chunks, %.1f s\n",
			     (unsigned long long)r->added, (unsigned long long)r->skipped,
			     (unsigned long long)r->failed, (unsigned long long)r->chunks,
			     (double)ms / 1000);
		return r->failed > 0 ? CMD_FAILED : CMD_OK;
	}
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	json_object(&json.writer);
	json_put_int(&json.writer, "added", (int64_t)r->added);
	json_put_int(&json.writer, "skipped", (int64_t)r->skipped);
	json_put_int(&json.writer, "failed", (int64_t)r->failed);
	json_put_int(&json.writer, "chunks", (int64_t)r->chunks);
	json_put_int(&json.writer, "took_ms", (int64_t)ms);
	json_object_end(&json.writer);
	int code = cmd_json_end(cmd, &json);
	return r->failed > 0 ? CMD_FAILED : code;
}

typedef status write_body(struct cmd *cmd, struct service *s, const struct ingest_options *options,
			  struct ingest_result *ret_result, struct fault *reterr);

static int write_verb(struct cmd *cmd, write_body *body)
{
	struct fault fault = {0};
	struct service *s = NULL;
	struct watch watch = {.cmd = cmd, .line_ms = clock_ms()};
	struct ingest_result result = {0};
	uint64_t began = clock_ms();
	progress_init(&watch.progress, cmd);
	struct ingest_options options = {
		.progress = on_progress, .context = &watch, .cancel = cmd->cancel};
	status st = cmd_open(cmd, false, &s, &fault);
	if (st == ST_OK)
		st = body(cmd, s, &options, &result, &fault);
	progress_end(&watch.progress);
	service_close(s);
	if (st == ST_CANCELLED)
		(void)fault_set(
			&fault, ST_CANCELLED,
			"stopped; what was committed stays, the same command goes on from there");
	return st == ST_OK ? print_result(cmd, &result, clock_ms() - began) : cmd_fail(cmd, &fault);
}

static status add_body(struct cmd *cmd, struct service *s, const struct ingest_options *options,
		       struct ingest_result *ret_result, struct fault *reterr)
{
	const char *const *paths = (const char *const *)(void *)(cmd->operands + 1);
	return ingest_add(s, cmd->operands[0], paths, cmd->operand_count - 1, options, ret_result,
			  reterr);
}

int cmd_kb_add(struct cmd *cmd)
{
	return write_verb(cmd, add_body);
}

static status rebuild_body(struct cmd *cmd, struct service *s, const struct ingest_options *options,
			   struct ingest_result *ret_result, struct fault *reterr)
{
	const char *model = cmd_value(cmd, "model");
	struct kb_build build;
	status st = service_default_build(s, model != NULL ? model : "", &build, reterr);
	int64_t chars = build.chunk_chars;
	if (st == ST_OK && !cmd_number(cmd, "chunk-chars", 50, 4000, &chars))
		return fault_set(reterr, ST_INVALID, "nothing was changed");
	build.chunk_chars = (uint32_t)chars;
	return st == ST_OK
		       ? ingest_rebuild(s, cmd->operands[0], &build, options, ret_result, reterr)
		       : st;
}

int cmd_kb_rebuild(struct cmd *cmd)
{
	return write_verb(cmd, rebuild_body);
}

int cmd_kb_rm(struct cmd *cmd)
{
	struct fault fault = {0};
	struct service *s = NULL;
	size_t removed = 0;
	status st = cmd_open(cmd, false, &s, &fault);
	for (size_t i = 1; st == ST_OK && i < cmd->operand_count; i++) {
		st = ingest_delete(s, cmd->operands[0], cmd->operands[i], &fault);
		removed += st == ST_OK;
	}
	service_close(s);
	if (st != ST_OK)
		return cmd_fail(cmd, &fault);
	if (!cmd->json)
		return (void)printf("%zu removed\n", removed), CMD_OK;
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	json_object(&json.writer);
	json_put_int(&json.writer, "removed", (int64_t)removed);
	json_object_end(&json.writer);
	return cmd_json_end(cmd, &json);
}

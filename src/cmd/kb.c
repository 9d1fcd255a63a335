/* The verbs that look at knowledge bases, and make and delete whole ones. */
#include <stdio.h>
#include <string.h>

#include "cmd/verbs.h"
#include "kb/archive.h"
#include "rt/clock.h"

int cmd_init(struct cmd *cmd)
{
	struct fault fault = {0};
	struct service *s = NULL;
	if (cmd->operand_count > 0)
		cmd->data = cmd->operands[0];
	if (cmd_open(cmd, true, &s, &fault) != ST_OK)
		return cmd_fail(cmd, &fault);
	int code = CMD_OK;
	if (cmd->json) {
		struct cmd_json json;
		cmd_json_begin(cmd, &json);
		json_object(&json.writer);
		json_put_text(&json.writer, "data", span_of(service_data(s)));
		json_object_end(&json.writer);
		code = cmd_json_end(cmd, &json);
	} else {
		(void)printf("data directory ready: %s\n", service_data(s));
	}
	service_close(s);
	return code;
}

/* Open the data directory, run the body, print its fault, close. */
static int with_service(struct cmd *cmd, bool create,
			status (*body)(struct cmd *cmd, struct service *s, struct fault *reterr))
{
	struct fault fault = {0};
	struct service *s = NULL;
	status st = cmd_open(cmd, create, &s, &fault);
	if (st == ST_OK)
		st = body(cmd, s, &fault);
	service_close(s);
	return st == ST_OK ? CMD_OK : cmd_fail(cmd, &fault);
}

static void put_info(struct json_writer *w, const struct kb_info *info)
{
	json_object(w);
	json_put_text(w, "name", span_of(info->name));
	json_put_text(w, "description", span_of(info->description));
	json_put_int(w, "files", (int64_t)info->files);
	json_put_int(w, "chunks", (int64_t)info->chunks);
	json_put_int(w, "generation", info->generation);
	json_put_text(w, "model", span_of(info->build.model));
	json_put_int(w, "bytes", (int64_t)info->bytes);
	json_object_end(w);
}

static status read_info(struct service *s, const char *name, struct kb_info *ret,
			struct fault *reterr)
{
	struct kb *kb;
	status st = service_kb(s, name, &kb, reterr);
	if (st != ST_OK)
		return st;
	st = kb_info(kb, ret, reterr);
	service_kb_release(s, kb);
	return st;
}

static status show_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	struct kb_info info;
	status st = read_info(s, cmd->operands[0], &info, reterr);
	if (st != ST_OK)
		return st;
	if (cmd->json) {
		struct cmd_json json;
		cmd_json_begin(cmd, &json);
		put_info(&json.writer, &info);
		return cmd_json_end(cmd, &json) == CMD_OK ? ST_OK : ST_IO;
	}
	char size[CMD_SIZE_BYTES];
	(void)printf("name        %s\n", info.name);
	if (info.description[0] != '\0')
		(void)printf("description %s\n", info.description);
	(void)printf("files       %llu\nchunks      %llu\ngeneration  %u\nmodel       %s\non disk  "
		     "   %s\n",
		     (unsigned long long)info.files, (unsigned long long)info.chunks,
		     info.generation,
		     info.build.dim > 0 ? info.build.model : "none (full text only)",
		     cmd_size(info.bytes, size));
	return ST_OK;
}

int cmd_kb_show(struct cmd *cmd)
{
	return with_service(cmd, false, show_body);
}

struct listing {
	struct cmd *cmd;
	struct service *service;
	struct cmd_json json;
	size_t count;
};

static status list_one(void *context, const char *name, struct fault *reterr)
{
	struct listing *l = context;
	struct kb_info info;
	status st = read_info(l->service, name, &info, reterr);
	if (st != ST_OK)
		return st;
	l->count++;
	if (l->cmd->json) {
		put_info(&l->json.writer, &info);
		return ST_OK;
	}
	char size[CMD_SIZE_BYTES];
	(void)printf("%-24s %6llu files %8llu chunks  %9s  %s\n", info.name,
		     (unsigned long long)info.files, (unsigned long long)info.chunks,
		     cmd_size(info.bytes, size), info.description);
	return ST_OK;
}

static status list_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	struct listing l = {.cmd = cmd, .service = s};
	cmd_json_begin(cmd, &l.json);
	json_object(&l.json.writer);
	json_key_write(&l.json.writer, "kbs");
	json_array(&l.json.writer);
	status st = kb_list(service_kb_root(s), list_one, &l, reterr);
	if (st != ST_OK)
		return st;
	json_array_end(&l.json.writer);
	json_object_end(&l.json.writer);
	if (cmd->json)
		return cmd_json_end(cmd, &l.json) == CMD_OK ? ST_OK : ST_IO;
	buf_fini(&l.json.text);
	if (l.count == 0)
		(void)printf("no knowledge base yet: plimsoll kb create NAME\n");
	return ST_OK;
}

int cmd_kb_list(struct cmd *cmd)
{
	return with_service(cmd, false, list_body);
}

static status create_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	const char *model = cmd_value(cmd, "model"), *description = cmd_value(cmd, "description");
	struct kb_build build;
	status st = service_default_build(s, model != NULL ? model : "", &build, reterr);
	int64_t chars = build.chunk_chars;
	if (st == ST_OK && !cmd_number(cmd, "chunk-chars", 50, 4000, &chars))
		return fault_set(reterr, ST_INVALID, "nothing was made");
	build.chunk_chars = (uint32_t)chars;
	if (st == ST_OK)
		st = kb_create(service_kb_root(s), cmd->operands[0],
			       description != NULL ? description : "", &build, reterr);
	return st == ST_OK ? show_body(cmd, s, reterr) : st;
}

int cmd_kb_create(struct cmd *cmd)
{
	return with_service(cmd, true, create_body);
}

/* {"name":...,"done":true} or one line. */
static status report_done(struct cmd *cmd, const char *done)
{
	if (!cmd->json) {
		(void)printf("%s %s\n", done, cmd->operands[0]);
		return ST_OK;
	}
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	json_object(&json.writer);
	json_put_text(&json.writer, "name", span_of(cmd->operands[0]));
	json_put_text(&json.writer, "result", span_of(done));
	json_object_end(&json.writer);
	return cmd_json_end(cmd, &json) == CMD_OK ? ST_OK : ST_IO;
}

static status delete_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	status st = kb_delete(service_kb_root(s), cmd->operands[0], reterr);
	return st == ST_OK ? report_done(cmd, "deleted") : st;
}

int cmd_kb_delete(struct cmd *cmd)
{
	return with_service(cmd, false, delete_body);
}

static status rollback_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	status st = kb_rollback(service_kb_root(s), cmd->operands[0], reterr);
	return st == ST_OK ? report_done(cmd, "rolled back") : st;
}

int cmd_kb_rollback(struct cmd *cmd)
{
	return with_service(cmd, false, rollback_body);
}

static status compact_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	struct kb_writer *w;
	status st = kb_writer_open(cmd->scope, service_kb_root(s), cmd->operands[0], &w, reterr);
	if (st != ST_OK)
		return st;
	st = kb_writer_compact(w, true, cmd->cancel, reterr);
	kb_writer_close(w);
	return st == ST_OK ? report_done(cmd, "compacted") : st;
}

int cmd_kb_compact(struct cmd *cmd)
{
	return with_service(cmd, false, compact_body);
}

static status archive_path(struct cmd *cmd, const char *option, char ret_path[FILE_PATH_BYTES],
			   struct fault *reterr)
{
	const char *given = cmd_value(cmd, option);
	int n = given != NULL
			? snprintf(ret_path, FILE_PATH_BYTES, "%s", given)
			: snprintf(ret_path, FILE_PATH_BYTES, "%s.plimsoll.tar", cmd->operands[0]);
	if (n < 0 || n >= FILE_PATH_BYTES)
		return fault_set(reterr, ST_LIMIT, "the path of the archive is too long");
	return ST_OK;
}

static status export_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = archive_path(cmd, "output", path, reterr);
	if (st == ST_OK)
		st = kb_export(cmd->scope, service_kb_root(s), cmd->operands[0], path, cmd->cancel,
			       reterr);
	return st == ST_OK ? report_done(cmd, "exported") : st;
}

int cmd_kb_export(struct cmd *cmd)
{
	return with_service(cmd, false, export_body);
}

static status import_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = archive_path(cmd, "input", path, reterr);
	if (st == ST_OK)
		st = kb_import(cmd->scope, service_kb_root(s), cmd->operands[0], path, cmd->cancel,
			       reterr);
	return st == ST_OK ? report_done(cmd, "imported") : st;
}

int cmd_kb_import(struct cmd *cmd)
{
	return with_service(cmd, true, import_body);
}

static status list_file(void *context, const struct kb_file *file, struct fault *reterr)
{
	static const char *const names[] = {"pending", "ready", "failed"};
	struct listing *l = context;
	(void)reterr;
	l->count++;
	if (!l->cmd->json) {
		char size[CMD_SIZE_BYTES];
		(void)printf("%-8s %9s %7llu chunks  %.*s%s%.*s\n", names[file->status],
			     cmd_size(file->bytes, size), (unsigned long long)file->chunks,
			     SPAN_ARG(file->file), file->error.bytes > 0 ? "  - " : "",
			     SPAN_ARG(file->error));
		return ST_OK;
	}
	struct json_writer *w = &l->json.writer;
	json_object(w);
	json_put_text(w, "file", file->file);
	json_put_int(w, "bytes", (int64_t)file->bytes);
	json_put_text(w, "sha256", span_of(file->sha256));
	json_put_int(w, "chunks", (int64_t)file->chunks);
	json_put_text(w, "status", span_of(names[file->status]));
	if (file->error.bytes > 0)
		json_put_text(w, "error", file->error);
	else
		json_put_null(w, "error");
	json_object_end(w);
	return ST_OK;
}

static status files_body(struct cmd *cmd, struct service *s, struct fault *reterr)
{
	struct listing l = {.cmd = cmd, .service = s};
	struct kb *kb;
	status st = service_kb(s, cmd->operands[0], &kb, reterr);
	if (st != ST_OK)
		return st;
	cmd_json_begin(cmd, &l.json);
	json_object(&l.json.writer);
	json_key_write(&l.json.writer, "files");
	json_array(&l.json.writer);
	st = kb_files(kb, list_file, &l, reterr);
	service_kb_release(s, kb);
	json_array_end(&l.json.writer);
	json_object_end(&l.json.writer);
	if (st == ST_OK && cmd->json)
		return cmd_json_end(cmd, &l.json) == CMD_OK ? ST_OK : ST_IO;
	buf_fini(&l.json.text);
	if (st == ST_OK && l.count == 0)
		(void)printf("no files yet: plimsoll kb add %s PATH...\n", cmd->operands[0]);
	return st;
}

int cmd_kb_files(struct cmd *cmd)
{
	return with_service(cmd, false, files_body);
}

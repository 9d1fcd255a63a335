/* The verbs about model files: list, info, import, pull. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cmd/verbs.h"
#include "embed/import.h"
#include "embed/models.h"
#include "embed/pull.h"

/* The folders of models; there need not be a data directory yet. */
static status find_dirs(const struct cmd *cmd, struct model_dirs *ret, struct fault *reterr)
{
	const char *data = cmd->data != NULL ? cmd->data : getenv("PLIMSOLL_DATA");
	if (data == NULL || *data == '\0')
		data = "plimsoll-data";
	return model_dirs_init(ret, data, reterr);
}

/* Where a new model goes: the data directory, or the shared cache when asked or when there is none.
 */
static const char *target_dir(const struct cmd *cmd, const struct model_dirs *dirs)
{
	char parent[FILE_PATH_BYTES];
	(void)snprintf(parent, sizeof parent, "%s", dirs->own);
	char *slash = strrchr(parent, '/');
	if (slash != NULL)
		*slash = '\0';
	return cmd_value(cmd, "shared") != NULL || !file_exists(parent) ? dirs->cache : dirs->own;
}

static void put_model(struct json_writer *w, const struct model_info *m)
{
	json_object(w);
	json_put_text(w, "name", span_of(m->name));
	json_put_text(w, "kind", span_of(model_kind_name(m->kind)));
	json_put_text(w, "id", span_of(m->id));
	json_put_text(w, "precision", span_of(m->precision));
	json_put_text(w, "architecture", span_of(m->architecture));
	json_put_text(w, "path", span_of(m->path));
	json_put_int(w, "bytes", (int64_t)m->bytes);
	json_put_int(w, "dim", m->dim);
	json_put_int(w, "layers", m->layers);
	json_put_int(w, "heads", m->heads);
	json_put_int(w, "vocabulary", m->vocabulary);
	json_put_int(w, "tokens_max", m->tokens_max);
	json_put_text(w, "pooling", span_of(m->pooling));
	json_put_text(w, "query_prefix", span_of(m->query_prefix));
	json_put_text(w, "passage_prefix", span_of(m->passage_prefix));
	json_object_end(w);
}

static int print_models_json(struct cmd *cmd, const struct model_info *list, size_t count)
{
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	json_object(&json.writer);
	json_key_write(&json.writer, "models");
	json_array(&json.writer);
	for (size_t i = 0; i < count; i++)
		put_model(&json.writer, &list[i]);
	json_array_end(&json.writer);
	json_object_end(&json.writer);
	return cmd_json_end(cmd, &json);
}

int cmd_model_list(struct cmd *cmd)
{
	struct fault fault = {0};
	struct model_dirs dirs;
	size_t count = 0;
	struct model_info *list = mem_new_array(cmd->scope, struct model_info, MODEL_LIST_MAX);
	if (list == NULL)
		return cmd_fail(cmd, &(struct fault){.code = mem_refusal()});
	status st = find_dirs(cmd, &dirs, &fault);
	if (st == ST_OK)
		st = model_list(&dirs, list, MODEL_LIST_MAX, &count, &fault);
	if (st != ST_OK)
		return cmd_fail(cmd, &fault);
	int code = CMD_OK;
	if (cmd->json) {
		code = print_models_json(cmd, list, count);
	} else if (count == 0) {
		(void)printf("no models yet: `make models` fetches the default ones, `plimsoll "
			     "model import "
			     "PATH` converts your own\n");
	} else {
		for (size_t i = 0; i < count; i++) {
			char size[CMD_SIZE_BYTES];
			(void)printf("%-28s %-10s %-6s %9s  %s\n", list[i].name,
				     model_kind_name(list[i].kind), list[i].precision,
				     cmd_size(list[i].bytes, size), list[i].path);
		}
	}
	mem_free(list);
	return code;
}

static int print_model(struct cmd *cmd, const struct model_info *m)
{
	if (cmd->json) {
		struct cmd_json json;
		cmd_json_begin(cmd, &json);
		put_model(&json.writer, m);
		return cmd_json_end(cmd, &json);
	}
	char size[CMD_SIZE_BYTES];
	(void)printf("name          %s\nkind          %s\narchitecture  %s\nprecision     %s\n"
		     "file          %s (%s)\ntokens        %u\n",
		     m->name, model_kind_name(m->kind), m->architecture, m->precision, m->path,
		     cmd_size(m->bytes, size), m->tokens_max);
	if (m->kind == MODEL_EMBEDDER)
		(void)printf("id            %s\nvectors       %u numbers, %s pooling\nlayers       "
			     " %u, %u heads\n"
			     "vocabulary    %u\nprefixes      query \"%s\", passage \"%s\"\n",
			     m->id, m->dim, m->pooling, m->layers, m->heads, m->vocabulary,
			     m->query_prefix, m->passage_prefix);
	return CMD_OK;
}

int cmd_model_info(struct cmd *cmd)
{
	struct fault fault = {0};
	struct model_dirs dirs;
	struct model_info info;
	status st = find_dirs(cmd, &dirs, &fault);
	if (st == ST_OK)
		st = model_resolve(&dirs, cmd->operands[0], &info, &fault);
	return st == ST_OK ? print_model(cmd, &info) : cmd_fail(cmd, &fault);
}

static void on_bytes(void *context, uint64_t done, uint64_t total)
{
	char size[CMD_SIZE_BYTES];
	progress_bar(context, "model", done, total, cmd_size(done, size));
}

int cmd_model_import(struct cmd *cmd)
{
	static const char *const names[] = {
		[EMBED_BF16] = "bf16", [EMBED_INT8] = "int8", [EMBED_F32] = "f32"};
	struct fault fault = {0};
	struct model_dirs dirs;
	struct model_info info;
	struct progress progress;
	struct import_options options = {.name = cmd_value(cmd, "name"),
					 .replace = cmd_value(cmd, "replace") != NULL,
					 .progress = on_bytes,
					 .progress_context = &progress,
					 .cancel = cmd->cancel};
	const char *precision = cmd_value(cmd, "precision");
	size_t i = 0;
	while (precision != NULL && i < ARRAY_COUNT(names) && strcmp(precision, names[i]) != 0)
		i++;
	if (i == ARRAY_COUNT(names))
		return cmd_usage(cmd, "--precision must be bf16, int8 or f32, not '%s'", precision);
	options.precision = (enum embed_precision)i;
	progress_init(&progress, cmd);
	status st = find_dirs(cmd, &dirs, &fault);
	if (st == ST_OK)
		st = model_import(cmd->scope, cmd->operands[0], target_dir(cmd, &dirs), &options,
				  &info, &fault);
	progress_end(&progress);
	return st == ST_OK ? print_model(cmd, &info) : cmd_fail(cmd, &fault);
}

int cmd_model_pull(struct cmd *cmd)
{
	struct fault fault = {0};
	struct model_dirs dirs;
	struct progress progress;
	struct pull_result result;
	char name[FILE_NAME_BYTES], path[FILE_PATH_BYTES];
	progress_init(&progress, cmd);
	status st = find_dirs(cmd, &dirs, &fault);
	if (st == ST_OK && cmd_value(cmd, "name") != NULL) {
		if (!file_name_is_safe(span_of(cmd_value(cmd, "name"))))
			return cmd_usage(cmd, "--name must be a plain file name");
		(void)snprintf(name, sizeof name, "%s", cmd_value(cmd, "name"));
	} else if (st == ST_OK) {
		st = pull_name(cmd->operands[0], name, &fault);
	}
	if (st == ST_OK)
		st = path_join(path, target_dir(cmd, &dirs), name, &fault);
	struct pull_options options = {.url = cmd->operands[0],
				       .path = path,
				       .sha256 = cmd_value(cmd, "sha256"),
				       .progress = on_bytes,
				       .progress_context = &progress,
				       .cancel = cmd->cancel};
	if (st == ST_OK)
		st = pull_file(&options, &result, &fault);
	progress_end(&progress);
	if (st != ST_OK)
		return cmd_fail(cmd, &fault);
	if (!cmd->json)
		return (void)printf("%s\nsha256 %s\n", path, result.sha256), CMD_OK;
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	json_object(&json.writer);
	json_put_text(&json.writer, "path", span_of(path));
	json_put_int(&json.writer, "bytes", (int64_t)result.bytes);
	json_put_int(&json.writer, "resumed_from", (int64_t)result.resumed_from);
	json_put_text(&json.writer, "sha256", span_of(result.sha256));
	json_object_end(&json.writer);
	return cmd_json_end(cmd, &json);
}

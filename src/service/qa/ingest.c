/* The writer's lock of the KB is held from the first file to the last, so two ingests of one KB
 * never mix. A file's chunks are gathered into batches; each batch is embedded by all threads, then
 * stored and committed. What belongs to the file (bad format, broken text) fails the file; what
 * belongs to us (disk, model, memory) ends the call, and what is committed stays. */
#include "qa/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/size.h"
#include "doc/doc.h"
#include "kb/passage.h"
#include "qa/originals.h"
#include "qa/passage.h"

enum { BATCH_CHUNKS = 256, TEXT_MAX = 64 * 1024 };
#define BATCH_BYTES (4 * MIB)

struct ingest {
	struct service *service;
	const char *kb_name;
	const struct ingest_options *options;
	struct mem_scope *scope, *batch_scope;
	struct kb_writer *writer;
	struct embedder *embedder; /* NULL: full text only */
	struct ingest_progress progress;
	struct ingest_result result;
	/* The batch. Spans point into batch_scope, vectors is made once. */
	struct kb_new_chunk chunks[BATCH_CHUNKS];
	size_t count, batch_bytes;
	float *vectors;
	uint64_t skip; /* chunks of the current file that are already stored */
	bool fatal;    /* the failure in flight is ours, not the file's */
};

static void report(struct ingest *in, enum ingest_stage stage, const char *error)
{
	in->progress.stage = stage;
	in->progress.error = error;
	if (in->options->progress != NULL)
		in->options->progress(in->options->context, &in->progress);
}

static status ours(struct ingest *in, status st)
{
	if (st != ST_OK)
		in->fatal = true;
	return st;
}

/* ---- one batch ---- */

/* The encoder is opened for the first batch: deleting and skipping need none. */
static status open_encoder(struct ingest *in, struct fault *reterr)
{
	const struct kb_build *build = kb_writer_build(in->writer);
	if (build->dim == 0 || in->embedder != NULL)
		return ST_OK;
	struct embedder *e;
	status st = service_embedder(in->service, build->model, &e, reterr);
	if (st != ST_OK)
		return st;
	if (e->info.dim != build->dim)
		return fault_set(reterr, ST_INVALID,
				 "the knowledge base has vectors of %u numbers, model '%s' makes "
				 "%u: rebuild it with `plimsoll kb rebuild %s`",
				 build->dim, build->model, e->info.dim, in->kb_name);
	in->vectors = mem_new_array(in->scope, float, (size_t)BATCH_CHUNKS * build->dim);
	if (in->vectors == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for ingest");
	in->embedder = e;
	return ST_OK;
}

/* Vectors of the batch: known ones are looked up, the others embedded together. */
static status batch_embed(struct ingest *in, struct fault *reterr)
{
	uint32_t dim = in->embedder->info.dim;
	struct span texts[BATCH_CHUNKS];
	size_t places[BATCH_CHUNKS], unknown = 0;
	for (size_t i = 0; i < in->count; i++) {
		float *vector = in->vectors + i * dim;
		in->chunks[i].vector = vector;
		status st = kb_writer_known_vector(in->writer, &in->chunks[i], vector, reterr);
		if (st == ST_OK)
			continue;
		const struct kb_new_chunk *c = &in->chunks[i];
		struct buf text;
		buf_init(&text, in->batch_scope, 5 * TEXT_MAX);
		if (st != ST_NOT_FOUND ||
		    !passage_add(c->title, c->heading, c->context, c->text, &text))
			return st != ST_NOT_FOUND ? st : buf_check(&text, "a passage", reterr);
		texts[unknown] = buf_span(&text);
		places[unknown++] = i;
	}
	if (unknown == 0)
		return ST_OK;
	float *fresh = mem_new_array(in->batch_scope, float, unknown *dim);
	if (fresh == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vectors of a batch");
	int64_t threads = config_int(service_config(in->service), "embed.threads");
	if (threads <= 0)
		threads = sysconf(_SC_NPROCESSORS_ONLN);
	struct passage_job job = {.embedder = in->embedder,
				  .texts = texts,
				  .count = unknown,
				  .threads = threads > 0 ? (uint32_t)threads : 1,
				  .cancel = in->options->cancel};
	status st = passage_embed(&job, fresh, reterr);
	for (size_t u = 0; st == ST_OK && u < unknown; u++)
		memcpy(in->vectors + places[u] * dim, fresh + u * dim, dim * sizeof *fresh);
	return st;
}

static status batch_flush(struct ingest *in, struct fault *reterr)
{
	if (in->count == 0)
		return ST_OK;
	status st = open_encoder(in, reterr);
	if (st == ST_OK && in->embedder != NULL)
		st = batch_embed(in, reterr);
	if (st == ST_OK)
		st = kb_writer_add(in->writer, in->chunks, in->count, reterr);
	in->count = in->batch_bytes = 0;
	mem_scope_reset(in->batch_scope);
	return ours(in, st);
}

static bool copy_into(struct mem_scope *scope, struct span *inout)
{
	if (inout->bytes == 0) {
		*inout = SPAN("");
		return true;
	}
	inout->data = mem_copy_text(scope, *inout);
	return inout->data != NULL;
}

/* doc_parse() hands over one chunk. */
static status take_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	struct ingest *in = context;
	if (cancel_is_set(in->options->cancel))
		return fault_set(reterr, ST_CANCELLED, "stopped");
	in->progress.bytes_done = chunk->file_at;
	if (in->skip > 0) {
		in->skip--;
		in->progress.chunks++;
		return ST_OK;
	}
	struct kb_new_chunk *copy = &in->chunks[in->count];
	*copy = (struct kb_new_chunk){.doc_id = chunk->doc_id,
				      .title = chunk->title,
				      .heading = chunk->heading,
				      .context = chunk->context,
				      .text = chunk->text,
				      .page = chunk->page,
				      .start = chunk->start,
				      .end = chunk->end};
	struct span *texts[] = {&copy->doc_id, &copy->title, &copy->heading, &copy->context,
				&copy->text};
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		if (texts[i]->bytes > TEXT_MAX)
			return fault_set(reterr, ST_CORRUPT,
					 "a chunk of %zu bytes is over the ceiling of %d",
					 texts[i]->bytes, TEXT_MAX);
		in->batch_bytes += texts[i]->bytes;
		if (!copy_into(in->batch_scope, texts[i]))
			return ours(in, fault_set(reterr, mem_refusal(), "no memory for a batch"));
	}
	in->count++;
	in->progress.chunks++;
	if (in->count < BATCH_CHUNKS && in->batch_bytes < BATCH_BYTES)
		return ST_OK;
	status st = batch_flush(in, reterr);
	report(in, INGEST_PARSE, NULL);
	return st;
}

/* ---- one file ---- */

static status parse_and_store(struct ingest *in, const char *path, const char *name,
			      struct fault *reterr)
{
	struct doc_options options = {.chunk_chars = kb_writer_build(in->writer)->chunk_chars,
				      .cancel = in->options->cancel};
	in->fatal = false;
	in->count = in->batch_bytes = 0;
	in->progress.chunks = 0;
	struct mem_scope *scratch = mem_scope_open(in->scope, "parse", 0);
	if (scratch == NULL)
		return ours(in, fault_set(reterr, mem_refusal(), "no memory to parse '%s'", name));
	status st = doc_parse(scratch, path, name, &options, take_chunk, in, reterr);
	mem_scope_close(scratch);
	if (st == ST_OK)
		st = batch_flush(in, reterr);
	mem_scope_reset(in->batch_scope);
	if (st == ST_OK && in->progress.chunks == 0)
		st = fault_set(reterr, ST_INVALID, "no text found in it");
	if (st == ST_CANCELLED || st == ST_OOM || st == ST_BUDGET || st == ST_IO)
		in->fatal = true;
	return st;
}

/* The file's own failure is written down and the call goes on; the original is not kept. */
static status file_failed(struct ingest *in, bool begun, const char *temporary, struct fault *fault)
{
	struct fault why = *fault;
	status st = begun ? kb_writer_file_fail(in->writer, fault_text(&why), fault) : ST_OK;
	in->result.failed++;
	report(in, INGEST_FAILED, fault_text(&why));
	if (temporary != NULL && st == ST_OK)
		st = file_remove(temporary, fault);
	in->progress.files_done++;
	return st;
}

/* The file lies under its temporary name; index it. */
static status index_original(struct ingest *in, struct original *file, struct fault *reterr)
{
	struct kb_file known;
	status st = kb_writer_find(in->writer, file->name, in->batch_scope, &known, reterr);
	bool same = st == ST_OK && known.status == KB_FILE_READY &&
		    strcmp(known.sha256, file->sha256) == 0;
	mem_scope_reset(in->batch_scope);
	if (st != ST_OK && st != ST_NOT_FOUND)
		return st;
	in->progress.bytes = file->bytes;
	if (same) {
		in->result.skipped++;
		report(in, INGEST_SKIPPED, NULL);
		in->progress.files_done++;
		return file_remove(file->path, reterr);
	}
	st = kb_writer_file_begin(in->writer, file->name, file->sha256, file->bytes, &in->skip,
				  reterr);
	if (st != ST_OK)
		return st;
	report(in, INGEST_PARSE, NULL);
	st = parse_and_store(in, file->path, file->name, reterr);
	if (st != ST_OK)
		return in->fatal ? st : file_failed(in, true, file->path, reterr);
	st = original_settle(service_kb_root(in->service), in->kb_name, file, reterr);
	if (st == ST_OK)
		st = kb_writer_file_end(in->writer, reterr);
	if (st != ST_OK)
		return st;
	in->result.added++;
	in->result.chunks += in->progress.chunks;
	in->progress.bytes_done = file->bytes;
	report(in, INGEST_DONE, NULL);
	in->progress.files_done++;
	return ST_OK;
}

static void progress_begin(struct ingest *in, const char *name)
{
	in->progress.file = name;
	in->progress.bytes = in->progress.bytes_done = in->progress.chunks = 0;
	in->progress.error = NULL;
}

static bool is_files_fault(status st)
{
	return st == ST_INVALID || st == ST_NOT_FOUND || st == ST_UNSUPPORTED;
}

static status add_one(struct ingest *in, const char *source, const char *name, bool move,
		      struct fault *reterr)
{
	const char *root = service_kb_root(in->service);
	struct original file = {0};
	progress_begin(in, name);
	struct fault fault = {0};
	status st = ST_OK;
	if (!original_name_is_valid(span_of(name)))
		st = fault_set(&fault, ST_INVALID, "'%.100s' cannot be a file name here", name);
	else if (!doc_is_supported(name))
		st = fault_set(&fault, ST_UNSUPPORTED,
			       "the format of '%.100s' is not supported; known are txt, md, html, "
			       "csv, tsv, "
			       "json and jsonl",
			       name);
	if (st == ST_OK) {
		(void)snprintf(file.name, sizeof file.name, "%s", name);
		report(in, INGEST_COPY, NULL);
		st = move ? original_move_in(root, in->kb_name, source, &file, &fault)
			  : original_copy_in(root, in->kb_name, source, in->options->cancel, &file,
					     &fault);
	}
	if (st == ST_OK)
		st = index_original(in, &file, &fault);
	else if (is_files_fault(st))
		st = file_failed(in, false, NULL, &fault);
	if (st != ST_OK && reterr != NULL)
		*reterr = fault;
	return st;
}

/* ---- begin and end of a call ---- */

typedef status ingest_body(struct ingest *in, const void *arguments, struct fault *reterr);

static const struct ingest_options no_options;

/* Everything common: scope, writer, sweep, body, compaction, result. */
static status ingest_call(struct service *s, const char *kb_name,
			  const struct ingest_options *options, const struct kb_build *rebuild,
			  ingest_body *body, const void *arguments,
			  struct ingest_result *ret_result, struct fault *reterr)
{
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(service_scope(s), "ingest", 0);
	struct ingest *in = scope != NULL ? mem_new(scope, struct ingest) : NULL;
	if (in == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for ingest");
	in->service = s;
	in->kb_name = kb_name;
	in->options = options != NULL ? options : &no_options;
	in->scope = scope;
	in->batch_scope = mem_scope_open(scope, "batch", 64 * MIB);
	if (in->batch_scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for ingest");
	const char *root = service_kb_root(s);
	status st = rebuild != NULL
			    ? kb_rebuild_open(scope, root, kb_name, rebuild, &in->writer, reterr)
			    : kb_writer_open(scope, root, kb_name, &in->writer, reterr);
	struct kb *kb = NULL;
	if (st == ST_OK)
		st = service_kb(s, kb_name, &kb, reterr);
	if (st == ST_OK)
		st = original_sweep(root, kb_name, kb, reterr);
	if (kb != NULL)
		service_kb_release(s, kb);
	if (st == ST_OK)
		st = body(in, arguments, reterr);
	if (st == ST_OK && rebuild == NULL)
		st = kb_writer_compact(in->writer, false, in->options->cancel, reterr);
	kb_writer_close(in->writer);
	if (ret_result != NULL && (st == ST_OK || st == ST_CANCELLED))
		*ret_result = in->result;
	return st;
}

/* ---- add ---- */

struct add_arguments {
	const char *const *paths;
	size_t count;
	const char *upload_name; /* not NULL: paths[0] is an upload of this name */
};

struct folder_walk {
	struct ingest *in;
	const char *path; /* the folder */
	struct span base; /* its last component: the prefix of the names */
	bool count_only;
};

static status folder_entry(void *context, const char *relative, bool is_folder,
			   struct fault *reterr)
{
	struct folder_walk *walk = context;
	if (is_folder || !doc_is_supported(relative))
		return ST_OK;
	if (walk->count_only) {
		walk->in->progress.files++;
		return ST_OK;
	}
	char source[FILE_PATH_BYTES], name[FILE_PATH_BYTES];
	status st = path_join(source, walk->path, relative, reterr);
	if (st != ST_OK)
		return st;
	int n = snprintf(name, sizeof name, "%.*s/%s", SPAN_ARG(walk->base), relative);
	if (n < 0 || (size_t)n >= sizeof name)
		return fault_set(reterr, ST_LIMIT, "the name of '%s' is too long", source);
	return add_one(walk->in, source, name, false, reterr);
}

static status visit_path(struct ingest *in, const char *path, bool count_only, struct fault *reterr)
{
	struct stat info;
	char plain[FILE_PATH_BYTES];
	if (realpath(path, plain) != NULL && stat(plain, &info) == 0 && S_ISDIR(info.st_mode)) {
		struct folder_walk walk = {in, plain, path_base(plain), count_only};
		return dir_walk(plain, true, folder_entry, &walk, reterr);
	}
	if (count_only) {
		in->progress.files++;
		return ST_OK;
	}
	return add_one(in, path, path_base(path).data, false, reterr);
}

static status add_body(struct ingest *in, const void *arguments, struct fault *reterr)
{
	const struct add_arguments *add = arguments;
	if (add->upload_name != NULL) {
		in->progress.files = 1;
		return add_one(in, add->paths[0], add->upload_name, true, reterr);
	}
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < add->count; i++) {
			status st = visit_path(in, add->paths[i], pass == 0, reterr);
			if (st != ST_OK)
				return st;
		}
	}
	return ST_OK;
}

status ingest_add(struct service *s, const char *kb, const char *const *paths, size_t path_count,
		  const struct ingest_options *options, struct ingest_result *ret_result,
		  struct fault *reterr)
{
	struct add_arguments add = {.paths = paths, .count = path_count};
	return ingest_call(s, kb, options, NULL, add_body, &add, ret_result, reterr);
}

status ingest_add_upload(struct service *s, const char *kb, const char *path, const char *name,
			 const struct ingest_options *options, struct ingest_result *ret_result,
			 struct fault *reterr)
{
	struct add_arguments add = {.paths = &path, .count = 1, .upload_name = name};
	return ingest_call(s, kb, options, NULL, add_body, &add, ret_result, reterr);
}

/* ---- delete ---- */

static status delete_body(struct ingest *in, const void *arguments, struct fault *reterr)
{
	const char *name = arguments, *root = service_kb_root(in->service);
	struct kb_file known;
	status st = kb_writer_find(in->writer, name, in->batch_scope, &known, reterr);
	if (st == ST_OK)
		st = original_note_removal(root, in->kb_name, name, reterr);
	if (st == ST_OK)
		st = kb_writer_file_delete(in->writer, name, reterr);
	if (st == ST_OK)
		st = original_remove(root, in->kb_name, name, reterr);
	return st;
}

status ingest_delete(struct service *s, const char *kb, const char *name, struct fault *reterr)
{
	if (!original_name_is_valid(span_of(name)))
		return fault_set(reterr, ST_NOT_FOUND, "no file '%.100s' in knowledge base '%s'",
				 name, kb);
	return ingest_call(s, kb, NULL, NULL, delete_body, name, NULL, reterr);
}

/* ---- rebuild ---- */

static status rebuild_file(void *context, const struct kb_file *file, struct fault *reterr)
{
	struct ingest *in = context;
	if (file->status != KB_FILE_READY)
		return ST_OK;
	struct original from = {.bytes = file->bytes};
	(void)snprintf(from.name, sizeof from.name, "%.*s", SPAN_ARG(file->file));
	(void)snprintf(from.sha256, sizeof from.sha256, "%s", file->sha256);
	progress_begin(in, from.name);
	in->progress.bytes = file->bytes;
	struct kb_file known;
	status st = kb_writer_find(in->writer, from.name, in->batch_scope, &known, reterr);
	bool done = st == ST_OK && known.status == KB_FILE_READY;
	mem_scope_reset(in->batch_scope);
	if (st == ST_OK || st == ST_NOT_FOUND)
		st = original_path(service_kb_root(in->service), in->kb_name, from.name, from.path,
				   reterr);
	if (st == ST_OK && !done)
		st = kb_writer_file_begin(in->writer, from.name, from.sha256, from.bytes, &in->skip,
					  reterr);
	if (st != ST_OK || done)
		return st;
	report(in, INGEST_PARSE, NULL);
	st = parse_and_store(in, from.path, from.name, reterr);
	if (st != ST_OK)
		return in->fatal ? st : file_failed(in, true, NULL, reterr);
	st = kb_writer_file_end(in->writer, reterr);
	in->result.added++;
	in->result.chunks += in->progress.chunks;
	in->progress.bytes_done = file->bytes;
	report(in, INGEST_DONE, NULL);
	in->progress.files_done++;
	return st;
}

static status rebuild_body(struct ingest *in, const void *arguments, struct fault *reterr)
{
	(void)arguments;
	struct kb *kb;
	status st = service_kb(in->service, in->kb_name, &kb, reterr);
	if (st != ST_OK)
		return st;
	struct kb_info info;
	st = kb_info(kb, &info, reterr);
	if (st == ST_OK) {
		in->progress.files = info.files;
		st = kb_files(kb, rebuild_file, in, reterr);
	}
	service_kb_release(in->service, kb);
	if (st == ST_OK && in->result.failed > 0)
		st = fault_set(
			reterr, ST_INVALID,
			"%llu files cannot be built again, so the old generation stays: remove "
			"them or mend them, then rebuild again",
			(unsigned long long)in->result.failed);
	return st == ST_OK ? kb_writer_switch(in->writer, reterr) : st;
}

status ingest_rebuild(struct service *s, const char *kb, const struct kb_build *build,
		      const struct ingest_options *options, struct ingest_result *ret_result,
		      struct fault *reterr)
{
	ASSERT(build != NULL);
	return ingest_call(s, kb, options, build, rebuild_body, NULL, ret_result, reterr);
}

status ingest_original(struct service *s, const char *kb, const char *name,
		       char ret_path[FILE_PATH_BYTES], struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = original_path(service_kb_root(s), kb, name, path, reterr);
	if (st != ST_OK)
		return st;
	if (!kb_name_is_valid(span_of(kb)) || !file_exists(path))
		return fault_set(reterr, ST_NOT_FOUND, "no file '%.100s' in knowledge base '%.60s'",
				 name, kb);
	memcpy(ret_path, path, sizeof path);
	return ST_OK;
}

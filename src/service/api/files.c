#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "api/inside.h"
#include "api/runner.h"
#include "base/size.h"
#include "doc/doc.h"
#include "qa/ingest.h"
#include "qa/originals.h"

/* ---- listing ---- */

static status file_write(void *context, const struct kb_file *file, struct fault *reterr)
{
	static const char *const states[] = {"pending", "ready", "failed"};
	struct json_writer *w = context;
	json_object(w);
	json_put_text(w, "file", file->file);
	json_put_int(w, "bytes", (int64_t)file->bytes);
	json_put_text(w, "sha256", span_of(file->sha256));
	json_put_int(w, "chunks", (int64_t)file->chunks);
	json_put_text(w, "status", span_of(states[file->status]));
	if (file->error.bytes > 0)
		json_put_text(w, "error", file->error);
	else
		json_put_null(w, "error");
	json_object_end(w);
	return buf_check(w->out, "the list of files", reterr);
}

void handle_files(struct http_request *r)
{
	const char *name = request_kb(r);
	if (name == NULL)
		return;
	struct service *s = api_of(r)->service;
	struct kb *kb = NULL;
	struct fault fault = {0};
	if (service_kb(s, name, &kb, &fault) != ST_OK) {
		reply_fault(r, &fault, "kb");
		return;
	}
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, API_ANSWER_BYTES);
	json_writer_init(&w, &out);
	json_object(&w);
	json_key_write(&w, "files");
	json_array(&w);
	status st = kb_files(kb, file_write, &w, &fault);
	service_kb_release(s, kb);
	if (st != ST_OK) {
		reply_fault(r, &fault, NULL);
		return;
	}
	json_array_end(&w);
	json_object_end(&w);
	reply_json(r, 200, &out);
}

/* ---- upload: a job for each file ---- */

static status upload_check(const struct http_file *file, struct fault *reterr)
{
	if (strcmp(file->field, "file") != 0)
		return fault_set(reterr, ST_INVALID,
				 "a file came in the field '%.40s': use the field 'file'",
				 file->field);
	if (!original_name_is_valid(span_of(file->name)))
		return fault_set(reterr, ST_INVALID,
				 "'%.100s' cannot be a file's name here: no empty, '.' or '..' "
				 "part, no leading '/', no control character",
				 file->name);
	if (!doc_is_supported(file->name))
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%.100s' is of a kind that is not read: txt, md, html, csv, tsv, "
				 "json and jsonl are",
				 file->name);
	return ST_OK;
}

/* Keep the upload beyond the request, then queue it: a job never names a file that is not there. */
static status upload_queue(struct api *api, const char *kb, const struct http_file *file,
			   int64_t *ret_id, struct fault *reterr)
{
	struct job job = {.kind = "add", .total = file->bytes};
	char path[FILE_PATH_BYTES];
	snprintf(job.kb, sizeof(job.kb), "%s", kb);
	snprintf(job.file, sizeof(job.file), "%s", file->name);
	snprintf(job.path, sizeof(job.path), "temp/uploads/job-%lld-%d-%u", (long long)api->started,
		 (int)getpid(), atomic_fetch_add(&api->job_number, 1));
	status st = path_join(path, service_data(api->service), job.path, reterr);
	if (st == ST_OK)
		st = file_rename(file->path, path, reterr);
	if (st != ST_OK)
		return st;
	st = store_job_add(api->store, &job, reterr);
	if (st != ST_OK) {
		(void)!file_remove(path, NULL);
		return st;
	}
	*ret_id = job.id;
	return ST_OK;
}

static bool kb_exists(struct http_request *r, const char *name)
{
	struct kb *kb = NULL;
	struct fault fault = {0};
	if (service_kb(api_of(r)->service, name, &kb, &fault) != ST_OK) {
		reply_fault(r, &fault, "kb");
		return false;
	}
	service_kb_release(api_of(r)->service, kb);
	return true;
}

void handle_file_upload(struct http_request *r)
{
	const char *name = request_kb(r);
	if (name == NULL || !kb_exists(r, name))
		return;
	struct fault fault = {0};
	if (r->file_count == 0) {
		reply_error(r, 400, "invalid_value", "file",
			    "no file came: send multipart/form-data with a field 'file' that has a "
			    "file name");
		return;
	}
	for (size_t i = 0; i < r->file_count; i++) {
		if (upload_check(&r->files[i], &fault) != ST_OK) {
			reply_fault(r, &fault, "file");
			return;
		}
	}
	struct buf out;
	struct json_writer w;
	int64_t first = 0;
	buf_init(&out, r->scope, 8 * KIB);
	json_writer_init(&w, &out);
	json_object(&w);
	json_key_write(&w, "jobs");
	json_array(&w);
	for (size_t i = 0; i < r->file_count; i++) {
		int64_t id = 0;
		if (upload_queue(api_of(r), name, &r->files[i], &id, &fault) != ST_OK) {
			runner_wake(api_of(r)->runner); /* those before are queued */
			reply_fault(r, &fault, NULL);
			return;
		}
		first = i == 0 ? id : first;
		json_write_int(&w, id);
	}
	json_array_end(&w);
	json_put_int(&w, "job", first);
	json_object_end(&w);
	runner_wake(api_of(r)->runner);
	reply_json(r, 202, &out);
}

/* ---- one file ---- */

/* Nothing that a browser would run: text is text, all else is bytes to save. */
static const char *safe_type(const char *name)
{
	static const char *const text[] = {".txt", ".md",   ".markdown", ".csv",
					   ".tsv", ".json", ".jsonl"};
	size_t bytes = strlen(name);
	for (size_t i = 0; i < ARRAY_COUNT(text); i++) {
		size_t tail = strlen(text[i]);
		if (bytes > tail && strcasecmp(name + bytes - tail, text[i]) == 0)
			return "text/plain; charset=utf-8";
	}
	return "application/octet-stream";
}

struct text_answer {
	struct http_request *request;
	bool begun;
};

static const char *const file_headers[] = {"Content-Security-Policy: default-src 'none'; sandbox",
					   NULL};

static status text_piece(void *context, struct span piece, struct fault *reterr)
{
	struct text_answer *a = context;
	status st = ST_OK;
	if (!a->begun)
		st = http_stream_begin(a->request, 200, "text/plain; charset=utf-8", file_headers,
				       reterr);
	a->begun = a->begun || st == ST_OK;
	return st == ST_OK ? http_stream_write(a->request, piece, reterr) : st;
}

static void send_text(struct http_request *r, const char *path, const char *name)
{
	struct doc_options options = {.cancel = &r->cancel};
	struct text_answer answer = {.request = r};
	struct fault fault = {0};
	status st = doc_text(r->scope, path, name, &options, text_piece, &answer, &fault);
	if (!answer.begun && st != ST_OK)
		reply_fault(r, &fault, "file");
	else if (!answer.begun)
		http_reply(r, 200, "text/plain; charset=utf-8", SPAN(""), file_headers);
	else if (st != ST_OK)
		cancel_set(&r->cancel); /* cuts the line: nobody takes half a text for the whole */
}

void handle_file(struct http_request *r)
{
	const char *kb = request_kb(r);
	if (kb == NULL)
		return;
	const char *name = r->params[1].data;
	char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	status st = ingest_original(api_of(r)->service, kb, name, path, &fault);
	if (st == ST_OK && !file_exists(path))
		st = fault_set(&fault, ST_NOT_FOUND,
			       "there is no such file in this knowledge base");
	if (st != ST_OK) {
		reply_fault(r, &fault, "file");
		return;
	}
	const char *text = http_query(r, "text");
	if (text != NULL && strcmp(text, "1") == 0) {
		send_text(r, path, name);
		return;
	}
	struct buf disposition;
	buf_init(&disposition, r->scope, 8 * KIB);
	buf_add_text(&disposition, "Content-Disposition: attachment; filename*=UTF-8''");
	percent_write(&disposition, path_base(name), "");
	const char *headers[] = {disposition.refused == ST_OK ? disposition.data
							      : "Content-Disposition: attachment",
				 "Content-Security-Policy: default-src 'none'; sandbox", NULL};
	http_reply_file(r, path, safe_type(name), headers);
}

void handle_file_delete(struct http_request *r)
{
	const char *kb = request_kb(r);
	if (kb == NULL)
		return;
	struct fault fault = {0};
	if (ingest_delete(api_of(r)->service, kb, r->params[1].data, &fault) != ST_OK) {
		reply_fault(r, &fault, "file");
		return;
	}
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, 8 * KIB);
	json_writer_init(&w, &out);
	json_object(&w);
	json_put_text(&w, "file", r->params[1]);
	json_put_bool(&w, "deleted", true);
	json_object_end(&w);
	reply_json(r, 200, &out);
}

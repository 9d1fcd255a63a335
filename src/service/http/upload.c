#include "http/upload.h"

#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "rt/file.h"

enum { UPLOAD_BUFFER_BYTES = 32 * 1024 };

struct upload {
	struct MHD_PostProcessor *processor;
	struct http_file *files;
	size_t count;
	int fd; /* of the last file, -1 = none open */
};

static void refuse_fault(struct http_exchange *e, const struct fault *f)
{
	exchange_refuse(e, status_http(f->code), fault_text(f));
}

/* Durable before the answer says that the server has it. */
static status file_end(struct upload *u, struct fault *reterr)
{
	if (u->fd < 0)
		return ST_OK;
	status st = fd_sync(u->fd, reterr);
	fd_closep(&u->fd);
	u->fd = -1;
	return st;
}

static status file_begin(struct http_exchange *e, const char *field, const char *name,
			 struct fault *reterr)
{
	struct upload *u = e->upload;
	status st = file_end(u, reterr);
	if (st != ST_OK)
		return st;
	if (u->count == HTTP_FILES_MAX)
		return fault_set(reterr, ST_LIMIT, "more than %d files in one upload",
				 HTTP_FILES_MAX);
	struct mem_scope *scope = e->request.scope;
	char path[FILE_PATH_BYTES];
	snprintf(path, sizeof(path), "%s/upload-%d-%u", e->server->options.temp_dir, (int)getpid(),
		 atomic_fetch_add(&e->server->upload_number, 1));
	struct http_file file = {
		.field = mem_copy_text(scope, span_of(field)),
		.name = mem_copy_text(scope, span_of(name)),
		.path = mem_copy_text(scope, span_of(path)),
	};
	if (file.field == NULL || file.name == NULL || file.path == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the upload");
	st = fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600, &u->fd, reterr);
	if (st == ST_OK)
		u->files[u->count++] = file;
	return st;
}

/* The processor may tell twice that a part begins, the first time without a byte of it. */
static bool is_same_part(const struct upload *u, const char *key, const char *filename)
{
	const struct http_file *last = u->count > 0 ? &u->files[u->count - 1] : NULL;
	return last != NULL && last->bytes == 0 && strcmp(last->name, filename) == 0 &&
	       strcmp(last->field, key != NULL ? key : "") == 0;
}

static enum MHD_Result part(void *context, enum MHD_ValueKind kind, const char *key,
			    const char *filename, const char *type, const char *encoding,
			    const char *data, uint64_t off, size_t bytes)
{
	(void)kind, (void)type, (void)encoding;
	struct http_exchange *e = context;
	if (filename == NULL)
		return MHD_YES;
	struct upload *u = e->upload;
	struct fault fault = {0};
	status st = ST_OK;
	if (off == 0 && !is_same_part(u, key, filename))
		st = file_begin(e, key != NULL ? key : "", filename, &fault);
	if (st == ST_OK && bytes > 0) {
		st = fd_write(u->fd, (struct span){data, bytes}, &fault);
		u->files[u->count - 1].bytes += bytes;
	}
	if (st == ST_OK)
		return MHD_YES;
	refuse_fault(e, &fault);
	return MHD_NO;
}

bool upload_open(struct http_exchange *e)
{
	const char *type =
		MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "Content-Type");
	if (type == NULL || strncasecmp(type, "multipart/form-data", 19) != 0) {
		exchange_refuse(e, 400,
				"send the file as multipart/form-data, in a part with a name "
				"and a file name");
		return false;
	}
	struct upload *u = mem_new(e->request.scope, struct upload);
	struct http_file *files = mem_new_array(e->request.scope, struct http_file, HTTP_FILES_MAX);
	if (u == NULL || files == NULL) {
		exchange_refuse(e, 503, "no memory for an upload at the moment");
		return false;
	}
	*u = (struct upload){.files = files, .fd = -1};
	u->processor = MHD_create_post_processor(e->connection, UPLOAD_BUFFER_BYTES, part, e);
	if (u->processor == NULL) {
		exchange_refuse(e, 400, "the Content-Type of the upload has no boundary");
		return false;
	}
	e->upload = u;
	return true;
}

void upload_add(struct http_exchange *e, struct span data)
{
	if (MHD_post_process(e->upload->processor, data.data, data.bytes) != MHD_YES)
		exchange_refuse(e, 400, "the multipart body is malformed");
}

void upload_finish(struct http_exchange *e)
{
	struct upload *u = e->upload;
	enum MHD_Result whole = MHD_destroy_post_processor(u->processor);
	u->processor = NULL;
	struct fault fault = {0};
	if (whole != MHD_YES)
		exchange_refuse(e, 400, "the multipart body ends before its last boundary");
	else if (file_end(u, &fault) != ST_OK)
		refuse_fault(e, &fault);
	e->request.files = u->files;
	e->request.file_count = u->count;
}

void upload_close(struct http_exchange *e)
{
	struct upload *u = e->upload;
	if (u == NULL)
		return;
	e->upload = NULL;
	if (u->processor != NULL)
		MHD_destroy_post_processor(u->processor);
	fd_closep(&u->fd);
	for (size_t i = 0; i < u->count; i++)
		unlink(u->files[i].path);
}

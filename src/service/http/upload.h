/* http/upload.h -- private to http/: a multipart body streamed into temporary files.
 *
 * libmicrohttpd's post processor finds the parts; each part with a file name goes to its own file
 * in options.temp_dir, parts without one are passed over. Memory is the processor's buffer,
 * whatever the upload's size. Runs in libmicrohttpd's thread. A refusal goes through
 * exchange_refuse(). */
#ifndef HTTP_UPLOAD_H
#define HTTP_UPLOAD_H

#include "http/exchange.h"

/* False: refused. */
bool upload_open(struct http_exchange *e);
void upload_add(struct http_exchange *e, struct span data);
/* The body is complete: request.files and file_count are set, or the request refused. */
void upload_finish(struct http_exchange *e);
/* Remove the files that nobody renamed away. May be called twice. */
void upload_close(struct http_exchange *e);

#endif

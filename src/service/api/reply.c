#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/inside.h"
#include "base/size.h"
#include "rt/log.h"

enum { ERROR_BYTES = 2048, CODE_BYTES = 32 };

static const char *error_type(int http)
{
	switch (http) {
	case 401:
		return "authentication_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 429:
		return "rate_limit_error";
	case 503:
		return "unavailable_error";
	default:
		return http < 500 ? "invalid_request_error" : "server_error";
	}
}

const char *error_code(status st)
{
	static const char *const codes[] = {
		[ST_OK] = "ok",
		[ST_OOM] = "out_of_memory",
		[ST_BUDGET] = "memory_load_line",
		[ST_LIMIT] = "too_large",
		[ST_INVALID] = "invalid_value",
		[ST_UNSUPPORTED] = "unsupported",
		[ST_CORRUPT] = "corrupt_data",
		[ST_NOT_FOUND] = "not_found",
		[ST_EXISTS] = "exists_already",
		[ST_BUSY] = "busy",
		[ST_TIMEOUT] = "timeout",
		[ST_CANCELLED] = "cancelled",
		[ST_IO] = "io_error",
		[ST_REMOTE] = "remote_failed",
	};
	return codes[st];
}

void error_write(struct json_writer *w, int http, const char *code, const char *param,
		 const char *message)
{
	json_object(w);
	json_key_write(w, "error");
	json_object(w);
	json_put_text(w, "message", span_of(message));
	json_put_text(w, "type", span_of(error_type(http)));
	if (param != NULL && param[0] != '\0')
		json_put_text(w, "param", span_of(param));
	else
		json_put_null(w, "param");
	json_put_text(w, "code", span_of(code));
	json_object_end(w);
	json_object_end(w);
}

void reply_error(struct http_request *r, int http, const char *code, const char *param,
		 const char *message)
{
	static const char *const retry[] = {"Retry-After: 1", NULL};
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, ERROR_BYTES);
	json_writer_init(&w, &out);
	error_write(&w, http, code, param, message);
	/* 503 gets its Retry-After from http/ when http/ itself refuses. */
	http_reply(r, http, "application/json", buf_span(&out), http == 503 ? retry : NULL);
}

void reply_fault(struct http_request *r, const struct fault *fault, const char *param)
{
	int http = status_http(fault->code);
	if (http >= 500 && http != 503)
		log_line(LOG_ERROR, "api", "%s: %s", r->route, fault_text(fault));
	reply_error(r, http, error_code(fault->code), param, fault_text(fault));
}

void reply_refusal(struct http_request *r, int http, const char *message)
{
	const char *code = "invalid_value";
	if (http == 404)
		code = "not_found";
	else if (http == 405)
		code = "method_not_allowed";
	else if (http == 413)
		code = "too_large";
	else if (http == 503)
		code = "busy";
	else if (http >= 500)
		code = "server_error";
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, ERROR_BYTES);
	json_writer_init(&w, &out);
	error_write(&w, http, code, NULL, message);
	http_reply(r, http, "application/json", buf_span(&out), NULL);
}

void reply_json(struct http_request *r, int http, const struct buf *out)
{
	struct fault fault = {0};
	if (buf_check(out, "the answer", &fault) != ST_OK)
		reply_fault(r, &fault, NULL);
	else
		http_reply(r, http, "application/json", buf_span(out), NULL);
}

bool request_json(struct http_request *r, struct json **ret_root)
{
	struct fault fault = {0};
	struct json *root = NULL;
	if (r->body.bytes == 0) {
		reply_error(r, 400, "invalid_json", NULL, "the body is empty: send a JSON object");
		return false;
	}
	if (json_parse(r->body, &root, &fault) != ST_OK) {
		char text[FAULT_TEXT_BYTES + 40];
		snprintf(text, sizeof(text), "the body is not JSON: %s", fault_text(&fault));
		reply_error(r, 400, "invalid_json", NULL, text);
		return false;
	}
	if (json_kind(root) != JSON_OBJECT) {
		json_free(root);
		reply_error(r, 400, "invalid_json", NULL, "the body must be a JSON object");
		return false;
	}
	*ret_root = root;
	return true;
}

bool reply_field_error(struct http_request *r, const struct field_error *error)
{
	if (error->fault.code == ST_OK)
		return false;
	reply_fault(r, &error->fault, error->param);
	return true;
}

const char *request_kb(struct http_request *r)
{
	if (!kb_name_is_valid(r->params[0])) {
		reply_error(r, 404, "not_found", "kb", "no knowledge base can have this name");
		return NULL;
	}
	return r->params[0].data; /* terminated: url_decode() made it */
}

void percent_write(struct buf *out, struct span text, const char *keep)
{
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c < 0x80 && c != 0 && (isalnum(c) || strchr("-._~", c) || strchr(keep, c)))
			buf_add_byte(out, (char)c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void file_url_write(struct buf *out, const char *kb, struct span file)
{
	buf_add_text(out, "/api/v1/kbs/");
	percent_write(out, span_of(kb), "");
	buf_add_text(out, "/files/");
	percent_write(out, file, "/");
}

#include "api/api.h"

#include <unistd.h>

#include "api/inside.h"
#include "api/runner.h"
#include "base/size.h"
#include "rt/clock.h"
#include "rt/log.h"

enum {
	IDLE_SECONDS = 30,
	CHAT_BODY_MAX = 4 * 1024 * 1024, /* 256 messages of a long talk */
	EMBED_BODY_MAX = 16 * 1024 * 1024,
};

#define KBS "/api/v1/kbs"

/* body_max 0: server.body_max; the upload route takes server.upload_max. */
static const struct http_route routes[] = {
	{"GET", "/health", handle_health, 0, false},
	{"GET", "/ready", handle_ready, 0, false},
	{"GET", "/v1/models", handle_models, 0, false},
	{"GET", "/v1/models/{model*}", handle_model, 0, false},
	{"POST", "/v1/chat/completions", handle_chat, CHAT_BODY_MAX, false},
	{"POST", "/v1/embeddings", handle_embeddings, EMBED_BODY_MAX, false},
	{"GET", KBS, handle_kbs, 0, false},
	{"POST", KBS, handle_kb_create, 0, false},
	{"GET", KBS "/{kb}", handle_kb, 0, false},
	{"DELETE", KBS "/{kb}", handle_kb_delete, 0, false},
	{"POST", KBS "/{kb}/search", handle_search, 0, false},
	{"GET", KBS "/{kb}/files", handle_files, 0, false},
	{"POST", KBS "/{kb}/files", handle_file_upload, 0, true},
	{"GET", KBS "/{kb}/files/{file*}", handle_file, 0, false},
	{"DELETE", KBS "/{kb}/files/{file*}", handle_file_delete, 0, false},
	{"GET", "/api/v1/jobs/{id}", handle_job, 0, false},
	{"DELETE", "/api/v1/jobs/{id}", handle_job_cancel, 0, false},
};

static void on_answered(void *app, const char *method, const char *route, int code, double ms)
{
	(void)app;
	log_line(code >= 500 && code != 503 ? LOG_WARNING : LOG_DEBUG, "http", "%s %s %d %.1f ms",
		 method, route, code, ms);
}

/* Chats wait in the generator's queue with their thread; they must not keep all others waiting. */
static uint32_t worker_count(const struct config *config)
{
	int64_t wanted = config_int(config, "server.workers");
	if (wanted > 0)
		return (uint32_t)wanted;
	int64_t waiting =
		config_int(config, "generate.sequences") + config_int(config, "generate.queue");
	int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);
	return (uint32_t)(cores + 2 + (waiting < 64 ? waiting : 64));
}

static status listen_http(struct api *api, const struct api_options *options, struct fault *reterr)
{
	const struct config *config = service_config(api->service);
	struct http_route *own = mem_new_array(api->scope, struct http_route, ARRAY_COUNT(routes));
	if (own == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the server's routes");
	memcpy(own, routes, sizeof(routes));
	for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
		if (own[i].multipart)
			own[i].body_max = (uint64_t)config_int(config, "server.upload_max");
	}
	api->workers = worker_count(config);
	struct http_options http = {
		.listen = options->listen != NULL ? options->listen
						  : config_text(config, "server.listen"),
		.routes = own,
		.route_count = ARRAY_COUNT(routes),
		.app = api,
		.temp_dir = api->uploads,
		.workers = api->workers,
		.queue_max = (uint32_t)config_int(config, "server.queue"),
		.connections_max = (uint32_t)config_int(config, "server.connections"),
		.body_max = (uint64_t)config_int(config, "server.body_max"),
		.idle_seconds = IDLE_SECONDS,
		.log = on_answered,
		.error = reply_refusal,
	};
	return http_open(api->scope, &http, &api->http, reterr);
}

status api_open(struct mem_scope *parent, struct service *service,
		const struct api_options *options, struct api **ret_api, struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(parent, "api", 0);
	struct api *api = scope != NULL ? mem_new(scope, struct api) : NULL;
	if (api == NULL) {
		status refused = mem_refusal();
		mem_scope_close(scope);
		return fault_set(reterr, refused, "no memory for the server");
	}
	api->scope = scope;
	api->service = service;
	api->started = clock_unix_s();
	status st = path_join(api->uploads, service_data(service), "temp/uploads", reterr);
	if (st == ST_OK)
		st = dir_make(api->uploads, reterr);
	if (st == ST_OK)
		st = store_open(scope, service_data(service), &api->store, reterr);
	/* The socket first: a second server on the same address fails before it touches a job. */
	if (st == ST_OK)
		st = listen_http(api, options, reterr);
	if (st == ST_OK)
		st = runner_open(api, &api->runner, reterr);
	if (st != ST_OK) {
		api_close(api, 0);
		return st;
	}
	*ret_api = api;
	return ST_OK;
}

const char *api_address(const struct api *api)
{
	return http_address(api->http);
}

void api_close(struct api *api, uint32_t grace_ms)
{
	if (api == NULL)
		return;
	http_close(api->http, grace_ms);
	runner_close(api->runner);
	store_close(api->store);
	mem_scope_close(api->scope);
}

/* ---- is it there, and can it work? ---- */

void handle_health(struct http_request *r)
{
	http_reply(r, 200, "application/json", SPAN("{\"status\":\"ok\"}"), NULL);
}

void handle_ready(struct http_request *r)
{
	struct service *s = api_of(r)->service;
	struct embedder *embedder = NULL;
	struct fault fault = {0};
	if (service_embedder(s, "", &embedder, &fault) != ST_OK) {
		reply_error(r, 503, "not_ready", NULL, fault_text(&fault));
		return;
	}
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, 4 * KIB);
	json_writer_init(&w, &out);
	json_object(&w);
	json_put_text(&w, "status", SPAN("ok"));
	json_put_text(&w, "embedding_model", span_of(embedder->info.name));
	const char *generator = service_generator_name(s);
	if (generator[0] != '\0')
		json_put_text(&w, "generation_model", span_of(generator));
	else
		json_put_null(&w, "generation_model");
	json_object_end(&w);
	reply_json(r, 200, &out);
}

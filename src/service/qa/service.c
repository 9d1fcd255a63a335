#include "qa/service.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "embed/engine.h"
#include "embed/models.h"

enum { EMBEDDERS_MAX = 4, KBS_MAX = 32, QUERIES_WAITING_MAX = 256 };
#define REMOTE_ID "remote:"

struct kb_slot {
	char name[KB_NAME_BYTES];
	struct kb *kb; /* NULL: the slot is free */
	uint32_t users;
	uint64_t used;  /* value of `clock` at the last use */
	bool forgotten; /* close when the last user is done */
};

struct service {
	struct mem_scope *scope;
	struct config *config;
	char data[FILE_PATH_BYTES], kb_root[FILE_PATH_BYTES];
	struct model_dirs models;
	bool no_generate, serving;
	pthread_mutex_t model_lock; /* embedders and generator; held while one is loaded */
	struct embedder *embedders[EMBEDDERS_MAX];
	char embedder_wanted[EMBEDDERS_MAX][EMBED_ID_BYTES]; /* what it was asked for as */
	struct generator *generator;
	char generator_name[LLM_NAME_BYTES];
	bool generator_found; /* generator_name is decided */
	bool generator_is_default;
	pthread_mutex_t kb_lock; /* slots; held while a KB is opened, not while one is closed */
	struct kb_slot kbs[KBS_MAX];
	uint64_t clock;
};

/* ---- opening ---- */

static const char *data_dir_of(const struct service_options *options)
{
	if (options->data != NULL)
		return options->data;
	const char *environment = getenv("PLIMSOLL_DATA");
	return environment != NULL && *environment != '\0' ? environment : "plimsoll-data";
}

static status write_default_config(const struct service *s, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = path_join(path, s->data, "plimsoll.yaml", reterr);
	if (st != ST_OK || file_exists(path))
		return st;
	CLEANUP(buf_fini) struct buf text;
	buf_init(&text, s->scope, 64 * KIB);
	if (!config_write_default(&text))
		return buf_check(&text, "the default configuration", reterr);
	return file_replace(path, buf_span(&text), reterr);
}

static status make_data_dir(struct service *s, bool create, struct fault *reterr)
{
	if (!create) {
		if (file_exists(s->data))
			return ST_OK;
		return fault_set(
			reterr, ST_NOT_FOUND,
			"there is no data directory '%s': make one with `plimsoll init %s`",
			s->data, s->data);
	}
	static const char *const folders[] = {"kb", "models", "temp"};
	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		char path[FILE_PATH_BYTES];
		status st = path_join(path, s->data, folders[i], reterr);
		if (st == ST_OK)
			st = dir_make(path, reterr);
		if (st != ST_OK)
			return st;
	}
	return write_default_config(s, reterr);
}

static status settle_config(struct service *s, const char *const *settings, struct fault *reterr)
{
	status st = config_open(s->scope, s->data, &s->config, reterr);
	for (; st == ST_OK && settings != NULL && *settings != NULL; settings++) {
		const char *equals = strchr(*settings, '=');
		char key[64];
		if (equals == NULL || (size_t)(equals - *settings) >= sizeof key)
			return fault_set(reterr, ST_INVALID, "'%s' is not of the form key=value",
					 *settings);
		(void)snprintf(key, sizeof key, "%.*s", (int)(equals - *settings), *settings);
		st = config_set(s->config, key, equals + 1, reterr);
	}
	return st;
}

status service_open(struct mem_scope *parent, const struct service_options *options,
		    struct service **ret_service, struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(parent, "service", 0);
	struct service *s = scope != NULL ? mem_new(scope, struct service) : NULL;
	if (s == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory to open the data directory");
	}
	s->scope = scope;
	s->no_generate = options->no_generate;
	s->serving = options->serving;
	pthread_mutex_init(&s->model_lock, NULL);
	pthread_mutex_init(&s->kb_lock, NULL);
	const char *data = data_dir_of(options);
	int n = snprintf(s->data, sizeof s->data, "%s", data);
	status st =
		n < 0 || (size_t)n >= sizeof s->data
			? fault_set(reterr, ST_LIMIT, "the path of the data directory is too long")
			: path_join(s->kb_root, data, "kb", reterr);
	if (st == ST_OK)
		st = make_data_dir(s, options->create, reterr);
	if (st == ST_OK)
		st = settle_config(s, options->settings, reterr);
	if (st == ST_OK) {
		size_t line = (size_t)config_int(s->config, "memory.line");
		mem_account_set_lines(mem_account_root(), line - line / 8, line);
		st = model_dirs_init(&s->models, s->data, reterr);
	}
	if (st == ST_OK)
		st = kb_sweep(s->kb_root, reterr);
	if (st != ST_OK) {
		service_close(s);
		return st;
	}
	*ret_service = s;
	return ST_OK;
}

void service_close(struct service *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < KBS_MAX; i++) {
		ASSERT(s->kbs[i].users == 0);
		kb_close(s->kbs[i].kb);
	}
	for (size_t i = 0; i < EMBEDDERS_MAX; i++)
		embedder_close(s->embedders[i]);
	if (s->generator != NULL)
		s->generator->ops->close(s->generator);
	config_close(s->config);
	pthread_mutex_destroy(&s->model_lock);
	pthread_mutex_destroy(&s->kb_lock);
	mem_scope_close(s->scope);
}

const char *service_data(const struct service *s)
{
	return s->data;
}

const char *service_kb_root(const struct service *s)
{
	return s->kb_root;
}

const struct config *service_config(const struct service *s)
{
	return s->config;
}

struct mem_scope *service_scope(struct service *s)
{
	return s->scope;
}

/* ---- models ---- */

static uint32_t cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (uint32_t)size_min((size_t)n, 64) : 1;
}

static status open_remote_embedder(struct service *s, struct embedder **ret, struct fault *reterr)
{
	struct llm_remote_options remote = {.base_url = config_text(s->config, "embed.base_url"),
					    .model = config_text(s->config, "embed.remote_model"),
					    .api_key = config_text(s->config, "embed.api_key"),
					    .retries_max = 3,
					    .at_once_max = cores()};
	if (*remote.base_url == '\0')
		return fault_set(
			reterr, ST_NOT_FOUND,
			"this knowledge base was built with a remote encoder: set embed.base_url, "
			"embed.remote_model and embed.remote_dim");
	return llm_remote_encoder_open(s->scope, &remote,
				       (uint32_t)config_int(s->config, "embed.remote_dim"), ret,
				       reterr);
}

static status open_embedder(struct service *s, const char *id, struct embedder **ret,
			    struct fault *reterr)
{
	struct model_info info;
	const char *wanted = *id != '\0' ? id : config_text(s->config, "embed.model");
	bool remote = strncmp(wanted, REMOTE_ID, strlen(REMOTE_ID)) == 0 ||
		      (*wanted == '\0' && *config_text(s->config, "embed.base_url") != '\0');
	if (remote)
		return open_remote_embedder(s, ret, reterr);
	status st = *wanted != '\0' ? model_resolve(&s->models, wanted, &info, reterr)
				    : model_default_embedder(&s->models, &info, reterr);
	/* A plain name means bf16 where there is one; the setting asks for another form of it. */
	const char *precision = config_text(s->config, "embed.precision");
	if (st == ST_OK && *id == '\0' && strpbrk(wanted, ":/") == NULL &&
	    info.kind == MODEL_EMBEDDER && strcmp(precision, "bf16") != 0) {
		char other[MODEL_NAME_BYTES + 16];
		(void)snprintf(other, sizeof other, "%s:%s", info.name, precision);
		st = model_resolve(&s->models, other, &info, reterr);
	}
	if (st != ST_OK)
		return st;
	if (info.kind == MODEL_ENCODER)
		return llm_encoder_open(s->scope, info.path, ret, reterr);
	if (info.kind != MODEL_EMBEDDER)
		return fault_set(reterr, ST_INVALID, "'%s' generates text, it cannot embed",
				 info.name);
	int64_t threads = config_int(s->config, "embed.threads");
	uint32_t at_once = threads > 0 ? (uint32_t)threads : cores();
	struct engine_options options = {.batch_workspaces = s->serving ? 1 : at_once,
					 .query_workspaces = s->serving ? cores() : 1,
					 .waiting_max = QUERIES_WAITING_MAX};
	if (strcmp(info.precision, "int8") == 0)
		options.precision = EMBED_INT8;
	else if (strcmp(info.precision, "f32") == 0)
		options.precision = EMBED_F32;
	return engine_open(s->scope, info.path, &options, ret, reterr);
}

status service_embedder(struct service *s, const char *id, struct embedder **ret_embedder,
			struct fault *reterr)
{
	status st = ST_OK;
	pthread_mutex_lock(&s->model_lock);
	struct embedder *found = NULL;
	size_t free_slot = EMBEDDERS_MAX;
	for (size_t i = 0; i < EMBEDDERS_MAX && found == NULL; i++) {
		struct embedder *e = s->embedders[i];
		if (e == NULL)
			free_slot = free_slot == EMBEDDERS_MAX ? i : free_slot;
		else if (strcmp(s->embedder_wanted[i], id) == 0 || strcmp(e->info.id, id) == 0)
			found = e;
	}
	if (found == NULL && free_slot == EMBEDDERS_MAX) {
		st = fault_set(reterr, ST_LIMIT, "more than %d embedding models are in use at once",
			       EMBEDDERS_MAX);
	} else if (found == NULL) {
		st = open_embedder(s, id, &found, reterr);
		if (st == ST_OK) {
			s->embedders[free_slot] = found;
			(void)snprintf(s->embedder_wanted[free_slot], EMBED_ID_BYTES, "%s", id);
		}
	}
	pthread_mutex_unlock(&s->model_lock);
	if (st == ST_OK)
		*ret_embedder = found;
	return st;
}

/* Decide once which generator this service has; ret_info is only filled for a local one. */
static status find_generator(struct service *s, struct model_info *ret_info, bool *ret_remote,
			     struct fault *reterr)
{
	const char *wanted = config_text(s->config, "generate.model");
	const char *base_url = config_text(s->config, "generate.base_url");
	*ret_remote = false;
	s->generator_is_default = false;
	if (s->no_generate || !config_bool(s->config, "generate.enabled"))
		return fault_set(reterr, ST_NOT_FOUND, "generation is switched off");
	if (*base_url != '\0') {
		*ret_remote = true;
		const char *model = config_text(s->config, "generate.remote_model");
		(void)snprintf(s->generator_name, sizeof s->generator_name, "%s", model);
		return ST_OK;
	}
	status st;
	if (*wanted != '\0') {
		st = model_resolve(&s->models, wanted, ret_info, reterr);
		if (st == ST_OK && ret_info->kind != MODEL_GENERATOR)
			st = fault_set(reterr, ST_INVALID, "'%s' embeds, it cannot generate text",
				       wanted);
	} else {
		st = model_default_generator(&s->models, ret_info, reterr);
		s->generator_is_default = true;
	}
	if (st == ST_OK)
		(void)snprintf(s->generator_name, sizeof s->generator_name, "%s", ret_info->name);
	return st;
}

static status open_generator(struct service *s, struct fault *reterr)
{
	struct model_info info;
	bool remote;
	const struct config *c = s->config;
	status st = find_generator(s, &info, &remote, reterr);
	if (st != ST_OK)
		return st;
	if (remote) {
		struct llm_remote_options options = {
			.base_url = config_text(c, "generate.base_url"),
			.model = config_text(c, "generate.remote_model"),
			.api_key = config_text(c, "generate.api_key"),
			.retries_max = 3,
			.context_tokens = (uint32_t)config_int(c, "generate.context"),
			.at_once_max = (uint32_t)config_int(c, "generate.sequences")};
		return llm_remote_open(s->scope, &options, &s->generator, reterr);
	}
	struct llm_local_options options = {
		.path = info.path,
		.context_tokens = (uint32_t)config_int(c, "generate.context"),
		.sequences = (uint32_t)config_int(c, "generate.sequences"),
		.queue_max = (uint32_t)config_int(c, "generate.queue"),
		.threads = (uint32_t)config_int(c, "generate.threads"),
		.kv_bytes_max = (uint64_t)config_int(c, "generate.kv_max")};
	return llm_local_open(s->scope, &options, &s->generator, reterr);
}

status service_generator(struct service *s, struct generator **ret_generator, struct fault *reterr)
{
	pthread_mutex_lock(&s->model_lock);
	status st = s->generator != NULL ? ST_OK : open_generator(s, reterr);
	if (st == ST_OK)
		*ret_generator = s->generator;
	pthread_mutex_unlock(&s->model_lock);
	return st;
}

const char *service_generator_name(struct service *s)
{
	pthread_mutex_lock(&s->model_lock);
	if (!s->generator_found) {
		struct model_info info;
		bool remote;
		if (find_generator(s, &info, &remote, NULL) != ST_OK)
			s->generator_name[0] = '\0';
		s->generator_found = true;
	}
	pthread_mutex_unlock(&s->model_lock);
	return s->generator_name;
}

bool service_generator_fits(struct service *s, struct span question)
{
	if (*service_generator_name(s) == '\0')
		return false;
	if (!s->generator_is_default)
		return true;
	for (size_t at = 0; at < question.bytes;) {
		uint32_t point;
		at += utf8_decode(question, at, &point);
		if (utf8_is_unspaced_script(point))
			return false;
	}
	return true;
}

status service_default_build(struct service *s, const char *model, struct kb_build *ret_build,
			     struct fault *reterr)
{
	struct kb_build build = {.chunk_chars = (uint32_t)config_int(s->config, "chunk.chars")};
	if (strcmp(model, "none") != 0) {
		struct embedder *e;
		status st = service_embedder(s, model, &e, reterr);
		if (st != ST_OK)
			return st;
		build.dim = e->info.dim;
		(void)snprintf(build.model, sizeof build.model, "%s", e->info.id);
	}
	*ret_build = build;
	return ST_OK;
}

/* ---- knowledge bases ---- */

static struct kb_slot *slot_of_name(struct service *s, const char *name)
{
	for (size_t i = 0; i < KBS_MAX; i++) {
		struct kb_slot *slot = &s->kbs[i];
		if (slot->kb != NULL && !slot->forgotten && strcmp(slot->name, name) == 0)
			return slot;
	}
	return NULL;
}

/* A free slot, or the least recently used idle one, whose KB is handed to *ret_close. */
static struct kb_slot *slot_to_fill(struct service *s, struct kb **ret_close)
{
	struct kb_slot *best = NULL;
	for (size_t i = 0; i < KBS_MAX; i++) {
		struct kb_slot *slot = &s->kbs[i];
		if (slot->users > 0)
			continue;
		if (best == NULL || slot->kb == NULL ||
		    (best->kb != NULL && slot->used < best->used))
			best = slot;
	}
	if (best != NULL) {
		*ret_close = best->kb;
		*best = (struct kb_slot){0};
	}
	return best;
}

status service_kb(struct service *s, const char *name, struct kb **ret_kb, struct fault *reterr)
{
	status st = ST_OK;
	struct kb *evicted = NULL;
	pthread_mutex_lock(&s->kb_lock);
	struct kb_slot *slot = slot_of_name(s, name);
	if (slot == NULL) {
		/* Opening reads one small file and some rows: other callers can wait for it, and
		 * two handles of one KB are never made. */
		struct kb *kb;
		st = kb_open(s->scope, s->kb_root, name, &kb, reterr);
		slot = st == ST_OK ? slot_to_fill(s, &evicted) : NULL;
		if (st == ST_OK && slot == NULL) {
			kb_close(kb);
			st = fault_set(reterr, ST_BUSY, "%d knowledge bases are in use at once",
				       KBS_MAX);
		} else if (st == ST_OK) {
			slot->kb = kb;
			(void)snprintf(slot->name, sizeof slot->name, "%s", name);
		}
	}
	if (slot != NULL) {
		slot->users++;
		slot->used = ++s->clock;
		*ret_kb = slot->kb;
	}
	pthread_mutex_unlock(&s->kb_lock);
	kb_close(evicted);
	return st;
}

void service_kb_release(struct service *s, struct kb *kb)
{
	struct kb *done = NULL;
	pthread_mutex_lock(&s->kb_lock);
	for (size_t i = 0; i < KBS_MAX; i++) {
		struct kb_slot *slot = &s->kbs[i];
		if (slot->kb != kb)
			continue;
		ASSERT(slot->users > 0);
		if (--slot->users == 0 && slot->forgotten) {
			done = slot->kb;
			*slot = (struct kb_slot){0};
		}
		break;
	}
	pthread_mutex_unlock(&s->kb_lock);
	kb_close(done);
}

void service_kb_forget(struct service *s, const char *name)
{
	struct kb *done = NULL;
	pthread_mutex_lock(&s->kb_lock);
	struct kb_slot *slot = slot_of_name(s, name);
	if (slot != NULL && slot->users == 0) {
		done = slot->kb;
		*slot = (struct kb_slot){0};
	} else if (slot != NULL) {
		slot->forgotten = true;
	}
	pthread_mutex_unlock(&s->kb_lock);
	kb_close(done);
}

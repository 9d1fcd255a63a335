/* qa/service.h -- an open data directory: settings, models, knowledge bases. Every use case starts
 * from one; the CLI opens it for a verb, the server for its whole life.
 *
 * Lifetime  service_open() .. service_close(). Models are loaded on first use and kept: one object
 *           per process. Open knowledge bases are kept up to a bounded number, least recently used
 *           first to go; service_kb() hands out a counted reference.
 * Threads   All functions may be called from any thread. */
#ifndef QA_SERVICE_H
#define QA_SERVICE_H

#include <stdbool.h>

#include "base/status.h"
#include "embed/embedder.h"
#include "kb/kb.h"
#include "llm/llm.h"
#include "mem/scope.h"
#include "rt/config.h"
#include "rt/file.h"

struct service;

struct service_options {
	const char *data; /* --data; NULL: $PLIMSOLL_DATA, else ./plimsoll-data */
	bool create;      /* make the folder and plimsoll.yaml when absent */
	const char *const
		*settings; /* "key=value" of the command line, ends with NULL; NULL: none */
	bool no_generate;  /* never load a generation model */
	bool serving;      /* many questions at once, few batches; else one caller and batches */
};

MUST_CHECK status service_open(struct mem_scope *parent, const struct service_options *options,
			       struct service **ret_service, struct fault *reterr);
void service_close(struct service *s);

const char *service_data(const struct service *s);    /* the data directory */
const char *service_kb_root(const struct service *s); /* <data>/kb */
const struct config *service_config(const struct service *s);
struct mem_scope *service_scope(struct service *s);

/* The embedder for vectors of this id ("" = the default model). Borrowed; lives as long as s.
 * ST_NOT_FOUND says which model is missing and how to get it (`plimsoll model import`, `make
 * models`). */
MUST_CHECK status service_embedder(struct service *s, const char *id,
				   struct embedder **ret_embedder, struct fault *reterr);
/* ST_NOT_FOUND when none is configured or found: answers are then extractive. Borrowed. */
MUST_CHECK status service_generator(struct service *s, struct generator **ret_generator,
				    struct fault *reterr);
/* The name a client may ask for, without loading: "" when there is none. */
const char *service_generator_name(struct service *s);
/* False when the generator is only the small English one that `make models` fetches and the
 * question is Chinese: quoting is then the better answer. A generator that the user configured
 * always fits. */
bool service_generator_fits(struct service *s, struct span question);

/* A knowledge base, opened or shared. End with service_kb_release(). */
MUST_CHECK status service_kb(struct service *s, const char *name, struct kb **ret_kb,
			     struct fault *reterr);
void service_kb_release(struct service *s, struct kb *kb);
/* Drop the cached handle (after kb_delete). */
void service_kb_forget(struct service *s, const char *name);

/* What a new knowledge base is built with: default model and chunk size of the settings. model: a
 * name or id, "" = default, "none" = full text only. */
MUST_CHECK status service_default_build(struct service *s, const char *model,
					struct kb_build *ret_build, struct fault *reterr);

#endif

/* qa/hits_json.h -- hits and citations in JSON, the same for the command line and HTTP. */
#ifndef QA_HITS_JSON_H
#define QA_HITS_JSON_H

#include "qa/answer.h"
#include "rt/json.h"

/* {"query","took_ms","answerable","hits":[{"rank","score","chunk_id","doc_id","file","title",
 * "page","start","end","text","vector_score","text_score"}]} */
void hits_json_write(struct json_writer *w, struct span query, const struct retrieval *r);

/* [{"chunk_id","kb","file","page","start","end","title","text","score"}]; page is null without
 * pages. */
void citations_json_write(struct json_writer *w, const struct citation *list, size_t count);

#endif

#include "qa/hits_json.h"

static void put_page(struct json_writer *w, uint32_t page)
{
	if (page > 0)
		json_put_int(w, "page", page);
	else
		json_put_null(w, "page");
}

static void hit_write(struct json_writer *w, size_t rank, const struct kb_hit *h)
{
	json_object(w);
	json_put_int(w, "rank", (int64_t)rank);
	json_put_real(w, "score", (double)h->score);
	json_put_int(w, "chunk_id", (int64_t)h->chunk);
	json_put_text(w, "doc_id", h->doc_id);
	json_put_text(w, "file", h->file);
	json_put_text(w, "title", h->title);
	if (h->heading.bytes > 0)
		json_put_text(w, "heading", h->heading);
	if (h->context.bytes > 0)
		json_put_text(w, "context", h->context);
	put_page(w, h->page);
	json_put_int(w, "start", (int64_t)h->start);
	json_put_int(w, "end", (int64_t)h->end);
	json_put_text(w, "text", h->text);
	json_put_real(w, "vector_score", (double)h->vector_score);
	json_put_real(w, "text_score", (double)h->text_score);
	json_object_end(w);
}

void hits_json_write(struct json_writer *w, struct span query, const struct retrieval *r)
{
	json_object(w);
	json_put_text(w, "query", query);
	json_put_real(w, "took_ms", r->took_ms);
	json_put_bool(w, "answerable", r->answerable);
	json_key_write(w, "hits");
	json_array(w);
	for (size_t i = 0; i < r->hits.count; i++)
		hit_write(w, i + 1, &r->hits.hits[i]);
	json_array_end(w);
	json_object_end(w);
}

void citations_json_write(struct json_writer *w, const struct citation *list, size_t count)
{
	json_array(w);
	for (size_t i = 0; i < count; i++) {
		const struct citation *c = &list[i];
		json_object(w);
		json_put_int(w, "chunk_id", (int64_t)c->chunk_id);
		json_put_text(w, "kb", span_of(c->kb));
		json_put_text(w, "doc_id", c->doc_id);
		json_put_text(w, "file", c->file);
		put_page(w, c->page);
		json_put_int(w, "start", (int64_t)c->start);
		json_put_int(w, "end", (int64_t)c->end);
		json_put_text(w, "title", c->title);
		json_put_text(w, "text", c->text);
		json_put_real(w, "score", (double)c->score);
		json_object_end(w);
	}
	json_array_end(w);
}

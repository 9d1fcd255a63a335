#include "llm/vectors.h"

#include <math.h>
#include <stdio.h>

/* From the model cards. A name that holds one of these belongs to the family. */
static const struct family {
	const char *name, *query, *passage;
} families[] = {
	{"e5-", "query: ", "passage: "},
	{"nomic-embed", "search_query: ", "search_document: "},
	{"snowflake-arctic-embed", "query: ", ""},
	{"mxbai-embed", "Represent this sentence for searching relevant passages: ", ""},
};

void vectors_set_prefixes(struct embedder_info *info)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (strcasestr(info->name, families[i].name) == NULL)
			continue;
		snprintf(info->query_prefix, sizeof(info->query_prefix), "%s", families[i].query);
		snprintf(info->passage_prefix, sizeof(info->passage_prefix), "%s",
			 families[i].passage);
		return;
	}
}

struct span vectors_prefix(const struct embedder_info *info, enum embed_kind kind)
{
	if (kind == EMBED_PLAIN)
		return SPAN("");
	return span_of(kind == EMBED_QUERY ? info->query_prefix : info->passage_prefix);
}

void vectors_normalise(float *vector, uint32_t dim)
{
	double square = 0;
	for (uint32_t d = 0; d < dim; d++)
		square += (double)vector[d] * (double)vector[d];
	if (square <= 0.0)
		return;
	float scale = (float)(1.0 / sqrt(square));
	for (uint32_t d = 0; d < dim; d++)
		vector[d] *= scale;
}

/* A folder in the sentence-transformers layout: what its small files say about the model. The
 * vocabulary is in import_vocabulary.c. */
#include <stdio.h>

#include "base/size.h"
#include "embed/import_model.h"
#include "embed/import_vocabulary.h"
#include "rt/json.h"

#define CONFIG_BYTES_MAX (4 * MIB)

/* Parse folder/name; *ret_root NULL when there is no such file. */
static status read_json(struct mem_scope *scope, const char *folder, const char *name,
			struct json **ret_root, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	struct span text;
	*ret_root = NULL;
	status st = path_join(path, folder, name, reterr);
	if (st != ST_OK || !file_exists(path))
		return st;
	st = file_read(scope, path, CONFIG_BYTES_MAX, &text, reterr);
	if (st == ST_OK)
		st = json_parse(text, ret_root, reterr);
	return st;
}

static uint32_t number(const struct json *object, const char *key)
{
	int64_t value = json_int(json_get(object, key), 0);
	return value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
}

static bool text_is(const struct json *object, const char *key, const char *wanted)
{
	return span_equal(json_text(json_get(object, key)), span_of(wanted));
}

static status read_config(const struct json *c, struct import_model *m, struct fault *reterr)
{
	struct span type = json_text(json_get(c, "model_type"));
	struct span act = json_text(json_get(c, "hidden_act"));
	bool roberta = span_equal(type, SPAN("xlm-roberta")) || span_equal(type, SPAN("roberta")) ||
		       span_equal(type, SPAN("camembert"));
	if (!roberta && !span_equal(type, SPAN("bert")))
		return fault_set(
			reterr, ST_UNSUPPORTED,
			"models of the type '%.*s' are not of the BERT family: bring a GGUF",
			SPAN_ARG(span_slice(type, 0, 40)));
	if (!span_equal(act, SPAN("gelu")) || (json_get(c, "position_embedding_type") != NULL &&
					       !text_is(c, "position_embedding_type", "absolute")))
		return fault_set(reterr, ST_UNSUPPORTED,
				 "activation '%.*s' or its positions are not "
				 "those of BERT",
				 SPAN_ARG(span_slice(act, 0, 40)));
	m->dim = number(c, "hidden_size");
	m->heads = number(c, "num_attention_heads");
	m->ffn = number(c, "intermediate_size");
	m->layers = number(c, "num_hidden_layers");
	m->vocab = number(c, "vocab_size");
	m->positions = number(c, "max_position_embeddings");
	m->position_skip = roberta ? (uint32_t)json_int(json_get(c, "pad_token_id"), 1) + 1 : 0;
	m->norm_eps = (float)json_real(json_get(c, "layer_norm_eps"), 1e-12);
	if (m->positions <= m->position_skip || m->position_skip > 16)
		return fault_set(reterr, ST_INVALID, "config.json gives no number of positions");
	m->tokens_max = m->positions - m->position_skip;
	return ST_OK;
}

static status read_pooling(const struct json *p, struct import_model *m, struct fault *reterr)
{
	m->pooling = PACKED_MEAN;
	if (p == NULL || json_bool(json_get(p, "pooling_mode_mean_tokens"), false))
		return ST_OK;
	m->pooling = PACKED_CLS;
	if (json_bool(json_get(p, "pooling_mode_cls_token"), false))
		return ST_OK;
	return fault_set(reterr, ST_UNSUPPORTED,
			 "the model pools neither the mean nor the first token");
}

static status read_modules(const struct json *modules, struct fault *reterr)
{
	static const char *const known[] = {"Transformer", "Pooling", "Normalize"};
	for (size_t i = 0; i < json_count(modules); i++) {
		struct span type = json_text(json_get(json_at(modules, i), "type"));
		bool found = false;
		for (size_t j = 0; j < ARRAY_COUNT(known); j++) {
			struct span end = span_of(known[j]);
			found |= type.bytes >= end.bytes &&
				 span_equal(span_slice(type, type.bytes - end.bytes, type.bytes),
					    end);
		}
		if (!found)
			return fault_set(reterr, ST_UNSUPPORTED, "the model has a module '%.*s'",
					 SPAN_ARG(span_slice(type, 0, 80)));
	}
	return ST_OK;
}

static status set_prefix(char prefix[EMBED_PREFIX_BYTES], struct span text, struct fault *reterr)
{
	if (text.bytes >= EMBED_PREFIX_BYTES)
		return fault_set(reterr, ST_UNSUPPORTED, "a prompt of %zu bytes; at most %d fit",
				 text.bytes, EMBED_PREFIX_BYTES - 1);
	memset(prefix, 0, EMBED_PREFIX_BYTES);
	memcpy(prefix, text.data, text.bytes);
	return ST_OK;
}

static status read_prompts(const struct json *config, struct import_model *m, struct fault *reterr)
{
	const struct json *prompts = json_get(config, "prompts");
	if (json_count(prompts) == 0)
		return ST_OK;
	static const char *const passages[] = {"passage", "document", "corpus"};
	struct span query = json_text(json_get(prompts, "query")), passage = {"", 0};
	for (size_t i = 0; i < ARRAY_COUNT(passages) && passage.bytes == 0; i++)
		if (json_text(json_get(prompts, passages[i])).bytes > 0)
			passage = json_text(json_get(prompts, passages[i]));
	if (query.bytes == 0 && passage.bytes == 0)
		return ST_OK;
	if (query.bytes == 0)
		query = SPAN("");
	m->prefixes_known = true;
	status st = set_prefix(m->query_prefix, query, reterr);
	return st == ST_OK ? set_prefix(m->passage_prefix, passage, reterr) : st;
}

/* One small file: parse it, hand it to its reader, free it. */
static status apply_file(struct mem_scope *scope, const char *folder, const char *name,
			 struct import_model *m, struct fault *reterr)
{
	struct json *root;
	status st = read_json(scope, folder, name, &root, reterr);
	if (st != ST_OK)
		return st;
	if (strcmp(name, "config.json") == 0)
		st = root != NULL ? read_config(root, m, reterr)
				  : fault_set(reterr, ST_INVALID, "the model has no config.json");
	else if (strcmp(name, "modules.json") == 0)
		st = read_modules(root, reterr);
	else if (strcmp(name, "1_Pooling/config.json") == 0)
		st = read_pooling(root, m, reterr);
	else if (strcmp(name, "config_sentence_transformers.json") == 0)
		st = read_prompts(root, m, reterr);
	else if (number(root, "max_seq_length") > 0)
		m->tokens_max = (uint32_t)size_min(m->tokens_max, number(root, "max_seq_length"));
	json_free(root);
	return st;
}

/* Fine-tuned models put a name before every tensor. */
static const char *find_prefix(const struct tensor_list *tensors)
{
	static const char *const prefixes[] = {"", "bert.", "roberta.", "model.", "0.auto_model."};
	for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
		char name[TENSOR_NAME_BYTES];
		snprintf(name, sizeof(name), "%sembeddings.word_embeddings.weight", prefixes[i]);
		if (tensor_find(tensors, name) != NULL)
			return prefixes[i];
	}
	return prefixes[0];
}

status import_folder_read(struct mem_scope *scope, const char *folder,
			  const struct file_map *weights, struct import_model *model,
			  struct fault *reterr)
{
	static const char *const files[] = {
		"config.json",
		"modules.json",
		"1_Pooling/config.json",
		"config_sentence_transformers.json",
		"sentence_bert_config.json",
	};
	status st = ST_OK;
	model->names = TENSOR_NAMES_HF;
	for (size_t i = 0; i < ARRAY_COUNT(files) && st == ST_OK; i++)
		st = apply_file(scope, folder, files[i], model, reterr);
	if (st == ST_OK)
		st = safetensors_read(scope, weights, &model->tensors, reterr);
	if (st == ST_OK) {
		model->name_prefix = find_prefix(&model->tensors);
		st = import_vocabulary_read(scope, folder, model->vocab, &model->vocabulary,
					    reterr);
	}
	return st;
}

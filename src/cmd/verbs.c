#include "cmd/verbs.h"

#include "base/size.h"

enum { MANY = 4096 };

/* clang-format off: a table reads as rows */

#define MODEL_OPTION {"model", 'm', "NAME", "a name of `model list`; none = full text only"}
#define CHUNK_OPTION {"chunk-chars", 0, "N", "size of a passage, Latin characters count 1/3"}
#define ARM_OPTION {"arm", 0, "ARM", "hybrid (default), vector or text"}

const struct cmd_verb cmd_verbs[] = {
	{"init", "[DIR]", "make a data directory with a commented plimsoll.yaml",
	 cmd_init, 0, 1, {{0}}},
	{"serve", "", "serve the HTTP API and print the address", cmd_serve, 0, 0,
	 {{"listen", 'l', "ADDR:PORT", "default 127.0.0.1:7861; port 0 picks a free one"},
	  {"no-generate", 0, NULL, "never load a generation model: answers are quotations"}}},
	{"kb create", "NAME", "make an empty knowledge base", cmd_kb_create, 1, 1,
	 {{"description", 0, "TEXT", "what it holds"}, MODEL_OPTION, CHUNK_OPTION}},
	{"kb list", "", "list the knowledge bases", cmd_kb_list, 0, 0, {{0}}},
	{"kb show", "NAME", "show files, chunks, generation, model and size",
	 cmd_kb_show, 1, 1, {{0}}},
	{"kb delete", "NAME", "delete a knowledge base and its originals",
	 cmd_kb_delete, 1, 1, {{0}}},
	{"kb add", "NAME PATH...", "add files and folders; unchanged files are skipped",
	 cmd_kb_add, 2, MANY, {{0}}},
	{"kb rm", "NAME FILE...", "remove files, effective at once", cmd_kb_rm, 2, MANY, {{0}}},
	{"kb files", "NAME", "list the files and how they stand", cmd_kb_files, 1, 1, {{0}}},
	{"kb rebuild", "NAME", "build a new generation, then switch to it", cmd_kb_rebuild, 1, 1,
	 {MODEL_OPTION, CHUNK_OPTION}},
	{"kb rollback", "NAME", "back to the generation before the last rebuild",
	 cmd_kb_rollback, 1, 1, {{0}}},
	{"kb compact", "NAME", "reclaim the space of deleted chunks now",
	 cmd_kb_compact, 1, 1, {{0}}},
	{"kb export", "NAME", "write a knowledge base into one archive", cmd_kb_export, 1, 1,
	 {{"output", 'o', "FILE", "the archive; default NAME.plimsoll.tar"}}},
	{"kb import", "NAME", "make a knowledge base from an archive", cmd_kb_import, 1, 1,
	 {{"input", 'i', "FILE", "the archive; default NAME.plimsoll.tar"}}},
	{"search", "NAME QUERY", "find passages", cmd_search, 2, 2,
	 {{"number", 'n', "N", "how many, 1 to 200; default 10"}, ARM_OPTION}},
	{"ask", "NAME QUESTION", "answer with sources", cmd_ask, 2, 2,
	 {{"session", 0, "ID", "accepted for later: conversations are not kept yet"},
	  {"no-generate", 0, NULL, "quote instead of generating"},
	  {"number", 'n', "N", "passages to read, 1 to 10; default 6"}}},
	{"eval", "NAME QUERIES", "recall, MRR, nDCG and latency on questions with known answers",
	 cmd_eval, 2, 2,
	 {ARM_OPTION,
	  {"answers", 0, NULL, "also look for the annotated answers in the quotations"},
	  {"absent", 0, NULL, "the texts are not in this knowledge base: measure refusals"},
	  {"number", 'n', "N", "only the first N questions"}}},
	{"model list", "", "list the models that can be used here",
	 cmd_model_list, 0, 0, {{0}}},
	{"model info", "NAME", "show what a model file holds", cmd_model_info, 1, 1, {{0}}},
	{"model import", "PATH", "convert a sentence-transformers folder or wheel, a GGUF",
	 cmd_model_import, 1, 1,
	 {{"name", 0, "NAME", "under this name"},
	  {"precision", 0, "TYPE", "bf16 (default), int8 or f32"},
	  {"shared", 0, NULL, "into the user's cache, for all data directories"},
	  {"replace", 0, NULL, "replace a model of that name"}}},
	{"model pull", "URL", "download a model file, resumable and checked", cmd_model_pull, 1, 1,
	 {{"sha256", 0, "HEX", "refuse the file if its SHA-256 differs"},
	  {"name", 0, "FILE", "file name; default: the last part of the URL"},
	  {"shared", 0, NULL, "into the user's cache, for all data directories"}}},
	{"completion", "SHELL", "print the completion script for bash or zsh",
	 cmd_completion, 1, 1, {{0}}},
};
/* clang-format on */

const size_t cmd_verb_count = ARRAY_COUNT(cmd_verbs);

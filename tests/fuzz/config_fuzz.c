/* Any plimsoll.yaml: settings or a sentence, and nothing is left behind. */
#include <stdlib.h>

#include "base/assert.h"
#include "fuzz.h"
#include "rt/config.h"
#include "rt/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char folder[] = "/tmp/plimsoll-fuzz-XXXXXX", path[FILE_PATH_BYTES];
	struct fault fault = {0};
	struct config *config = NULL;
	if (path[0] == '\0') {
		ASSERT(mkdtemp(folder) != NULL);
		ASSERT(path_join(path, folder, "plimsoll.yaml", NULL) == ST_OK);
	}
	ASSERT(file_replace(path, (struct span){(const char *)data, size}, NULL) == ST_OK);
	size_t live = mem_account_stat(mem_account_root()).live;
	status st = config_open(mem_scope_root(), folder, &config, &fault);
	ASSERT((st == ST_OK) == (config != NULL));
	ASSERT(st == ST_OK || fault.text[0] != '\0');
	config_close(config);
	ASSERT(mem_account_stat(mem_account_root()).live == live);
	ASSERT(dir_remove(folder, NULL) == ST_OK);
	path[0] = '\0';
	memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
	return 0;
}

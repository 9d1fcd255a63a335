/* llm/test_models.h -- where tests find GGUF files: the model cache, never the network. */
#ifndef LLM_TEST_MODELS_H
#define LLM_TEST_MODELS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The first file of CACHE/models, in byte order, whose name begins with prefix (case ignored) and
 * ends in ".gguf". */
static inline bool test_model_find(const char *prefix, char *path, size_t path_bytes)
{
	char folder[3000], best[512] = "";
	const char *cache = getenv("PLIMSOLL_CACHE"), *home = getenv("HOME");
	if (cache != NULL)
		snprintf(folder, sizeof(folder), "%s/models", cache);
	else
		snprintf(folder, sizeof(folder), "%s/.cache/plimsoll/models",
			 home != NULL ? home : "");
	DIR *dir = opendir(folder);
	if (dir == NULL)
		return false;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		size_t bytes = strlen(e->d_name);
		if (strncasecmp(e->d_name, prefix, strlen(prefix)) == 0 && bytes > 5 &&
		    strcmp(e->d_name + bytes - 5, ".gguf") == 0 &&
		    (best[0] == '\0' || strcmp(e->d_name, best) < 0))
			snprintf(best, sizeof(best), "%s", e->d_name);
	}
	closedir(dir);
	snprintf(path, path_bytes, "%s/%s", folder, best);
	return best[0] != '\0';
}

#endif

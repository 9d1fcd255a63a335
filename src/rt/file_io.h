/* rt/file_io.h -- what file.c and dir.c share. Not for other folders. */
#ifndef RT_FILE_IO_H
#define RT_FILE_IO_H

#include <stdbool.h>

#include "base/status.h"

/* Count one I/O with the fault layer; true: it must fail now, and errno is EIO. */
bool io_fails(void);

/* Sort errno into a status and write "cannot VERB 'PATH': reason". */
status io_fault(struct fault *reterr, const char *verb, const char *path);

#endif

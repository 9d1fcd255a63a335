/* doc/worker.h -- the child that parses one file: what the parent tells it on its command line.
 *
 *     plimsoll doc-worker FORMAT chunks|text CHARS CHARS_MAX MEMORY_MAX CPU_SECONDS < file > frames
 *
 * All are decimal numbers but the second. Exit code 0: the last frame tells how it went. */
#ifndef DOC_WORKER_H
#define DOC_WORKER_H

enum {
	WORKER_ARG_VERB = 1,
	WORKER_ARG_FORMAT,
	WORKER_ARG_MODE,
	WORKER_ARG_CHARS,
	WORKER_ARG_CHARS_MAX,
	WORKER_ARG_MEMORY,
	WORKER_ARG_CPU,
	WORKER_ARGS,
};

#define WORKER_VERB "doc-worker"
#define WORKER_MODE_CHUNKS "chunks"
#define WORKER_MODE_TEXT "text"

#endif

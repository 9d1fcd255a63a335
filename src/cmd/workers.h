/* cmd/workers.h -- hidden verbs: this program as a child of the server.
 *
 * ingest-worker --data DIR --kb NAME --upload PATH --name FILE: index one upload. Prints a JSON
 * line per event: {"event":"progress","file","bytes_done","bytes","chunks"} and at the end
 * {"event":"done","status","added","skipped","failed","chunks","error"} (status: a name of
 * base/status.h; error: null or a sentence). */
#ifndef CMD_WORKERS_H
#define CMD_WORKERS_H

#include "mem/scope.h"
#include "rt/cancel.h"

int ingest_worker_main(struct mem_scope *scope, struct cancel *cancel, int argc, char **argv);

#endif

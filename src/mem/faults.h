/* mem/faults.h -- make the Nth allocation or the Nth I/O fail, once or for good.
 *
 * Counted, never by dice: a test runs the same work with n = 1, 2, 3 ... until no fault fires, and
 * so sees every failure there is. mem/ asks before each allocation, rt/file.h before each I/O.
 * The environment variable PLIMSOLL_FAULT arms the first fault of a program that is started from
 * outside: "alloc:17" (the 17th, once), "io:5:forever".
 *
 * Threads  Counters are atomic and count the whole process. Unarmed, a check is one relaxed load.
 */
#ifndef MEM_FAULTS_H
#define MEM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum mem_fault_kind { MEM_FAULT_ALLOC, MEM_FAULT_IO, MEM_FAULT_KINDS };

/* The nth operation of this kind from now (1 = the next) fails; with forever, all from there on. */
void mem_fault_arm(enum mem_fault_kind kind, uint64_t nth, bool forever);
void mem_fault_disarm(enum mem_fault_kind kind);

/* How many times an armed fault has fired since it was armed. */
uint64_t mem_fault_fired(enum mem_fault_kind kind);

/* Count one operation; true: it must fail now. */
bool mem_fault_hit(enum mem_fault_kind kind);

/* Read PLIMSOLL_FAULT. False: the text is malformed. */
bool mem_fault_from_environment(void);

#endif

/* rt/db_faults.h -- SQLite's allocations and I/O under the counted fault layer. For db.c only.
 *
 * Unarmed this costs one relaxed load per call. */
#ifndef RT_DB_FAULTS_H
#define RT_DB_FAULTS_H

/* Before anything else of SQLite is used. Without effect when SQLite is already initialised. */
void db_faults_install(void);

#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/size.h"
#include "mem/faults.h"
#include "rt/db.h"
#include "rt/file.h"

static char folder[64], path[96];

static int folder_make(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof folder, "/tmp/plimsoll-db-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(path, sizeof path, "%s/a.sqlite", folder);
	return 0;
}

static int folder_drop(void **state)
{
	(void)state;
	return dir_remove(folder, NULL) == ST_OK ? 0 : -1;
}

static const struct db_options writing = {.create = true, .cache_bytes = 64 * KIB, .busy_ms = 20};

static void test_db_open__absent_is_not_found(void **state)
{
	(void)state;
	struct db db;
	struct fault f = {0};
	struct db_options options = {.cache_bytes = 64 * KIB};
	assert_int_equal(db_open(path, &options, &db, &f), ST_NOT_FOUND);
	options.read_only = true;
	assert_int_equal(db_open(path, &options, &db, &f), ST_NOT_FOUND);
	assert_int_equal(f.code, ST_NOT_FOUND);
}

static void test_db_step__stores_and_reads(void **state)
{
	(void)state;
	struct db db;
	struct fault f = {0};
	bool row = false;
	assert_int_equal(db_open(path, &writing, &db, &f), ST_OK);
	assert_int_equal(db_run(&db, "CREATE TABLE t(a TEXT NOT NULL, b BLOB, c INT)", &f), ST_OK);
	CLEANUP(db_finalizep) struct sqlite3_stmt *put = NULL, *get = NULL;
	assert_int_equal(db_prepare(&db, "INSERT INTO t VALUES(?1,?2,?3)", &put, &f), ST_OK);
	db_bind_text(put, 1, (struct span){NULL, 0});
	db_bind_blob(put, 2, (struct span){"a\0b", 3});
	db_bind_int(put, 3, INT64_MIN);
	assert_int_equal(db_do(&db, put, &f), ST_OK);
	assert_int_equal(db_prepare(&db, "SELECT a,b,c FROM t", &get, &f), ST_OK);
	assert_int_equal(db_step(&db, get, &row, &f), ST_OK);
	assert_true(row);
	assert_int_equal(db_column_text(get, 0).bytes, 0);
	assert_true(span_equal(db_column_blob(get, 1), (struct span){"a\0b", 3}));
	assert_int_equal(db_column_int(get, 2), INT64_MIN);
	assert_int_equal(db_step(&db, get, &row, &f), ST_OK);
	assert_false(row);
	db_finalizep(&put);
	db_finalizep(&get);
	db_close(&db);
	db_close(&db);
}

static void test_db_fault__names_what_happened(void **state)
{
	(void)state;
	struct db one, two;
	struct fault f = {0};
	assert_int_equal(db_open(path, &writing, &one, &f), ST_OK);
	assert_int_equal(db_open(path, &writing, &two, &f), ST_OK);
	assert_int_equal(db_run(&one, "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES(1)", &f),
			 ST_OK);
	assert_int_equal(db_run(&one, "BEGIN IMMEDIATE", &f), ST_OK);
	assert_int_equal(db_run(&two, "INSERT INTO t VALUES(2)", &f), ST_BUSY);
	db_rollback(&one);
	db_rollback(&one);
	assert_int_equal(db_run(&two, "INSERT INTO t VALUES(1)", &f), ST_EXISTS);
	db_close(&one);
	db_close(&two);
	int fd;
	assert_int_equal(fd_open(path, O_WRONLY | O_TRUNC, 0, &fd, &f), ST_OK);
	for (int i = 0; i < 512; i++)
		assert_int_equal(fd_write(fd, SPAN("this is not a database\n"), &f), ST_OK);
	fd_closep(&fd);
	assert_int_equal(db_open(path, &writing, &one, &f), ST_CORRUPT);
}

static void test_db_run__a_full_disk_is_a_limit(void **state)
{
	(void)state;
	struct db db;
	struct fault f = {0};
	struct rlimit before, low = {.rlim_cur = 256 * KIB};
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	low.rlim_max = before.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(db_open(path, &writing, &db, &f), ST_OK);
	assert_int_equal(db_run(&db, "CREATE TABLE t(a)", &f), ST_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	status st = db_run(&db, "INSERT INTO t VALUES(zeroblob(1000000))", &f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(st, ST_LIMIT);
	assert_int_equal(db_run(&db, "INSERT INTO t VALUES(zeroblob(1000000))", &f), ST_OK);
	db_close(&db);
}

static status work(struct fault *reterr)
{
	struct db db;
	status st = db_open(path, &writing, &db, reterr);
	if (st != ST_OK)
		return st;
	st = db_run(&db, "CREATE TABLE IF NOT EXISTS t(a)", reterr);
	if (st == ST_OK)
		st = db_run(&db, "BEGIN; INSERT INTO t VALUES(1); DELETE FROM t; COMMIT", reterr);
	db_rollback(&db);
	db_close(&db);
	return st;
}

static void fail_each(enum mem_fault_kind kind)
{
	struct fault f = {0};
	uint64_t n = 1, seen = 0;
	for (;; n++) {
		mem_fault_arm(kind, n, false);
		status st = work(&f);
		uint64_t fired = mem_fault_fired(kind);
		mem_fault_disarm(kind);
		if (fired == 0) {
			assert_int_equal(st, ST_OK);
			break;
		}
		seen += st != ST_OK;
	}
	assert_true(n > 10 && seen > 3);
}

static void test_db__every_failure_reaches_the_caller(void **state)
{
	(void)state;
	fail_each(MEM_FAULT_ALLOC);
	fail_each(MEM_FAULT_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_db_open__absent_is_not_found, folder_make,
						folder_drop),
		cmocka_unit_test_setup_teardown(test_db_step__stores_and_reads, folder_make,
						folder_drop),
		cmocka_unit_test_setup_teardown(test_db_fault__names_what_happened, folder_make,
						folder_drop),
		cmocka_unit_test_setup_teardown(test_db_run__a_full_disk_is_a_limit, folder_make,
						folder_drop),
		cmocka_unit_test_setup_teardown(test_db__every_failure_reaches_the_caller,
						folder_make, folder_drop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

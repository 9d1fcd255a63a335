#include "rt/db_faults.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

#include "mem/faults.h"

static sqlite3_mem_methods system_memory;

static void *faulty_malloc(int bytes)
{
	return mem_fault_hit(MEM_FAULT_ALLOC) ? NULL : system_memory.xMalloc(bytes);
}

static void *faulty_realloc(void *block, int bytes)
{
	return mem_fault_hit(MEM_FAULT_ALLOC) ? NULL : system_memory.xRealloc(block, bytes);
}

/* An open file: ours in front, the system's behind it in the same block. */
struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_vfs faulty_vfs;
static sqlite3_vfs *system_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct faulty_file *)(void *)file)->real;
}

static int file_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_read(sqlite3_file *f, void *into, int bytes, sqlite3_int64 at)
{
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_IOERR_READ;
	return real_of(f)->pMethods->xRead(real_of(f), into, bytes, at);
}

/* SQLite itself calls only ENOSPC a full disk: a quota or a file size limit is one to us as well.
 */
static bool is_full(sqlite3_file *f)
{
	int reason = 0;
	(void)real_of(f)->pMethods->xFileControl(real_of(f), SQLITE_FCNTL_LAST_ERRNO, &reason);
	return reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
}

static int file_write(sqlite3_file *f, const void *from, int bytes, sqlite3_int64 at)
{
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_IOERR_WRITE;
	int code = real_of(f)->pMethods->xWrite(real_of(f), from, bytes, at);
	return code == SQLITE_IOERR_WRITE && is_full(f) ? SQLITE_FULL : code;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 bytes)
{
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_IOERR_TRUNCATE;
	return real_of(f)->pMethods->xTruncate(real_of(f), bytes);
}

static int file_sync(sqlite3_file *f, int flags)
{
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_IOERR_FSYNC;
	return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int file_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_check(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_shm_map(sqlite3_file *f, int region, int bytes, int extend, void volatile **ret)
{
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_IOERR_SHMMAP;
	return real_of(f)->pMethods->xShmMap(real_of(f), region, bytes, extend, ret);
}

static int file_shm_lock(sqlite3_file *f, int offset, int count, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static int file_fetch(sqlite3_file *f, sqlite3_int64 at, int bytes, void **ret)
{
	return real_of(f)->pMethods->xFetch(real_of(f), at, bytes, ret);
}

static int file_unfetch(sqlite3_file *f, sqlite3_int64 at, void *page)
{
	return real_of(f)->pMethods->xUnfetch(real_of(f), at, page);
}

static const sqlite3_io_methods faulty_methods = {
	.iVersion = 3,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
	.xFetch = file_fetch,
	.xUnfetch = file_unfetch,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		    int *ret_flags)
{
	(void)vfs;
	struct faulty_file *f = (struct faulty_file *)(void *)file;
	f->base.pMethods = NULL;
	f->real = (sqlite3_file *)(void *)(f + 1);
	f->real->pMethods = NULL;
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_CANTOPEN;
	int code = system_vfs->xOpen(system_vfs, name, f->real, flags, ret_flags);
	if (code == SQLITE_OK && f->real->pMethods != NULL)
		f->base.pMethods = &faulty_methods;
	return code;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	(void)vfs;
	if (mem_fault_hit(MEM_FAULT_IO))
		return SQLITE_IOERR_DELETE;
	return system_vfs->xDelete(system_vfs, name, sync_folder);
}

void db_faults_install(void)
{
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_memory) != SQLITE_OK)
		return;
	sqlite3_mem_methods faulty = system_memory;
	faulty.xMalloc = faulty_malloc;
	faulty.xRealloc = faulty_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &faulty) != SQLITE_OK)
		return;
	/* Everything else of the copied VFS takes the VFS itself as context, unused by the unix
	 * family, which looks at pAppData only in xOpen. */
	system_vfs = sqlite3_vfs_find(NULL);
	if (system_vfs == NULL)
		return;
	faulty_vfs = *system_vfs;
	faulty_vfs.zName = "plimsoll";
	faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + system_vfs->szOsFile;
	faulty_vfs.xOpen = vfs_open;
	faulty_vfs.xDelete = vfs_delete;
	(void)sqlite3_vfs_register(&faulty_vfs, 1);
}

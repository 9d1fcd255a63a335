#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/size.h"
#include "kb/reader.h"
#include "kb/scan.h"
#include "mem/faults.h"

/* Mapping more than the file holds costs addresses only, and spares remapping while it grows. */
enum { SPARE_ROWS = 65536 };

static status map_open(const char *folder, const char *name, uint64_t bytes,
		       struct row_map *ret_map, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = path_join(path, folder, name, reterr);
	if (st == ST_OK)
		st = fd_open(path, O_RDONLY, 0, &ret_map->fd, reterr);
	if (st != ST_OK)
		return st;
	void *data = mem_fault_hit(MEM_FAULT_IO)
			     ? MAP_FAILED
			     : mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, ret_map->fd, 0);
	if (data == MAP_FAILED)
		return fault_errno(reterr, errno == ENOMEM ? ST_OOM : ST_IO, "cannot map '%s'",
				   path);
	ret_map->data = data;
	ret_map->bytes = (size_t)bytes;
	return ST_OK;
}

static void map_close(struct row_map *map)
{
	if (map->data != NULL) {
		union {
			const unsigned char *in;
			void *out;
		} whole = {.in = map->data};
		int failed = munmap(whole.out, map->bytes);
		ASSERT(failed == 0);
	}
	fd_closep(&map->fd);
}

void view_close(struct view *v)
{
	if (v == NULL)
		return;
	map_close(&v->i8);
	map_close(&v->f16);
	map_close(&v->lengths);
	mem_free(v);
}

status view_open(struct kb *kb, uint32_t number, uint32_t dim, uint64_t rows,
		 struct view **ret_view, struct fault *reterr)
{
	char folder[FILE_PATH_BYTES];
	struct view *v = mem_new(kb->scope, struct view);
	if (v == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to open '%s'", kb->name);
	*v = (struct view){
		.number = number, .dim = dim, .uses = 1, .rows_max = rows + rows / 4 + SPARE_ROWS};
	v->i8.fd = v->f16.fd = v->lengths.fd = -1;
	status st = layout_generation(folder, kb->folder, number, reterr);
	if (st == ST_OK)
		st = map_open(folder, "lengths.u16", v->rows_max * sizeof(uint16_t), &v->lengths,
			      reterr);
	if (st == ST_OK && dim > 0)
		st = map_open(folder, "vectors.i8", scan_bytes(dim, v->rows_max), &v->i8, reterr);
	if (st == ST_OK && dim > 0)
		st = map_open(folder, "vectors.f16", v->rows_max * dim * sizeof(uint16_t), &v->f16,
			      reterr);
	if (st != ST_OK) {
		view_close(v);
		return st;
	}
	if (v->f16.data != NULL) {
		/* A search reads some 200 rows here and there: reading ahead would be in vain. */
		union {
			const unsigned char *in;
			void *out;
		} f16 = {.in = v->f16.data};
		(void)madvise(f16.out, v->f16.bytes, MADV_RANDOM);
	}
	*ret_view = v;
	return ST_OK;
}

static status size_check(const struct row_map *map, uint64_t bytes, struct fault *reterr)
{
	uint64_t size;
	status st = fd_size(map->fd, &size, reterr);
	if (st == ST_OK && size < bytes)
		st = fault_set(reterr, ST_CORRUPT,
			       "a file of vectors was cut to %llu of %llu bytes: "
			       "rebuild the knowledge base",
			       (unsigned long long)size, (unsigned long long)bytes);
	return st;
}

status view_check(const struct view *v, const struct textdb_state *state, struct fault *reterr)
{
	ASSERT(state->rows <= v->rows_max);
	status st = size_check(&v->lengths, state->indexed * sizeof(uint16_t), reterr);
	if (st == ST_OK && v->dim > 0)
		st = size_check(&v->i8, scan_bytes(v->dim, state->rows), reterr);
	if (st == ST_OK && v->dim > 0)
		st = size_check(&v->f16, state->rows * v->dim * sizeof(uint16_t), reterr);
	return st;
}

/* mem/site.h -- the source lines that allocate, and the types they allocate.
 *
 * MEM_SITE(type) is a static record of this line; mem/ counts live and peak bytes in it, exactly.
 * Records link themselves into a list on first use and live as long as the process.
 *
 * Threads  Counters are atomic; readers see each counter right, not all of them at one instant. */
#ifndef MEM_SITE_H
#define MEM_SITE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct mem_site {
	const char *file;
	const char *type;
	int line;
	atomic_int listed; /* 1 once the record is in the list */
	atomic_size_t live, peak, count;
	atomic_uint_fast64_t total; /* blocks ever made */
	struct mem_site *next;
};

#define MEM_SITE(type_name)                                                                        \
	__extension__({                                                                            \
		static struct mem_site mem_site_here = {                                           \
			.file = __FILE__, .type = (type_name), .line = __LINE__};                  \
		&mem_site_here;                                                                    \
	})

struct mem_site_stat {
	const char *file; /* relative to the source root where the build allows */
	int line;         /* 0 in a row by type */
	const char *type;
	size_t live, peak, count;
	uint64_t total;
};

void mem_site_charge(struct mem_site *site, size_t bytes);
void mem_site_credit(struct mem_site *site, size_t bytes);

/* The sites, or the types, with the most live bytes first. Fills at most max rows and returns how
 * many were filled. The peak of a type is the sum of its sites' peaks: an upper bound. */
size_t mem_site_list(struct mem_site_stat *ret_list, size_t max);
size_t mem_type_list(struct mem_site_stat *ret_list, size_t max);

#endif

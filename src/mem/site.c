#include "mem/site.h"

#include <string.h>

#include "base/assert.h"

static _Atomic(struct mem_site *) sites;

static void site_enlist(struct mem_site *site)
{
	if (atomic_exchange(&site->listed, 1) != 0)
		return;
	site->next = atomic_load(&sites);
	while (!atomic_compare_exchange_weak(&sites, &site->next, site))
		;
}

void mem_site_charge(struct mem_site *site, size_t bytes)
{
	if (atomic_load_explicit(&site->listed, memory_order_relaxed) == 0)
		site_enlist(site);
	size_t live = atomic_fetch_add(&site->live, bytes) + bytes;
	size_t peak = atomic_load_explicit(&site->peak, memory_order_relaxed);
	while (live > peak && !atomic_compare_exchange_weak(&site->peak, &peak, live))
		;
	atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&site->total, 1, memory_order_relaxed);
}

void mem_site_credit(struct mem_site *site, size_t bytes)
{
	size_t before = atomic_fetch_sub(&site->live, bytes);
	ASSERT(before >= bytes);
	atomic_fetch_sub_explicit(&site->count, 1, memory_order_relaxed);
}

/* Insert row into a list kept sorted by live bytes, dropping the least when it is full. */
static size_t keep_greatest(struct mem_site_stat *list, size_t count, size_t max,
			    struct mem_site_stat row)
{
	size_t at = count;
	while (at > 0 && list[at - 1].live < row.live)
		at--;
	if (at == max)
		return count;
	if (count < max)
		count++;
	memmove(&list[at + 1], &list[at], (count - 1 - at) * sizeof *list);
	list[at] = row;
	return count;
}

static struct mem_site_stat site_stat(const struct mem_site *site)
{
	return (struct mem_site_stat){.file = site->file,
				      .line = site->line,
				      .type = site->type,
				      .live = atomic_load(&site->live),
				      .peak = atomic_load(&site->peak),
				      .count = atomic_load(&site->count),
				      .total = atomic_load(&site->total)};
}

size_t mem_site_list(struct mem_site_stat *ret_list, size_t max)
{
	size_t count = 0;
	for (struct mem_site *s = atomic_load(&sites); s != NULL; s = s->next)
		count = keep_greatest(ret_list, count, max, site_stat(s));
	return count;
}

static void stat_add(struct mem_site_stat *sum, const struct mem_site_stat *part)
{
	sum->live += part->live;
	sum->peak += part->peak;
	sum->count += part->count;
	sum->total += part->total;
}

size_t mem_type_list(struct mem_site_stat *ret_list, size_t max)
{
	/* Each type is summed at its first site in the list; the list is some hundred records long.
	 */
	struct mem_site *const head = atomic_load(&sites); /* others may be enlisted meanwhile */
	size_t count = 0;
	for (struct mem_site *s = head; s != NULL; s = s->next) {
		struct mem_site *first = head;
		while (strcmp(first->type, s->type) != 0)
			first = first->next;
		if (first != s)
			continue;
		struct mem_site_stat sum = site_stat(s);
		sum.file = "";
		sum.line = 0;
		for (struct mem_site *o = s->next; o != NULL; o = o->next) {
			struct mem_site_stat part = site_stat(o);
			if (strcmp(o->type, s->type) == 0)
				stat_add(&sum, &part);
		}
		count = keep_greatest(ret_list, count, max, sum);
	}
	return count;
}

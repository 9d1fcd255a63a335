#include "mem/faults.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct fault_state {
	atomic_bool armed;
	atomic_bool forever;
	atomic_uint_fast64_t left; /* operations until the first failure */
	atomic_uint_fast64_t fired;
};

static struct fault_state states[MEM_FAULT_KINDS];

void mem_fault_arm(enum mem_fault_kind kind, uint64_t nth, bool forever)
{
	struct fault_state *s = &states[kind];
	atomic_store(&s->left, nth);
	atomic_store(&s->fired, 0);
	atomic_store(&s->forever, forever);
	atomic_store(&s->armed, nth > 0);
}

void mem_fault_disarm(enum mem_fault_kind kind)
{
	atomic_store(&states[kind].armed, false);
}

uint64_t mem_fault_fired(enum mem_fault_kind kind)
{
	return atomic_load(&states[kind].fired);
}

bool mem_fault_hit(enum mem_fault_kind kind)
{
	struct fault_state *s = &states[kind];
	if (!atomic_load_explicit(&s->armed, memory_order_relaxed))
		return false;
	uint_fast64_t left = atomic_load(&s->left);
	while (left > 0 && !atomic_compare_exchange_weak(&s->left, &left, left - 1))
		;
	if (left > 1)
		return false;
	if (left == 0 && !atomic_load(&s->forever))
		return false;
	atomic_fetch_add(&s->fired, 1);
	return true;
}

bool mem_fault_from_environment(void)
{
	const char *text = getenv("PLIMSOLL_FAULT");
	if (text == NULL || *text == '\0')
		return true;
	enum mem_fault_kind kind;
	if (strncmp(text, "alloc:", 6) == 0)
		kind = MEM_FAULT_ALLOC, text += 6;
	else if (strncmp(text, "io:", 3) == 0)
		kind = MEM_FAULT_IO, text += 3;
	else
		return false;
	char *end;
	unsigned long long nth = strtoull(text, &end, 10);
	bool forever = strcmp(end, ":forever") == 0;
	if (nth == 0 || (*end != '\0' && !forever))
		return false;
	mem_fault_arm(kind, nth, forever);
	return true;
}

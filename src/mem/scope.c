#include "mem/scope.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/size.h"
#include "mem/faults.h"

/* A block is [padding][header][payload][rest of the padding]; the header sits right before the
 * payload:
 *
 *     base            base + front                base + front + sizeof(header)
 *      | padding ......| struct block_header .......| payload, aligned as asked
 *
 * so freeing needs nothing but the payload's address, and over-alignment costs only padding. All
 * comes from calloc(): the pages of a large array are not touched before their user touches them.
 */
struct block_header {
	struct mem_scope *scope;
	struct mem_site *site;
	struct block_header *prev, *next; /* ring through the scope's `blocks` */
	size_t bytes;                     /* payload */
	uint16_t front;                   /* bytes of padding before this header */
	uint16_t padding;                 /* before and after together: what alignment costs */
	uint32_t check;                   /* BLOCK_LIVE, or BLOCK_FREED to catch a double free */
};

enum { BLOCK_LIVE = 0x600dB10c, BLOCK_FREED = 0x0ddB10c, ALIGN_PLAIN = 16, ALIGN_MAX = 4096 };
_Static_assert(sizeof(struct block_header) % ALIGN_PLAIN == 0, "the payload must be aligned too");
_Static_assert(_Alignof(max_align_t) <= ALIGN_PLAIN, "calloc() must align to ALIGN_PLAIN");

struct close_hook {
	void (*run)(void *context);
	void *context;
	struct close_hook *next;
};

struct mem_scope {
	struct mem_scope *parent;
	struct mem_account *account; /* NULL in the root scope: see account_of() */
	size_t bytes_max;
	atomic_size_t live;         /* charged bytes, children included */
	pthread_mutex_t lock;       /* blocks, children, hooks */
	struct block_header blocks; /* ring; only prev and next are used */
	struct mem_scope *children; /* list through next_sibling */
	struct mem_scope *next_sibling, *prev_sibling;
	struct close_hook *hooks; /* latest first */
};

static _Thread_local status last_refusal = ST_OOM;

static struct mem_scope root = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.blocks = {.prev = &root.blocks, .next = &root.blocks},
};

struct mem_scope *mem_scope_root(void)
{
	return &root;
}

static struct mem_account *account_of(const struct mem_scope *scope)
{
	return scope->account != NULL ? scope->account : mem_account_root();
}

status mem_refusal(void)
{
	return last_refusal;
}

static void *refuse(status why)
{
	last_refusal = why;
	return NULL;
}

/* Never over the budget for an instant: see level_add() in account.c. */
static bool scope_reserve(struct mem_scope *s, size_t bytes)
{
	if (s->bytes_max == 0) {
		atomic_fetch_add(&s->live, bytes);
		return true;
	}
	size_t live = atomic_load_explicit(&s->live, memory_order_relaxed);
	do {
		if (bytes > s->bytes_max || live > s->bytes_max - bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&s->live, &live, live + bytes));
	return true;
}

/* Reserve in every scope around, innermost first; nothing changes on refusal. */
static bool scopes_reserve(struct mem_scope *scope, size_t bytes)
{
	for (struct mem_scope *s = scope; s != NULL; s = s->parent) {
		if (scope_reserve(s, bytes))
			continue;
		for (struct mem_scope *undo = scope; undo != s; undo = undo->parent)
			atomic_fetch_sub(&undo->live, bytes);
		return false;
	}
	return true;
}

static void scopes_release(struct mem_scope *scope, size_t bytes)
{
	for (struct mem_scope *s = scope; s != NULL; s = s->parent)
		atomic_fetch_sub(&s->live, bytes);
}

static size_t charged(const struct block_header *b)
{
	return b->bytes + b->padding + sizeof *b;
}

static void block_link(struct block_header *b, struct mem_scope *scope)
{
	pthread_mutex_lock(&scope->lock);
	b->prev = scope->blocks.prev;
	b->next = &scope->blocks;
	b->prev->next = b;
	scope->blocks.prev = b;
	pthread_mutex_unlock(&scope->lock);
}

static void block_unlink(struct block_header *b)
{
	struct mem_scope *scope = b->scope;
	pthread_mutex_lock(&scope->lock);
	b->prev->next = b->next;
	b->next->prev = b->prev;
	pthread_mutex_unlock(&scope->lock);
}

/* Reserve, then allocate: a refusal costs nothing and changes nothing. */
static char *reserve_and_allocate(struct mem_scope *scope, size_t whole)
{
	if (mem_fault_hit(MEM_FAULT_ALLOC))
		return refuse(ST_OOM);
	if (!scopes_reserve(scope, whole))
		return refuse(ST_BUDGET);
	if (!mem_account_charge(account_of(scope), whole)) {
		scopes_release(scope, whole);
		return refuse(ST_BUDGET);
	}
	char *base = calloc(1, whole);
	if (base == NULL) {
		mem_account_credit(account_of(scope), whole);
		scopes_release(scope, whole);
		return refuse(ST_OOM);
	}
	return base;
}

void *mem_alloc(struct mem_scope *scope, size_t count, size_t size, size_t align,
		struct mem_site *site)
{
	ASSERT(scope != NULL);
	ASSERT(align <= ALIGN_MAX && (align & (align - 1)) == 0);
	size_t padding = align > ALIGN_PLAIN ? align - ALIGN_PLAIN : 0;
	size_t payload, whole;
	if (!size_mul(count, size, &payload) ||
	    !size_add(payload, padding + sizeof(struct block_header), &whole) ||
	    whole > PTRDIFF_MAX)
		return refuse(ST_BUDGET);
	char *base = reserve_and_allocate(scope, whole);
	if (base == NULL)
		return NULL;
	size_t first = (size_t)(uintptr_t)base + sizeof(struct block_header);
	size_t front = padding > 0 ? size_round_up(first, align) - first : 0;
	struct block_header *b = (struct block_header *)(void *)(base + front);
	*b = (struct block_header){.scope = scope,
				   .site = site,
				   .bytes = payload,
				   .front = (uint16_t)front,
				   .padding = (uint16_t)padding,
				   .check = BLOCK_LIVE};
	block_link(b, scope);
	mem_site_charge(site, whole);
	return b + 1;
}

static struct block_header *header_of(void *block)
{
	struct block_header *b = (struct block_header *)block - 1;
	ASSERT(b->check == BLOCK_LIVE);
	return b;
}

/* Give back a block that is in no list any more. */
static void block_release(struct block_header *b)
{
	size_t whole = charged(b);
	mem_site_credit(b->site, whole);
	mem_account_credit(account_of(b->scope), whole);
	scopes_release(b->scope, whole);
	*(volatile uint32_t *)&b->check =
		BLOCK_FREED; /* volatile: or the compiler drops the store */
	free((char *)b - b->front);
}

void mem_free(void *block)
{
	if (block == NULL)
		return;
	struct block_header *b = header_of(block);
	block_unlink(b);
	block_release(b);
}

void mem_freep(void *block_pointer)
{
	mem_free(*(void **)block_pointer);
}

void *mem_realloc(struct mem_scope *scope, void *old, size_t count, size_t size,
		  struct mem_site *site)
{
	if (old == NULL)
		return mem_alloc(scope, count, size, 0, site);
	/* A new block and a copy: simple, and exact in every account at every moment. Buffers that
	 * grow do so by doubling, so the copy is paid a logarithmic number of times. */
	struct block_header *b = header_of(old);
	ASSERT(b->padding == 0);
	char *fresh = mem_alloc(scope, count, size, 0, site);
	if (fresh == NULL)
		return NULL;
	memcpy(fresh, old, size_min(b->bytes, count * size));
	mem_free(old);
	return fresh;
}

char *mem_copy_span(struct mem_scope *scope, struct span text, struct mem_site *site)
{
	size_t bytes;
	if (!size_add(text.bytes, 1, &bytes))
		return refuse(ST_BUDGET);
	char *copy = mem_alloc(scope, bytes, 1, 0, site);
	if (copy != NULL && text.bytes > 0)
		memcpy(copy, text.data, text.bytes);
	return copy;
}

status mem_on_close(struct mem_scope *scope, void (*run)(void *context), void *context)
{
	struct close_hook *hook = mem_new(scope, struct close_hook);
	if (hook == NULL)
		return mem_refusal();
	hook->run = run;
	hook->context = context;
	pthread_mutex_lock(&scope->lock);
	hook->next = scope->hooks;
	scope->hooks = hook;
	pthread_mutex_unlock(&scope->lock);
	return ST_OK;
}

struct mem_scope *mem_scope_open(struct mem_scope *parent, const char *name, size_t bytes_max)
{
	/* The record itself is a block of the parent, so it is charged, and freed if the parent
	 * ends. */
	struct mem_scope *scope = mem_new(parent, struct mem_scope);
	if (scope == NULL)
		return NULL;
	scope->account = mem_account_open(account_of(parent), name);
	if (scope->account == NULL) {
		mem_free(scope);
		return refuse(ST_BUDGET);
	}
	scope->parent = parent;
	scope->bytes_max = bytes_max;
	scope->blocks.prev = scope->blocks.next = &scope->blocks;
	pthread_mutex_init(&scope->lock, NULL);
	pthread_mutex_lock(&parent->lock);
	scope->next_sibling = parent->children;
	if (parent->children != NULL)
		parent->children->prev_sibling = scope;
	parent->children = scope;
	pthread_mutex_unlock(&parent->lock);
	return scope;
}

static void scope_detach(struct mem_scope *scope)
{
	struct mem_scope *parent = scope->parent;
	pthread_mutex_lock(&parent->lock);
	if (scope->prev_sibling != NULL)
		scope->prev_sibling->next_sibling = scope->next_sibling;
	else
		parent->children = scope->next_sibling;
	if (scope->next_sibling != NULL)
		scope->next_sibling->prev_sibling = scope->prev_sibling;
	pthread_mutex_unlock(&parent->lock);
}

static void blocks_free(struct mem_scope *scope)
{
	while (scope->blocks.next != &scope->blocks) {
		struct block_header *b = scope->blocks.next;
		block_unlink(b);
		block_release(b);
	}
	ASSERT(atomic_load(&scope->live) == 0);
}

/* The record of an emptied scope: out of its parent, and freed. */
static void scope_end(struct mem_scope *scope)
{
	scope_detach(scope);
	pthread_mutex_destroy(&scope->lock);
	mem_account_close(scope->account);
	mem_free(scope);
}

/* Leaves first, by going down to a leaf again and again: no recursion. Hooks run unlocked, and one
 * at a time: they may free blocks, allocate, register hooks and open scopes here; all that ends
 * too. */
void mem_scope_reset(struct mem_scope *scope)
{
	for (;;) {
		struct mem_scope *leaf = scope;
		while (leaf->children != NULL)
			leaf = leaf->children;
		struct close_hook *hook = leaf->hooks;
		if (hook != NULL) {
			leaf->hooks = hook->next;
			hook->run(hook->context);
			continue;
		}
		blocks_free(leaf);
		if (leaf == scope)
			return;
		scope_end(leaf);
	}
}

void mem_scope_close(struct mem_scope *scope)
{
	if (scope == NULL)
		return;
	ASSERT(scope != &root);
	mem_scope_reset(scope);
	scope_end(scope);
}

void mem_scope_closep(struct mem_scope **scope)
{
	mem_scope_close(*scope);
}

struct mem_account *mem_scope_account(struct mem_scope *scope)
{
	return account_of(scope);
}

size_t mem_scope_live(const struct mem_scope *scope)
{
	return atomic_load(&scope->live);
}

size_t mem_scope_max(const struct mem_scope *scope)
{
	return scope->bytes_max;
}

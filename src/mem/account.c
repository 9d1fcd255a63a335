#include "mem/account.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* The table is static: the books' own memory cannot grow, and an account can be read at any time,
 * also after its last user is gone. A slot is free when users is 0, nothing is charged to it and no
 * child uses it; open() takes the first such slot. */
struct mem_account {
	struct mem_account *parent;
	atomic_size_t live, peak, count, soft, hard;
	atomic_uint_fast64_t refusals;
	atomic_uint hooks; /* registered with on_pressure */
	atomic_uint users; /* opens not yet closed, plus child slots in use; 0 = perhaps free */
	char name[MEM_NAME_BYTES];
};

struct shed_hook {
	struct mem_account *account;
	mem_shed_fn *shed;
	void *context;
};

static struct mem_account table[MEM_ACCOUNTS_MAX]; /* [0] is the root */
static struct shed_hook hooks[MEM_SHED_HOOKS_MAX];
/* Order: shed_lock, then table_lock. Neither is held while memory is allocated, but for shed_lock
 * around the hooks, whose own allocations never shed again. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER; /* names, parents, users, hooks */
static pthread_mutex_t shed_lock = PTHREAD_MUTEX_INITIALIZER;  /* held while hooks run */
static _Thread_local bool shedding;

struct mem_account *mem_account_root(void)
{
	return &table[0];
}

static size_t depth_of(const struct mem_account *account)
{
	size_t depth = 0;
	for (; account->parent != NULL; account = account->parent)
		depth++;
	return depth;
}

static bool name_is_valid(const char *name)
{
	size_t bytes = strlen(name);
	return bytes > 0 && bytes < MEM_NAME_BYTES && strchr(name, '.') == NULL;
}

static bool slot_is_free(const struct mem_account *a)
{
	return atomic_load(&a->users) == 0 && atomic_load(&a->live) == 0 &&
	       atomic_load(&a->hooks) == 0;
}

static void slot_init(struct mem_account *a, struct mem_account *parent, const char *name)
{
	if (a->parent != NULL) /* the former tenant's hold on its parent ends only now */
		atomic_fetch_sub(&a->parent->users, 1);
	memset(a, 0, sizeof *a);
	a->parent = parent;
	memcpy(a->name, name, strlen(name) + 1);
	atomic_fetch_add(&parent->users, 1);
}

struct mem_account *mem_account_open(struct mem_account *parent, const char *name)
{
	ASSERT(parent != NULL);
	if (!name_is_valid(name) || depth_of(parent) + 1 >= MEM_ACCOUNT_DEPTH_MAX)
		return NULL;
	pthread_mutex_lock(&table_lock);
	struct mem_account *found = NULL, *free_slot = NULL;
	for (size_t i = 1; i < MEM_ACCOUNTS_MAX && found == NULL; i++) {
		struct mem_account *a = &table[i];
		if (a->parent == parent && strcmp(a->name, name) == 0)
			found = a;
		else if (free_slot == NULL && a != parent && slot_is_free(a))
			free_slot = a;
	}
	if (found == NULL && free_slot != NULL) {
		slot_init(free_slot, parent, name);
		found = free_slot;
	}
	if (found != NULL)
		atomic_fetch_add(&found->users, 1);
	pthread_mutex_unlock(&table_lock);
	return found;
}

void mem_account_close(struct mem_account *account)
{
	if (account == NULL || account == &table[0])
		return;
	unsigned before = atomic_fetch_sub(&account->users, 1);
	ASSERT(before >= 1);
}

void mem_account_set_lines(struct mem_account *account, size_t soft, size_t hard)
{
	atomic_store(&account->soft, soft);
	atomic_store(&account->hard, hard);
}

static void path_of(const struct mem_account *account, char out[MEM_PATH_BYTES])
{
	const struct mem_account *chain[MEM_ACCOUNT_DEPTH_MAX];
	size_t depth = 0;
	for (; account->parent != NULL; account = account->parent)
		chain[depth++] = account;
	out[0] = '\0';
	for (size_t used = 0; depth > 0 && used < MEM_PATH_BYTES;) {
		int n = snprintf(out + used, MEM_PATH_BYTES - used, used > 0 ? ".%s" : "%s",
				 chain[--depth]->name);
		used += n > 0 ? (size_t)n : 0;
	}
}

struct mem_account *mem_account_find(const char *path)
{
	struct mem_account *found = NULL;
	pthread_mutex_lock(&table_lock);
	for (size_t i = 0; i < MEM_ACCOUNTS_MAX && found == NULL; i++) {
		char name[MEM_PATH_BYTES];
		if (i > 0 && table[i].parent == NULL)
			continue;
		path_of(&table[i], name);
		if (strcmp(name, path) == 0)
			found = &table[i];
	}
	pthread_mutex_unlock(&table_lock);
	return found;
}

/* Hooks run under shed_lock, so that off_pressure() can wait until none of them runs any more. */
static void shed(struct mem_account *account, size_t live, size_t soft)
{
	struct shed_hook copy[MEM_SHED_HOOKS_MAX];
	pthread_mutex_lock(&table_lock);
	memcpy(copy, hooks, sizeof copy);
	pthread_mutex_unlock(&table_lock);
	shedding = true;
	for (size_t i = 0; i < MEM_SHED_HOOKS_MAX; i++) {
		if (copy[i].shed != NULL && copy[i].account == account)
			copy[i].shed(copy[i].context, live, soft);
	}
	shedding = false;
}

/* Above the soft line. When another thread sheds already, this one goes on. */
static void shed_soft(struct mem_account *a, size_t live, size_t soft)
{
	if (shedding || atomic_load_explicit(&a->hooks, memory_order_relaxed) == 0 ||
	    pthread_mutex_trylock(&shed_lock) != 0)
		return;
	shed(a, live, soft);
	pthread_mutex_unlock(&shed_lock);
}

/* About to refuse. False: there is nobody to ask, or no shedding could make room. */
static bool shed_hard(struct mem_account *a, size_t more)
{
	size_t hard = atomic_load(&a->hard), soft = atomic_load(&a->soft);
	if (shedding || more > hard || atomic_load(&a->hooks) == 0)
		return false;
	pthread_mutex_lock(&shed_lock);
	shed(a, atomic_load(&a->live) + more, soft != 0 ? soft : hard);
	pthread_mutex_unlock(&shed_lock);
	return true;
}

/* Add more bytes to one level, or nothing. Never over the line for an instant: a charge that is
 * refused must not make another thread's smaller one fail. */
static bool level_add(struct mem_account *a, size_t more)
{
	size_t hard = atomic_load_explicit(&a->hard, memory_order_relaxed);
	if (hard == 0) {
		atomic_fetch_add(&a->live, more);
		return true;
	}
	size_t live = atomic_load_explicit(&a->live, memory_order_relaxed);
	do {
		if (more > hard || live > hard - more)
			return false;
	} while (!atomic_compare_exchange_weak(&a->live, &live, live + more));
	return true;
}

/* Add to the account and all above it, or to none. Returns the level that refused, or NULL. */
static struct mem_account *chain_try(struct mem_account *account, size_t more)
{
	for (struct mem_account *a = account; a != NULL; a = a->parent) {
		if (level_add(a, more))
			continue;
		for (struct mem_account *undo = account; undo != a; undo = undo->parent)
			atomic_fetch_sub(&undo->live, more);
		return a;
	}
	return NULL;
}

static void peak_raise(struct mem_account *a, size_t live)
{
	size_t peak = atomic_load_explicit(&a->peak, memory_order_relaxed);
	while (live > peak && !atomic_compare_exchange_weak(&a->peak, &peak, live))
		;
}

static bool chain_add(struct mem_account *account, size_t more)
{
	struct mem_account *refused = chain_try(account, more);
	if (refused != NULL && shed_hard(refused, more))
		refused = chain_try(account, more);
	if (refused != NULL) {
		atomic_fetch_add(&refused->refusals, 1);
		return false;
	}
	for (struct mem_account *a = account; a != NULL; a = a->parent) {
		size_t soft = atomic_load_explicit(&a->soft, memory_order_relaxed);
		size_t live = atomic_load_explicit(&a->live, memory_order_relaxed);
		peak_raise(a, live);
		if (soft != 0 && live > soft)
			shed_soft(a, live, soft);
	}
	return true;
}

static void chain_sub(struct mem_account *account, size_t less)
{
	for (struct mem_account *a = account; a != NULL; a = a->parent) {
		size_t before = atomic_fetch_sub(&a->live, less);
		ASSERT(before >= less);
	}
}

bool mem_account_charge(struct mem_account *account, size_t bytes)
{
	if (!chain_add(account, bytes))
		return false;
	for (struct mem_account *a = account; a != NULL; a = a->parent)
		atomic_fetch_add_explicit(&a->count, 1, memory_order_relaxed);
	return true;
}

void mem_account_credit(struct mem_account *account, size_t bytes)
{
	chain_sub(account, bytes);
	for (struct mem_account *a = account; a != NULL; a = a->parent)
		atomic_fetch_sub_explicit(&a->count, 1, memory_order_relaxed);
}

bool mem_account_recharge(struct mem_account *account, size_t old_bytes, size_t new_bytes)
{
	if (new_bytes > old_bytes)
		return chain_add(account, new_bytes - old_bytes);
	chain_sub(account, old_bytes - new_bytes);
	return true;
}

bool mem_account_on_pressure(struct mem_account *account, mem_shed_fn *fn, void *context)
{
	bool stored = false;
	pthread_mutex_lock(&table_lock);
	for (size_t i = 0; i < MEM_SHED_HOOKS_MAX && !stored; i++) {
		if (hooks[i].shed != NULL)
			continue;
		hooks[i] = (struct shed_hook){account, fn, context};
		atomic_fetch_add(&account->hooks, 1);
		stored = true;
	}
	pthread_mutex_unlock(&table_lock);
	return stored;
}

void mem_account_off_pressure(struct mem_account *account, mem_shed_fn *fn, void *context)
{
	if (!shedding) /* a hook that takes itself out need not wait for itself */
		pthread_mutex_lock(&shed_lock);
	pthread_mutex_lock(&table_lock);
	for (size_t i = 0; i < MEM_SHED_HOOKS_MAX; i++) {
		if (hooks[i].account != account || hooks[i].shed != fn ||
		    hooks[i].context != context)
			continue;
		hooks[i] = (struct shed_hook){0};
		atomic_fetch_sub(&account->hooks, 1);
	}
	pthread_mutex_unlock(&table_lock);
	if (!shedding)
		pthread_mutex_unlock(&shed_lock);
}

struct mem_account_stat mem_account_stat(const struct mem_account *account)
{
	struct mem_account_stat s = {.live = atomic_load(&account->live),
				     .peak = atomic_load(&account->peak),
				     .count = atomic_load(&account->count),
				     .soft = atomic_load(&account->soft),
				     .hard = atomic_load(&account->hard),
				     .refusals = atomic_load(&account->refusals)};
	path_of(account, s.name);
	return s;
}

size_t mem_account_list(struct mem_account_stat *ret_list, size_t max)
{
	/* A child may sit in a slot before its parent's: list level by level. */
	size_t count = 0;
	pthread_mutex_lock(&table_lock);
	for (size_t depth = 0; depth < MEM_ACCOUNT_DEPTH_MAX; depth++) {
		for (size_t i = 0; i < MEM_ACCOUNTS_MAX; i++) {
			const struct mem_account *a = &table[i];
			bool used = i == 0 || (a->parent != NULL && !slot_is_free(a));
			if (!used || depth_of(a) != depth)
				continue;
			if (count < max)
				ret_list[count] = mem_account_stat(a);
			count++;
		}
	}
	pthread_mutex_unlock(&table_lock);
	return count;
}

/* mem/account.h -- named owners of bytes, in a tree, each with a load line.
 *
 * "kb.handbook.index" is the account "index" below "handbook" below "kb". A charge counts in the
 * account and in all its ancestors, so a line on "kb" bounds everything below it.
 *
 * Lines    soft: hooks registered by caches are called and must shed. hard: the charge is refused
 *          and nothing has changed. 0 = no line.
 * Threads  Every function may be called from any thread; charge and credit take no lock.
 * Limits   MEM_ACCOUNTS_MAX accounts, MEM_ACCOUNT_DEPTH_MAX levels, names of MEM_NAME_BYTES. */
#ifndef MEM_ACCOUNT_H
#define MEM_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MEM_ACCOUNTS_MAX = 1024,
	MEM_ACCOUNT_DEPTH_MAX = 8,
	MEM_NAME_BYTES = 48,  /* one level, with its terminator */
	MEM_PATH_BYTES = 256, /* the whole dotted name; a longer one is cut */
	MEM_SHED_HOOKS_MAX = 64,
};

struct mem_account;

struct mem_account_stat {
	char name[MEM_PATH_BYTES]; /* "" for the root */
	size_t live, peak;         /* bytes, descendants included */
	size_t count;              /* live blocks, descendants included */
	size_t soft, hard;         /* 0 = no line */
	uint64_t refusals;         /* charges refused at this account's hard line */
};

/* The root of the process; it has no name and is never closed. */
struct mem_account *mem_account_root(void);

/* The child of parent with this name; made when there is none, else shared. NULL when the table is
 * full, the tree too deep, or the name empty, too long or dotted. End it with mem_account_close().
 */
struct mem_account *mem_account_open(struct mem_account *parent, const char *name);

/* Give up one use. The entry is reused once nobody uses it and nothing is charged to it or below.
 */
void mem_account_close(struct mem_account *account);

void mem_account_set_lines(struct mem_account *account, size_t soft, size_t hard);

/* The account with this dotted path, or NULL. Holds no reference: use it at once. */
struct mem_account *mem_account_find(const char *path);

/* Charge bytes and one block. Each charge that leaves an account above its soft line calls the shed
 * hooks of that account. At a hard line its hooks are asked to make room, and the charge is tried
 * once more. False: a hard line of the account or an ancestor would still be crossed; nothing is
 * charged. */
bool mem_account_charge(struct mem_account *account, size_t bytes);
void mem_account_credit(struct mem_account *account, size_t bytes);

/* Change the size of a charged block; shrinking always succeeds. */
bool mem_account_recharge(struct mem_account *account, size_t old_bytes, size_t new_bytes);

/* Called with the account's live bytes (with those that are asked for, at the hard line) and the
 * line to get below. It may free memory of any account. Hooks run one at a time, and what a hook
 * allocates calls no hook. A hook must not take a lock that anybody holds while allocating or while
 * calling mem_account_off_pressure(), which returns when no hook runs any more: the context may be
 * freed after it. False when MEM_SHED_HOOKS_MAX are registered. */
typedef void mem_shed_fn(void *context, size_t live, size_t soft);
bool mem_account_on_pressure(struct mem_account *account, mem_shed_fn *shed, void *context);
void mem_account_off_pressure(struct mem_account *account, mem_shed_fn *shed, void *context);

struct mem_account_stat mem_account_stat(const struct mem_account *account);

/* Fill at most max entries, parents before children, and return how many there are. */
size_t mem_account_list(struct mem_account_stat *ret_list, size_t max);

#endif

/* mem/scope.h -- a lifetime inside an account; closing it gives everything back.
 *
 *     struct mem_scope *request = mem_scope_open(server, "request", 8 * MIB);
 *     struct answer *a = mem_new(request, struct answer);        zeroed, NULL when refused
 *     char *copy = mem_copy_text(request, text);                 terminated copy of a span
 *     ...
 *     mem_scope_close(request);                                  frees a, copy and all children
 *
 * Own code allocates in no other way. Each block is charged to the scope's account (and so to the
 * line and type of the mem_new that made it, see mem/site.h), and counts against bytes_max of
 * the scope and of every scope around it.
 *
 * Ownership  A scope belongs to whoever opened it. A block may be freed early with mem_free().
 * Threads    One scope may be used by several threads; close and reset need all of them to be done.
 * Errors     NULL means refused; mem_refusal() tells why (ST_BUDGET: a line or a budget; ST_OOM:
 *            the system). Nothing inside the library dies of a refusal. */
#ifndef MEM_SCOPE_H
#define MEM_SCOPE_H

#include <stddef.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/account.h"
#include "mem/site.h"

struct mem_scope;

/* The scope of the process: account root, no budget, never closed. */
struct mem_scope *mem_scope_root(void);

/* A scope inside parent whose blocks are charged to the account `name` below parent's account.
 * bytes_max bounds what it and its children hold, headers included; 0 = only its surroundings do.
 * NULL when refused. */
struct mem_scope *mem_scope_open(struct mem_scope *parent, const char *name, size_t bytes_max);

/* Close every child, run the hooks, latest first, and free every block; the scope stays open,
 * empty. */
void mem_scope_reset(struct mem_scope *scope);

/* Reset, then end the scope itself. NULL is allowed. */
void mem_scope_close(struct mem_scope *scope);
void mem_scope_closep(struct mem_scope **scope); /* for CLEANUP() */

struct mem_account *mem_scope_account(struct mem_scope *scope);
size_t mem_scope_live(const struct mem_scope *scope); /* bytes, children included */
size_t mem_scope_max(const struct mem_scope *scope);

/* Run hook(context) once, when the scope is reset or closed: after its children are closed, before
 * its blocks are freed. So a hook must not close a scope that is a child of this one. */
MUST_CHECK status mem_on_close(struct mem_scope *scope, void (*hook)(void *context), void *context);

/* Why the last refusal in this thread happened, for `return fault_set(reterr, mem_refusal(), ...)`.
 */
status mem_refusal(void);

#define mem_new(scope, T) ((T *)mem_alloc((scope), 1, sizeof(T), 0, MEM_SITE(#T)))
#define mem_new_array(scope, T, n) ((T *)mem_alloc((scope), (n), sizeof(T), 0, MEM_SITE(#T)))
/* align: a power of two, at most 4096. */
#define mem_new_aligned(scope, T, n, align)                                                        \
	((T *)mem_alloc((scope), (n), sizeof(T), (align), MEM_SITE(#T)))
/* Grow or shrink an array made by mem_new_array (or NULL) to n items; new items are zero. On
 * refusal NULL, and the old array is unchanged. */
#define mem_resize_array(scope, T, old, n)                                                         \
	((T *)mem_realloc((scope), (old), (n), sizeof(T), MEM_SITE(#T)))
#define mem_copy_text(scope, span) mem_copy_span((scope), (span), MEM_SITE("text"))

/* Free one block early. NULL is allowed. */
void mem_free(void *block);
void mem_freep(void *block_pointer); /* for CLEANUP() */

/* Behind the macros. */
void *mem_alloc(struct mem_scope *scope, size_t count, size_t size, size_t align,
		struct mem_site *site) MUST_CHECK;
void *mem_realloc(struct mem_scope *scope, void *old, size_t count, size_t size,
		  struct mem_site *site) MUST_CHECK;
char *mem_copy_span(struct mem_scope *scope, struct span text, struct mem_site *site) MUST_CHECK;

#endif

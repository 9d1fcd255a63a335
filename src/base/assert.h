/* base/assert.h -- assertions are for our own bugs, never for input; they stay on in release.
 *
 * A failed assertion prints one line to standard error and aborts: the supervisor starts a new
 * worker, and a torn invariant never reaches the disk. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define ASSERT(condition)                                                                          \
	(__builtin_expect(!(condition), 0) ? assert_failed(#condition, __FILE__, __LINE__)         \
					   : (void)0)

__attribute__((noreturn, cold)) void assert_failed(const char *condition, const char *file,
						   int line);

#endif

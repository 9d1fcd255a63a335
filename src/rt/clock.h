/* rt/clock.h -- time. Durations and deadlines use the monotonic clock, stored times the wall clock.
 */
#ifndef RT_CLOCK_H
#define RT_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void); /* monotonic */
static inline uint64_t clock_ms(void)
{
	return clock_ns() / 1000000u;
}
int64_t clock_unix_s(void); /* seconds since 1970, UTC */

enum { CLOCK_TEXT_BYTES = 24 };
void clock_text(int64_t unix_s, char out[CLOCK_TEXT_BYTES]); /* "2026-01-02T03:04:05Z" */

#endif

#include "rt/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t clock_unix_s(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec;
}

void clock_text(int64_t unix_s, char out[CLOCK_TEXT_BYTES])
{
	/* The years 0 to 9999: what fits the form; anything outside is shown as the nearest end. */
	const int64_t first = -62167219200, last = 253402300799;
	time_t moment = (time_t)(unix_s < first ? first : unix_s > last ? last : unix_s);
	struct tm utc;
	(void)gmtime_r(&moment, &utc);
	unsigned year = (unsigned)(utc.tm_year + 1900) % 10000u, month = (unsigned)utc.tm_mon + 1u;
	unsigned day = (unsigned)utc.tm_mday, hour = (unsigned)utc.tm_hour;
	unsigned minute = (unsigned)utc.tm_min, second = (unsigned)utc.tm_sec;
	(void)snprintf(out, CLOCK_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ", year, month % 100u,
		       day % 100u, hour % 100u, minute % 100u, second % 100u);
}

#include "rt/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "rt/clock.h"

enum { LINE_BYTES = 1024 };

static atomic_int level_now = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&level_now, (int)level);
}

void log_line(enum log_level level, const char *area, const char *format, ...)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	if ((int)level > atomic_load_explicit(&level_now, memory_order_relaxed))
		return;
	int saved = errno;
	char line[LINE_BYTES], when[CLOCK_TEXT_BYTES];
	clock_text(clock_unix_s(), when);
	int head = snprintf(line, sizeof line, "%s %-7s %.32s: ", when, names[level], area);
	size_t used = head > 0 ? (size_t)head : 0;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line + used, sizeof line - used, format, args);
	va_end(args);
	used += n > 0 ? (size_t)n : 0;
	if (used > sizeof line - 2)
		used = utf8_floor((struct span){line, sizeof line - 1}, sizeof line - 2);
	for (size_t i = 0; i < used; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[used] = '\n';
	ssize_t written;
	do
		written = write(STDERR_FILENO, line, used + 1);
	while (written < 0 && errno == EINTR);
	errno = saved; /* a log that cannot be written is nobody's failure */
}

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "cmd/cmd.h"
#include "rt/clock.h"

enum { BAR_CELLS = 24, REDRAW_MS = 100 };

void progress_init(struct progress *p, const struct cmd *cmd)
{
	*p = (struct progress){.enabled = !cmd->json, .terminal = isatty(STDERR_FILENO) == 1};
}

void progress_end(struct progress *p)
{
	if (p->columns_used > 0)
		(void)fprintf(stderr, "\r\033[K");
	p->columns_used = 0;
}

void progress_line(struct progress *p, const char *format, ...)
{
	if (!p->enabled)
		return;
	progress_end(p);
	va_list args;
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

void progress_bar(struct progress *p, const char *label, uint64_t done, uint64_t total,
		  const char *note)
{
	uint64_t now = clock_ms();
	if (!p->enabled || !p->terminal || now - p->shown_ms < REDRAW_MS)
		return;
	p->shown_ms = now;
	char bar[BAR_CELLS + 1] = "";
	unsigned percent = 0;
	if (total > 0) {
		double share = done < total ? (double)done / (double)total : 1;
		size_t full = (size_t)(share * BAR_CELLS);
		memset(bar, '#', full);
		memset(bar + full, ' ', BAR_CELLS - full);
		percent = (unsigned)(share * 100);
	}
	int n = total > 0 ? fprintf(stderr, "\r\033[K%.40s [%s] %u %% %.40s", label, bar, percent,
				    note)
			  : fprintf(stderr, "\r\033[K%.40s %.60s", label, note);
	p->columns_used = n > 0 ? (size_t)n : 0;
	(void)fflush(stderr);
}

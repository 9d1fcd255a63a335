#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const char *status_name(status st)
{
	switch (st) {
#define X(name, text, http)                                                                        \
	case ST_##name:                                                                            \
		return #name;
		STATUS_LIST(X)
#undef X
	}
	return "UNKNOWN";
}

const char *status_text(status st)
{
	switch (st) {
#define X(name, text, http)                                                                        \
	case ST_##name:                                                                            \
		return text;
		STATUS_LIST(X)
#undef X
	}
	return "unknown status";
}

int status_http(status st)
{
	switch (st) {
#define X(name, text, http)                                                                        \
	case ST_##name:                                                                            \
		return http;
		STATUS_LIST(X)
#undef X
	}
	return 500;
}

__attribute__((format(printf, 3, 0))) static void fault_write(struct fault *f, status code,
							      const char *format, va_list args)
{
	f->code = code;
	int n = vsnprintf(f->text, sizeof f->text, format, args);
	if (n < 0) {
		f->text[0] = '\0';
	} else if ((size_t)n >= sizeof f->text) {
		size_t end =
			utf8_floor((struct span){f->text, sizeof f->text - 1}, sizeof f->text - 4);
		memcpy(f->text + end, "...", 4);
	}
}

status fault_set(struct fault *f, status code, const char *format, ...)
{
	if (f == NULL)
		return code;
	va_list args;
	va_start(args, format);
	fault_write(f, code, format, args);
	va_end(args);
	f->sys_errno = 0;
	return code;
}

status fault_errno(struct fault *f, status code, const char *format, ...)
{
	int saved = errno;
	if (f == NULL)
		return code;
	va_list args;
	va_start(args, format);
	fault_write(f, code, format, args);
	va_end(args);
	f->sys_errno = saved;
	size_t used = strlen(f->text);
	char reason[96];
	const char *text = strerror_r(saved, reason, sizeof reason);
	(void)snprintf(f->text + used, sizeof f->text - used, ": %s", text);
	return code;
}

const char *fault_text(const struct fault *f)
{
	return f->text[0] != '\0' ? f->text : status_text(f->code);
}

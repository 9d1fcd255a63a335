/* base/status.h -- how every function says that it could not do what was asked.
 *
 * A function that can fail returns a status. When the caller passes a fault, the deepest
 * function that knows the cause also writes one sentence into it: what was refused, why, and
 * what to do. Outputs (ret_*) are untouched on failure.
 *
 * Memory   struct fault lives on the caller's stack and has a fixed size, so even OOM can be told.
 * Threads  No shared state. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define CLEANUP(f) __attribute__((cleanup(f)))

/* X(name, text, HTTP status that api/ answers with) */
#define STATUS_LIST(X)                                                                             \
	X(OK, "ok", 200)                                                                           \
	X(OOM, "the system has no memory", 503)                                                    \
	X(BUDGET, "an account is at its load line", 503)                                           \
	X(LIMIT, "a limit was reached", 413)                                                       \
	X(INVALID, "bad input", 400)                                                               \
	X(UNSUPPORTED, "not supported", 415)                                                       \
	X(CORRUPT, "stored data is damaged", 500)                                                  \
	X(NOT_FOUND, "not found", 404)                                                             \
	X(EXISTS, "exists already", 409)                                                           \
	X(BUSY, "busy", 503)                                                                       \
	X(TIMEOUT, "took too long", 504)                                                           \
	X(CANCELLED, "cancelled", 499)                                                             \
	X(IO, "input or output failed", 500)                                                       \
	X(REMOTE, "the other side failed", 502)

typedef enum status {
#define X(name, text, http) ST_##name,
	STATUS_LIST(X)
#undef X
} status;

enum { FAULT_TEXT_BYTES = 240 };

struct fault {
	status code;
	int sys_errno; /* errno at the time, 0 when no system call was to blame */
	char text[FAULT_TEXT_BYTES];
};

/* "NOT_FOUND", "not found", 404. */
const char *status_name(status st);
const char *status_text(status st);
int status_http(status st);

/* Write code and a printf-formatted sentence into f (NULL is allowed); a longer sentence is cut at
 * a code point and ends in "...". Returns code, so that failing reads `return fault_set(...)`. */
status fault_set(struct fault *f, status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, with errno kept and its text appended after ": ". */
status fault_errno(struct fault *f, status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The sentence, or the text of code when nothing was written. Never NULL or empty. */
const char *fault_text(const struct fault *f);

#endif

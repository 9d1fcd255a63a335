/* rt/log.h -- one line a message to standard error: time, level, area, text. Only cmd/, api/ and
 * super/ log; libraries return a fault.
 *
 * Threads  A line is one write(2): lines never mix. */
#ifndef RT_LOG_H
#define RT_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* LOG_INFO at start */
/* area: "http", "ingest"... A line longer than 1 KiB is cut; control characters become '?'. */
void log_line(enum log_level level, const char *area, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif

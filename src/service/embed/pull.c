#include "embed/pull.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "mem/scope.h"
#include "rt/buf.h"
#include "rt/clock.h"

enum {
	VALIDATOR_BYTES = 256,
	NOTE_BYTES_MAX = 8192,
	REDIRECTS_MAX = 8,
	CONNECT_MS = 15000,
	IDLE_MS = 60000,
	PROGRESS_MS = 100,
};
#define PULL_BYTES_MAX (64 * (uint64_t)GIB)

/* What the last answer's headers said. */
struct answer {
	long code;
	uint64_t length;                 /* of the whole file; UINT64_MAX: not said */
	uint64_t range_from;             /* of a 206; UINT64_MAX: not said */
	char validator[VALIDATOR_BYTES]; /* a strong ETag, else Last-Modified, else "" */
	bool has_etag;
};

/* What was begun earlier. */
struct note {
	uint64_t length;
	char validator[VALIDATOR_BYTES];
};

struct pull {
	const struct pull_options *options;
	char part[FILE_PATH_BYTES], from[FILE_PATH_BYTES];
	int fd;
	uint64_t asked_from; /* Range of the request; 0: the whole */
	uint64_t have;       /* bytes in the part */
	uint64_t bytes_max;
	struct note note;
	struct answer answer;
	bool started; /* the body is ours, and where it goes is decided */
	bool stale;   /* what is there does not belong to what the server has: begin again */
	status st;    /* why the body was refused */
	struct fault *reterr;
	uint64_t told_ms;
};

/* A header's value when its name is `name`; {NULL, 0} otherwise. */
static struct span header_value(struct span line, const char *name)
{
	size_t n = strlen(name);
	if (line.bytes <= n || strncasecmp(line.data, name, n) != 0 || line.data[n] != ':')
		return (struct span){NULL, 0};
	return span_trim(span_slice(line, n + 1, line.bytes));
}

static uint64_t number(struct span text)
{
	uint64_t value = 0;
	if (text.bytes == 0 || text.bytes > 18)
		return UINT64_MAX;
	for (size_t i = 0; i < text.bytes; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return UINT64_MAX;
		value = value * 10 + (uint64_t)(text.data[i] - '0');
	}
	return value;
}

/* "bytes 10-99/100"; with a star in front of the slash when there is no such part. */
static void take_range(struct answer *a, struct span value)
{
	const char *slash = value.bytes > 0 ? memchr(value.data, '/', value.bytes) : NULL;
	const char *dash = value.bytes > 0 ? memchr(value.data, '-', value.bytes) : NULL;
	if (!span_starts_with(value, SPAN("bytes ")) || slash == NULL)
		return;
	size_t at = (size_t)(slash - value.data);
	a->length = number(span_slice(value, at + 1, value.bytes));
	if (dash != NULL && dash < slash)
		a->range_from = number(span_slice(value, 6, (size_t)(dash - value.data)));
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
	struct pull *p = context;
	struct answer *a = &p->answer;
	struct span line = {data, size * count}, value;
	if (span_starts_with(line, SPAN("HTTP/"))) { /* of each answer on the way */
		const char *blank = memchr(data, ' ', line.bytes);
		size_t at = blank != NULL ? (size_t)(blank - data) + 1 : 0;
		*a = (struct answer){.length = UINT64_MAX, .range_from = UINT64_MAX};
		a->code = (long)(number(span_slice(line, at, at + 3)) % 1000);
	} else if ((value = header_value(line, "Content-Range")).data != NULL)
		take_range(a, value);
	else if ((value = header_value(line, "Content-Length")).data != NULL &&
		 a->length == UINT64_MAX)
		a->length = number(value);
	else if ((value = header_value(line, "ETag")).data != NULL &&
		 value.bytes < VALIDATOR_BYTES && !span_starts_with(value, SPAN("W/"))) {
		snprintf(a->validator, sizeof(a->validator), "%.*s", SPAN_ARG(value));
		a->has_etag = true;
	} else if ((value = header_value(line, "Last-Modified")).data != NULL && !a->has_etag &&
		   value.bytes < VALIDATOR_BYTES)
		snprintf(a->validator, sizeof(a->validator), "%.*s", SPAN_ARG(value));
	return size * count;
}

static status write_note(const struct pull *p)
{
	char text[NOTE_BYTES_MAX];
	int n = snprintf(text, sizeof(text), "%s\n%llu\n%s\n", p->options->url,
			 (unsigned long long)p->answer.length, p->answer.validator);
	if (n < 0 || (size_t)n >= sizeof(text))
		return fault_set(p->reterr, ST_INVALID, "the address is too long");
	return file_replace(p->from, (struct span){text, (size_t)n}, p->reterr);
}

/* Before the first byte is kept: is this the file, and where does it go? */
static status start_body(struct pull *p)
{
	struct answer *a = &p->answer;
	p->started = true;
	if (a->code == 206 && p->asked_from > 0) {
		if (a->range_from != p->asked_from ||
		    (p->note.validator[0] == '\0' && a->length != p->note.length)) {
			p->stale = true;
			return fault_set(p->reterr, ST_REMOTE, "the server has another file now");
		}
		return ST_OK;
	}
	if (a->code != 200)
		return fault_set(p->reterr, ST_REMOTE,
				 "the server answered %ld without being asked for "
				 "a part",
				 a->code);
	if (a->length != UINT64_MAX && a->length > p->bytes_max)
		return fault_set(p->reterr, ST_LIMIT,
				 "the file has %llu bytes; at most %llu are taken",
				 (unsigned long long)a->length, (unsigned long long)p->bytes_max);
	p->have = p->asked_from = 0;
	if (ftruncate(p->fd, 0) != 0)
		return fault_errno(p->reterr, ST_IO, "cannot empty '%s'", p->part);
	return write_note(p);
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct pull *p = context;
	size_t bytes = size * count;
	if (p->answer.code != 200 && p->answer.code != 206)
		return bytes; /* the text of an error; the code says enough */
	if (!p->started)
		p->st = start_body(p);
	if (p->st == ST_OK && bytes > p->bytes_max - p->have)
		p->st = fault_set(p->reterr, ST_LIMIT, "the file is larger than %llu bytes",
				  (unsigned long long)p->bytes_max);
	if (p->st == ST_OK)
		p->st = fd_write_at(p->fd, p->have, (struct span){data, bytes}, p->reterr);
	if (p->st != ST_OK)
		return 0;
	p->have += bytes;
	return bytes;
}

static void tell(struct pull *p, bool now)
{
	const struct pull_options *o = p->options;
	uint64_t ms = clock_ms();
	if (o->progress == NULL || (!now && ms - p->told_ms < PROGRESS_MS))
		return;
	p->told_ms = ms;
	o->progress(o->progress_context, p->have,
		    p->answer.length != UINT64_MAX ? p->answer.length : 0);
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
		       curl_off_t up_now)
{
	struct pull *p = context;
	(void)total, (void)now, (void)up_total, (void)up_now;
	if (p->started)
		tell(p, false);
	return cancel_is_set(p->options->cancel) ? 1 : 0;
}

/* The part of an earlier call, if it is of this address and can be gone on with. */
static void read_note(struct pull *p)
{
	struct span text;
	struct fault ignored;
	p->note = (struct note){.length = UINT64_MAX};
	p->asked_from = 0;
	if (p->have == 0)
		return;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "pull", 64 * KIB);
	if (scope == NULL)
		return;
	if (file_read(scope, p->from, NOTE_BYTES_MAX, &text, &ignored) == ST_OK) {
		struct span line[3] = {{NULL, 0}};
		for (size_t i = 0, at = 0; i < ARRAY_COUNT(line) && at < text.bytes; i++) {
			const char *end = memchr(text.data + at, '\n', text.bytes - at);
			size_t stop = end != NULL ? (size_t)(end - text.data) : text.bytes;
			line[i] = span_slice(text, at, stop);
			at = stop + 1;
		}
		p->note.length = number(line[1]);
		if (line[2].bytes < VALIDATOR_BYTES)
			snprintf(p->note.validator, sizeof(p->note.validator), "%.*s",
				 SPAN_ARG(line[2]));
		bool usable = p->note.validator[0] != '\0' || p->note.length != UINT64_MAX;
		if (span_equal(line[0], span_of(p->options->url)) && usable)
			p->asked_from = p->have;
	}
	mem_scope_close(scope);
}

/* Open and lock the part. The lock is on the file itself, so that it ends with its holder. */
static status open_part(struct pull *p)
{
	struct stat mine, named;
	uint64_t bytes;
	status st = fd_open(p->part, O_RDWR | O_CREAT, 0644, &p->fd, p->reterr);
	if (st != ST_OK)
		return st;
	if (flock(p->fd, LOCK_EX | LOCK_NB) != 0 || fstat(p->fd, &mine) != 0 ||
	    stat(p->part, &named) != 0 || mine.st_ino != named.st_ino)
		return fault_set(p->reterr, ST_BUSY, "'%s' is being fetched already",
				 p->options->path);
	st = fd_size(p->fd, &bytes, p->reterr);
	p->have = bytes;
	return st;
}

static status answer_status(const struct pull *p)
{
	long code = p->answer.code;
	status st = code == 404 || code == 410 ? ST_NOT_FOUND : ST_REMOTE;
	return fault_set(p->reterr, st, "the server answered %ld for %s", code, p->options->url);
}

static status curl_status(const struct pull *p, CURLcode code, const char *detail)
{
	const char *why = detail[0] != '\0' ? detail : curl_easy_strerror(code);
	status st = ST_REMOTE;
	if (code == CURLE_WRITE_ERROR && p->st != ST_OK)
		return p->st;
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return fault_set(p->reterr, ST_CANCELLED, "the download was cancelled");
	if (code == CURLE_OPERATION_TIMEDOUT)
		st = ST_TIMEOUT;
	else if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		st = ST_INVALID;
	else if (code == CURLE_OUT_OF_MEMORY)
		st = ST_OOM;
	return fault_set(p->reterr, st, "cannot fetch %s: %s", p->options->url, why);
}

static void set_options(CURL *curl, struct pull *p, char detail[CURL_ERROR_SIZE])
{
	const struct pull_options *o = p->options;
	uint32_t idle = o->idle_ms > 0 ? o->idle_ms : IDLE_MS;
	curl_easy_setopt(curl, CURLOPT_URL, o->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(o->connect_ms > 0 ? o->connect_ms : CONNECT_MS));
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)((idle + 999) / 1000));
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "plimsoll/" PLIMSOLL_VERSION);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, p);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, p);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, p);
}

/* One request; *ret_again: what is there was stale, and has been dropped. */
static status fetch(struct pull *p, bool *ret_again)
{
	char detail[CURL_ERROR_SIZE] = "", range[32], condition[VALIDATOR_BYTES + 16];
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	*ret_again = false;
	if (curl == NULL)
		return fault_set(p->reterr, ST_OOM, "no memory for a download");
	p->st = ST_OK;
	p->started = p->stale = false;
	p->answer = (struct answer){.length = UINT64_MAX, .range_from = UINT64_MAX};
	set_options(curl, p, detail);
	if (p->asked_from > 0) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)p->asked_from);
		curl_easy_setopt(curl, CURLOPT_RANGE, range);
	}
	if (p->asked_from > 0 && p->note.validator[0] != '\0') {
		snprintf(condition, sizeof(condition), "If-Range: %s", p->note.validator);
		headers = curl_slist_append(NULL, condition);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
	CURLcode code = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	bool whole = p->answer.code == 416 && p->asked_from > 0 && p->answer.length == p->have;
	if (code == CURLE_OK && whole) /* an earlier call had all of it */
		return ST_OK;
	if (p->stale || (code == CURLE_OK && p->answer.code == 416 && p->asked_from > 0)) {
		*ret_again = true;
		p->have = p->asked_from = 0;
		return ST_OK;
	}
	if (code != CURLE_OK)
		return curl_status(p, code, detail);
	if (p->answer.code != 200 && p->answer.code != 206)
		return answer_status(p);
	if (!p->started && (p->st = start_body(p)) != ST_OK) /* an empty file */
		return p->st;
	if (p->answer.length != UINT64_MAX && p->have != p->answer.length)
		return fault_set(p->reterr, ST_REMOTE, "the server sent %llu bytes of %llu",
				 (unsigned long long)p->have, (unsigned long long)p->answer.length);
	return ST_OK;
}

/* All bytes are there: check them, and give them their name. */
static status finish(struct pull *p, uint64_t resumed_from, struct pull_result *ret_result)
{
	struct sha256 digest;
	struct pull_result result = {.bytes = p->have, .resumed_from = resumed_from};
	status st = fd_sync(p->fd, p->reterr);
	if (st == ST_OK)
		st = sha256_of_file(p->part, &digest, NULL, p->reterr);
	if (st != ST_OK)
		return st;
	sha256_hex(&digest, result.sha256);
	if (p->options->sha256 != NULL && strcasecmp(p->options->sha256, result.sha256) != 0) {
		struct fault ignored;
		if (file_remove(p->part, &ignored) == ST_OK)
			(void)!file_remove(p->from, &ignored);
		return fault_set(p->reterr, ST_CORRUPT, "%s has the SHA-256 %s, not %s",
				 p->options->url, result.sha256, p->options->sha256);
	}
	st = file_remove(p->from, p->reterr);
	if (st == ST_OK)
		st = file_rename(p->part, p->options->path, p->reterr);
	if (st == ST_OK) {
		tell(p, true);
		if (ret_result != NULL)
			*ret_result = result;
	}
	return st;
}

static status check_options(const struct pull_options *o, struct fault *reterr)
{
	if (strncasecmp(o->url, "http://", 7) != 0 && strncasecmp(o->url, "https://", 8) != 0)
		return fault_set(reterr, ST_INVALID, "an address begins with http:// or https://");
	if (strpbrk(o->url, " \r\n\t") != NULL)
		return fault_set(reterr, ST_INVALID, "an address holds no blanks");
	if (o->sha256 != NULL &&
	    (strlen(o->sha256) != SHA256_HEX_BYTES - 1 ||
	     strspn(o->sha256, "0123456789abcdefABCDEF") != SHA256_HEX_BYTES - 1))
		return fault_set(reterr, ST_INVALID, "a SHA-256 has 64 hex digits");
	return ST_OK;
}

static void initialise(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static status prepare(struct pull *p)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char folder[FILE_PATH_BYTES];
	const char *path = p->options->path;
	struct span base = path_base(path);
	int n = snprintf(p->part, sizeof(p->part), "%s.part", path);
	int m = snprintf(p->from, sizeof(p->from), "%s.part.from", path);
	if (n < 0 || m < 0 || (size_t)m >= sizeof(p->from) || base.bytes == 0)
		return fault_set(p->reterr, ST_INVALID, "'%s' is no path for a file", path);
	snprintf(folder, sizeof(folder), "%.*s", (int)(strlen(path) - base.bytes), path);
	pthread_once(&once, initialise);
	status st = folder[0] != '\0' ? dir_make(folder, p->reterr) : ST_OK;
	return st == ST_OK ? open_part(p) : st;
}

status pull_file(const struct pull_options *options, struct pull_result *ret_result,
		 struct fault *reterr)
{
	struct pull p = {.options = options, .fd = -1, .reterr = reterr};
	p.bytes_max = options->bytes_max > 0 ? options->bytes_max : PULL_BYTES_MAX;
	status st = check_options(options, reterr);
	if (st == ST_OK)
		st = prepare(&p);
	if (st == ST_OK) {
		bool again = true;
		uint64_t resumed_from = 0;
		read_note(&p);
		for (int i = 0; i < 2 && st == ST_OK && again; i++) {
			st = fetch(&p, &again);
			resumed_from = p.asked_from;
		}
		if (st == ST_OK && again)
			st = fault_set(reterr, ST_REMOTE, "the file changes while it is fetched");
		if (st == ST_OK)
			st = finish(&p, resumed_from, ret_result);
	}
	fd_closep(&p.fd);
	return st;
}

status pull_name(const char *url, char ret_name[FILE_NAME_BYTES], struct fault *reterr)
{
	char name[FILE_NAME_BYTES];
	size_t n = 0;
	const char *path = strstr(url, "://");
	path = path != NULL ? strchr(path + 3, '/') : NULL;
	size_t bytes = path != NULL ? strcspn(path, "?#") : 0;
	while (bytes > 0 && path[bytes - 1] == '/')
		bytes--;
	size_t from = bytes;
	while (from > 0 && path[from - 1] != '/')
		from--;
	for (size_t i = from; i < bytes && n < sizeof(name) - 1; n++) {
		unsigned value = 0;
		if (path[i] == '%' && sscanf(path + i, "%%%2x", &value) == 1 && i + 2 < bytes) {
			name[n] = (char)value;
			i += 3;
		} else {
			name[n] = path[i++];
		}
	}
	if (!file_name_is_safe((struct span){name, n}))
		return fault_set(reterr, ST_INVALID, "the address %s does not end in a file name",
				 url);
	name[n] = '\0';
	memcpy(ret_name, name, n + 1);
	return ST_OK;
}

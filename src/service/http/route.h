/* http/route.h -- private to http/: which route a path belongs to, and percent-decoding.
 *
 * Routes are matched on the path as sent, so an encoded slash never splits a component; parts are
 * decoded afterwards. Pure functions apart from the scope they copy into. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "http/http.h"

/* Does the path as sent fit the pattern? ret_params gets what {x} held, still encoded. */
bool route_match(const char *pattern, struct span path, struct span ret_params[HTTP_PARAMS_MAX]);

/* The route for method (HEAD is served by GET) and path, or NULL. When other methods exist for the
 * path, they are written into allow ("GET, HEAD, POST"), which is else "". */
const struct http_route *route_find(const struct http_options *options, const char *method,
				    struct span path, struct span ret_params[HTTP_PARAMS_MAX],
				    char *allow, size_t allow_bytes);

/* Decode %XX (and '+' as a space with `plus`) into scope, terminated. ST_INVALID for a broken
 * escape, an encoded NUL or a result that is not UTF-8. */
MUST_CHECK status url_decode(struct mem_scope *scope, struct span raw, bool plus,
			     struct span *ret_text, struct fault *reterr);

#endif

/* plimsoll serve: open the data directory, listen, wait for a signal, drain. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/size.h"
#include "cmd/verbs.h"
#include "rt/log.h"

enum { DRAIN_MS = 10000 };

/* From here on only ppoll() below takes these signals: threads that are started later inherit the
 * mask, and none comes between the question and the sleep. */
static void block_signals(sigset_t *ret_before)
{
	sigset_t stops;
	sigemptyset(&stops);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &stops, ret_before);
}

static void wait_for_signal(const struct cancel *cancel, const sigset_t *before)
{
	while (!cancel_is_set(cancel))
		(void)ppoll(NULL, 0, NULL, before);
}

static void set_log_level(const struct service *s)
{
	static const char *const names[] = {[LOG_ERROR] = "error",
					    [LOG_WARNING] = "warning",
					    [LOG_INFO] = "info",
					    [LOG_DEBUG] = "debug"};
	const char *wanted = config_text(service_config(s), "log.level");
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcmp(wanted, names[i]) == 0)
			log_set_level((enum log_level)i);
	}
}

int cmd_serve(struct cmd *cmd)
{
	struct fault fault = {0};
	struct service *s = NULL;
	struct api *api = NULL;
	struct service_options options = {.data = cmd->data,
					  .create = true,
					  .settings = cmd->settings,
					  .no_generate = cmd_value(cmd, "no-generate") != NULL,
					  .serving = true};
	struct api_options listen = {.listen = cmd_value(cmd, "listen")};
	sigset_t before;
	block_signals(&before);
	status st = service_open(cmd->scope, &options, &s, &fault);
	if (st == ST_OK) {
		set_log_level(s);
		st = api_open(cmd->scope, s, &listen, &api, &fault);
	}
	if (st == ST_OK) {
		(void)printf("listening on http://%s\n", api_address(api));
		(void)fflush(stdout);
		wait_for_signal(cmd->cancel, &before);
		log_line(LOG_INFO, "serve", "stopping");
	}
	api_close(api, DRAIN_MS);
	service_close(s);
	return st == ST_OK ? CMD_OK : cmd_fail(cmd, &fault);
}

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cmd/cmd.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

void cmd_json_begin(struct cmd *cmd, struct cmd_json *ret_json)
{
	buf_init(&ret_json->text, cmd->scope, ANSWER_BYTES_MAX);
	json_writer_init(&ret_json->writer, &ret_json->text);
}

int cmd_json_end(struct cmd *cmd, struct cmd_json *json)
{
	struct fault fault = {0};
	(void)buf_add_byte(&json->text, '\n');
	if (buf_check(&json->text, "the answer", &fault) != ST_OK)
		return cmd_fail(cmd, &fault);
	struct span text = buf_span(&json->text);
	bool written =
		fwrite(text.data, 1, text.bytes, stdout) == text.bytes && fflush(stdout) == 0;
	buf_fini(&json->text);
	return written ? CMD_OK : CMD_FAILED;
}

int cmd_fail(const struct cmd *cmd, const struct fault *fault)
{
	if (!cmd->json) {
		(void)fprintf(stderr, "plimsoll: %s: %s\n", cmd->verb->words, fault_text(fault));
		return CMD_FAILED;
	}
	struct buf text;
	struct json_writer w;
	buf_init(&text, cmd->scope, 4 * KIB);
	json_writer_init(&w, &text);
	json_object(&w);
	json_key_write(&w, "error");
	json_object(&w);
	json_put_text(&w, "message", span_of(fault_text(fault)));
	json_put_text(&w, "code", span_of(status_name(fault->code)));
	json_object_end(&w);
	json_object_end(&w);
	(void)printf("%.*s\n", SPAN_ARG(buf_span(&text)));
	buf_fini(&text);
	return CMD_FAILED;
}

status cmd_open(struct cmd *cmd, bool create, struct service **ret_service, struct fault *reterr)
{
	struct service_options options = {
		.data = cmd->data, .create = create, .settings = cmd->settings};
	return service_open(cmd->scope, &options, ret_service, reterr);
}

const char *cmd_size(uint64_t bytes, char out[CMD_SIZE_BYTES])
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit + 1 < ARRAY_COUNT(units); unit++)
		value /= 1024;
	(void)snprintf(out, CMD_SIZE_BYTES, unit > 0 && value < 100 ? "%.1f %s" : "%.0f %s", value,
		       units[unit]);
	return out;
}

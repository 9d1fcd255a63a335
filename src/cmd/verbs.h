/* cmd/verbs.h -- the functions behind the table in verbs.c. Each returns an exit code. */
#ifndef CMD_VERBS_H
#define CMD_VERBS_H

#include "cmd/cmd.h"

int cmd_init(struct cmd *cmd);
int cmd_serve(struct cmd *cmd);
int cmd_kb_create(struct cmd *cmd);
int cmd_kb_list(struct cmd *cmd);
int cmd_kb_show(struct cmd *cmd);
int cmd_kb_delete(struct cmd *cmd);
int cmd_kb_add(struct cmd *cmd);
int cmd_kb_rm(struct cmd *cmd);
int cmd_kb_files(struct cmd *cmd);
int cmd_kb_rebuild(struct cmd *cmd);
int cmd_kb_rollback(struct cmd *cmd);
int cmd_kb_compact(struct cmd *cmd);
int cmd_kb_export(struct cmd *cmd);
int cmd_kb_import(struct cmd *cmd);
int cmd_search(struct cmd *cmd);
int cmd_ask(struct cmd *cmd);
int cmd_eval(struct cmd *cmd);
int cmd_model_list(struct cmd *cmd);
int cmd_model_info(struct cmd *cmd);
int cmd_model_import(struct cmd *cmd);
int cmd_model_pull(struct cmd *cmd);
int cmd_completion(struct cmd *cmd);

#endif

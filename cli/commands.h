// commands.h: all commands of `caravan`. Each lives in its own cmd_NAME.c; main.c puts them into
// the table that is both dispatch and overview.
#ifndef CARAVAN_CLI_COMMANDS_H
#define CARAVAN_CLI_COMMANDS_H

#include "cli/args.h"

extern const struct command cmd_run, cmd_status, cmd_top, cmd_samples, cmd_audit, cmd_eval,
    cmd_export, cmd_tasks, cmd_config, cmd_tokenize, cmd_detokenize, cmd_logprobs, cmd_generate,
    cmd_verify;

#endif

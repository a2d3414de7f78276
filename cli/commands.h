// commands.h: all commands of `caravan`. Each lives in its own cmd_NAME.c; main.c puts them into
// the table that is both dispatch and overview.
//
// A command reads its own options (args.h), prints its answer on stdout and complaints on stderr,
// and returns one of the exit codes of args.h. Commands do not call one another; what several need
// stands in modules of its own (settings, localmodel, jsonl, statusview, summary).
#ifndef CARAVAN_CLI_COMMANDS_H
#define CARAVAN_CLI_COMMANDS_H

#include "cli/args.h"

extern const struct command cmd_run, cmd_status, cmd_top, cmd_samples, cmd_audit, cmd_eval,
    cmd_export, cmd_tasks, cmd_config, cmd_tokenize, cmd_detokenize, cmd_logprobs, cmd_generate,
    cmd_verify, cmd_verifier, cmd_data, cmd_model, cmd_bench;

#endif

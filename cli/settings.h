// settings.h: where a command's configuration and run folder come from.
//
// Two beginnings lead to a struct conf: a file (a new run) or the configuration that a run stored
// when it was last started (resume, and the commands that look at a run). Overrides apply to both
// and are named in messages as "--set KEY".
//
// In: paths and overrides from the command line. Out: a complete, checked configuration, or `why`.
// Reads files, writes none.
#ifndef CARAVAN_CLI_SETTINGS_H
#define CARAVAN_CLI_SETTINGS_H

#include "cli/args.h"
#include "common/conf.h"

// FILE, then each KEY=VALUE; run_dir "" becomes runs/NAME; then conf_check.
MUST_CHECK enum err settings_from_file(const char *file, const struct arg_list *set, struct conf *c,
                                       struct why *why);
// What the run in `dir` was last started with, then each KEY=VALUE; run_dir is dir.
MUST_CHECK enum err settings_from_run(const char *dir, const struct arg_list *set, struct conf *c,
                                      struct why *why);
// A run folder has a ledger. ERR_NOT_FOUND says what is there instead.
MUST_CHECK enum err settings_check_run(const char *dir, struct why *why);

#endif

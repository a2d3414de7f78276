// args.h: the commands of caravan. One struct command drives parsing (common/args.h), its help page
// and the overview of `caravan help`.
#ifndef CARAVAN_CLI_ARGS_H
#define CARAVAN_CLI_ARGS_H

#include "common/args.h"

// Exit codes of every command.
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_STOPPED = 130 };

struct command {
    const char *name, *synopsis;    // "run", "CONFIG | --resume RUN"
    const char *help;               // one line
    const char *more;               // a paragraph for the command's own help, or NULL
    const struct arg *args;
    size_t min_words, max_words;
    int (*run)(const struct command *self, int argc, char **argv);    // exit code
};

// Reads argv[1…] into the options struct (defaults are set by the caller) and *words. -1: go on;
// any other value is the exit code: help was asked for and printed, or a complaint was.
MUST_CHECK int args_parse(const struct command *c, int argc, char **argv, void *options,
                          struct words *words);
void args_help(const struct command *c);    // to stdout
// Prints "caravan NAME: text" on stderr and returns CLI_FAILED.
int cli_fail(const struct command *c, const struct why *why);
int cli_complain(const struct command *c, const char *fmt, ...) PRINTF_LIKE(2, 3);    // CLI_USAGE

#endif

// args.h: command lines. One struct command per command drives parsing, its help page and the
// overview of `caravan help`.
//
// A row of struct arg says where a value goes, its type, its range and its help, so that
// complaints, help page and parser cannot disagree. Values are strict: a number with anything
// behind it is refused, and every complaint names what was expected.
//
// Pure functions over argv and the row; the only output is help on stdout and complaints on stderr.
// Nothing is allocated: texts point into argv.
#ifndef CARAVAN_CLI_ARGS_H
#define CARAVAN_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { ARGS_WORDS = 4, ARGS_LIST = 128 };

// Exit codes of every command.
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_STOPPED = 130 };

enum arg_kind {
    ARG_FLAG,    // bool
    ARG_TEXT,    // const char *, into argv
    ARG_INT,     // int64_t in min..max
    ARG_NUM,     // double in min..max
    ARG_LIST,    // struct arg_list, may be given again and again
};

struct arg_list {
    const char *v[ARGS_LIST];
    size_t n;
};

struct arg {
    const char *name;    // "step" is written --step N or --step=N; NULL ends the list
    enum arg_kind kind;
    size_t offset;    // of the member in the command's options struct
    double min, max;
    const char *value;    // "N"; NULL for flags
    const char *help;
};

struct words {
    const char *v[ARGS_WORDS];    // what is not an option, in order
    size_t n;
};

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

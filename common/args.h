// args.h: command lines: one table of options drives parsing, ranges and the help page. Nothing is
// guessed: no abbreviations, whole values only, unknown options are errors.
#ifndef CARAVAN_COMMON_ARGS_H
#define CARAVAN_COMMON_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

enum { ARGS_WORDS = 4, ARGS_LIST = 128 };

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
    size_t offset;    // of the member in the options struct
    double min, max;
    const char *value;    // "N"; NULL for flags
    const char *help;
};

// What is not an option, in order.
struct words {
    const char *v[ARGS_WORDS];
    size_t n;
};

struct args_spec {
    const struct arg *args;
    size_t min_words, max_words;
    const char *usage;    // "caravan-actor --connect ADDRESS [options]"
};

// Reads argv[1…] into the options struct (defaults are set by the caller) and *words. *help: --help
// or -h was met, and nothing after it is looked at. ERR_INVALID: `why` says which word, and what was
// expected. -- ends the options.
MUST_CHECK enum err args_read(const struct args_spec *s, int argc, char **argv, void *options,
                              struct words *words, bool *help, struct why *why);
// Appends one line for each option.
MUST_CHECK enum err args_describe(const struct arg *args, struct buf *out);

// The whole of it for a program of its own: help goes to `out`, a complaint to `err`. -1: go on; any
// other value is the exit status.
MUST_CHECK int args_main(const struct args_spec *s, const char *about, int argc, char **argv,
                         void *options, FILE *out, FILE *err);

#endif

// jsonl.h: commands for scripts: one JSON object a line on stdin, one a line on stdout, in the same
// order.
//
// A line that cannot be used is answered with {"error": "stdin:7: …"}; the others still work, and
// the exit code is then 1. Blank lines are passed over. Answers are flushed one by one, so that a
// script may talk back and forth.
#ifndef CARAVAN_CLI_JSONL_H
#define CARAVAN_CLI_JSONL_H

#include <stdio.h>

#include "common/buf.h"
#include "common/json.h"

#define JSONL_LINE_MAX ((size_t)64 << 20)

struct jsonl_reader {
    FILE *in;
    const char *name;    // "stdin", or a path
    struct buf line;     // as it was read, without its end; its max bounds a line
    size_t number;       // of the line, from 1
};
void jsonl_reader_init(struct jsonl_reader *r, FILE *in, const char *name);
void jsonl_reader_fini(struct jsonl_reader *r);
// The next line that is not blank as an object. ERR_CLOSED: the end. Any other error concerns this
// line alone (the rest of it is skipped): go on with the next.
MUST_CHECK enum err jsonl_next(struct jsonl_reader *r, json_t **out, struct why *why);

// Prints v (or, when it is NULL, an error object with the text of why) and releases it. false: the
// output cannot be written.
bool jsonl_print(json_t *v, const struct why *why);

// Answers one object: a new reference, or NULL and `why`.
typedef json_t *jsonl_fn(void *arg, const json_t *in, const char *where, struct why *why);
// Runs fn over stdin. Returns the exit code.
int jsonl_run(jsonl_fn *fn, void *arg);

// Readers of fields that several commands share. ids: an array of integers in 0..vocab-1, at least
// `least` of them (free()).
MUST_CHECK enum err jsonl_get_ids(const json_t *in, const char *where, size_t vocab, size_t least,
                                  uint32_t **ids, size_t *n, struct why *why);
json_t *jsonl_ids(const uint32_t *ids, size_t n);    // NULL when out of memory
json_t *jsonl_floats(const float *x, size_t n);      // not-finite values become null
json_t *jsonl_text(const char *data, size_t len);    // UTF-8; NULL when it is not or no memory

#endif

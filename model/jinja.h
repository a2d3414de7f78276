// jinja.h: the template language in which models ship their chat format, interpreted.
//
// In: a template's source, and its variables as a JSON object. Out: text. The language is the part
// of Jinja 3.1 that chat templates use, with Python's rules for values and the settings that
// `transformers` gives them: trim_blocks, lstrip_blocks, loop controls, generation blocks, tojson
// without HTML escapes, sandboxed and immutable values. docs/chat-templates.md lists all of it.
//
// A template is a program from outside. Nothing it does leaves this module: no files, no
// environment, no clock, and work, memory, output and nesting are bounded. Parsing reads the whole
// text, so a construct, filter or test that is not supported is found there and not at some later
// message.
//
// The parts, in reading order: jinja_work (memory, limits, the way out), jinja_value and jinja_text
// (Python's values and texts), jinja_lex, jinja_ast and jinja_parse (source to tree), jinja_run
// (evaluation: jinja_exec, jinja_eval, jinja_ops, jinja_call), and the tables of what can be called:
// jinja_filters, jinja_sequences, jinja_checks, jinja_methods, jinja_strings, jinja_functions.
#ifndef CARAVAN_MODEL_JINJA_H
#define CARAVAN_MODEL_JINJA_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "common/buf.h"
#include "common/err.h"

struct jinja_template;    // immutable: any thread

// Of one rendering. A step is one node of the tree visited, or 64 bytes or one item looked at.
struct jinja_limits {
    uint64_t steps;
    size_t memory_bytes;
    size_t output_bytes;
};
extern const struct jinja_limits jinja_limits_default;    // 10 million, 256 MiB, 64 MiB

// name: what messages call it ("chat template"). Failures name the line: ERR_INVALID for what is no
// Jinja, ERR_UNSUPPORTED for what is but is not known here, ERR_LIMIT for nesting without end.
MUST_CHECK enum err jinja_parse(const char *source, size_t len, const char *name,
                                struct jinja_template **out, struct why *why);
void jinja_destroy(struct jinja_template *t);    // NULL is fine

// Appends the rendered text. vars: an object, its members are the variables; texts need not be
// UTF-8. now: what strftime_now prints. On failure `out` keeps what it had; raise_exception and
// every other error of the template is ERR_INVALID with its text and line.
MUST_CHECK enum err jinja_render(const struct jinja_template *t, const json_t *vars,
                                 const struct tm *now, const struct jinja_limits *limits,
                                 struct buf *out, struct why *why);

#endif

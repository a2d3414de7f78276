// conf_table.h: the option table itself; private to conf*.c and their tests. Everyone else uses
// conf.h.
//
// One row is everything that is known about a key: where it lives in struct conf, how its text is
// read and written, what is allowed, and what a person should know. Parsing, messages, the manual
// and the diff all walk these rows.
#ifndef CARAVAN_COMMON_CONF_TABLE_H
#define CARAVAN_COMMON_CONF_TABLE_H

#include "common/conf.h"

enum conf_type {
    CONF_TYPE_TEXT,      // char[size]
    CONF_TYPE_CHOICE,    // char[size] that holds one of `names`
    CONF_TYPE_INT,       // int64_t in min..max
    CONF_TYPE_SEED,      // uint64_t in 0..2^63-1, so that it fits an SQLite integer
    CONF_TYPE_NUM,       // finite double in min..max
    CONF_TYPE_FLAG,      // bool
    CONF_TYPE_ENUM,      // an enum whose values 0, 1, … are called `names`
};

struct conf_row {
    const char *key;    // "rollout.group_size"; the part before the dot is the section, rows of one
                        // stand together
    enum conf_type type;
    size_t offset, size;    // of the member
    double min, max;
    const char *const *names;    // NULL-terminated
    const char *unit;            // "ms"; "" where there is none
    const char *text;            // the default, as it would stand in a file
    const char *help;
    bool frozen;    // may not change when a run is resumed
};

struct conf_section {
    const char *name;    // "" is the top level
    const char *help;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_n_rows;
extern const struct conf_section conf_sections[];    // in the order of the rows
extern const size_t conf_n_sections;

#define CONF_EXPECTED_BYTES 256
#define CONF_VALUE_BYTES (CONF_STR + 32)

// NULL for an unknown key.
const struct conf_row *conf_row_find(const char *key);
// The nearest known key or section, by edits; NULL when nothing is near.
const char *conf_row_nearest(const char *key);
// Reads text (no NUL inside) into the row's member of *c. quoted: it stood in quotes in a YAML
// file, so it is no number and no flag.
bool conf_row_read(const struct conf_row *row, const char *text, bool quoted, struct conf *c);
// The value as conf_row_read accepts it. cap of CONF_VALUE_BYTES always suffices; ERR_LIMIT
// otherwise.
MUST_CHECK enum err conf_row_write(const struct conf_row *row, const struct conf *c, char *out,
                                   size_t cap);
// "an integer in 2..1024 (samples)"
void conf_row_expected(const struct conf_row *row, char out[CONF_EXPECTED_BYTES]);
// The rules of conf_check without "model.path is set".
MUST_CHECK enum err conf_rules(const struct conf *c, const char *name, struct why *why);

#endif

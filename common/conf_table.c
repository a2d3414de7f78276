// conf_table.c: reading and writing one value, and finding a key.
//
// The reading is strict because a config file is written once and paid for over hours: `12abc` is
// not 12, `010` is neither 8 nor 10, `nan` is no learning rate and `maybe` no flag. Numbers follow
// the JSON grammar, flags are true or false, names are exact. What is written is read back to the
// same value: doubles get the fewest digits for which that holds.
//
// The numbers are converted by strtod after the grammar is checked; it reads a point only while
// LC_NUMERIC is "C", which no program of the project changes.

#include "common/conf_table.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(enum conf_advantage) == sizeof(unsigned), "enums are read as unsigned");

static void *member(const struct conf_row *row, struct conf *c)
{
    return (char *)c + row->offset;
}

static const void *member_const(const struct conf_row *row, const struct conf *c)
{
    return (const char *)c + row->offset;
}

const struct conf_row *conf_row_find(const char *key)
{
    for (size_t i = 0; i < conf_n_rows; i++) {
        if (strcmp(conf_rows[i].key, key) == 0) {
            return &conf_rows[i];
        }
    }
    return NULL;
}

// ---- reading

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

// -? (0 | [1-9][0-9]*), and "-0" is not an integer.
static const char *skip_integer(const char *p)
{
    if (*p == '-') {
        p++;
    }
    if (*p == '0') {
        return p + 1;
    }
    const char *end = skip_digits(p);
    return end > p ? end : NULL;
}

static bool is_integer(const char *text)
{
    const char *end = skip_integer(text);
    return end != NULL && *end == '\0' && strcmp(text, "-0") != 0;
}

// The JSON grammar of a number.
static bool is_number(const char *text)
{
    const char *p = skip_integer(text);
    if (p != NULL && *p == '.') {
        const char *end = skip_digits(p + 1);
        p = end > p + 1 ? end : NULL;
    }
    if (p != NULL && (*p == 'e' || *p == 'E')) {
        p++;
        p += *p == '+' || *p == '-' ? 1 : 0;
        const char *end = skip_digits(p);
        p = end > p ? end : NULL;
    }
    return p != NULL && *p == '\0';
}

static bool read_int(const struct conf_row *row, const char *text, void *out)
{
    if (!is_integer(text)) {
        return false;
    }
    errno = 0;
    int64_t v = strtoll(text, NULL, 10);
    if (errno != 0 || (double)v < row->min || (double)v > row->max) {
        return false;
    }
    memcpy(out, &v, sizeof v);
    return true;
}

static bool read_seed(const char *text, void *out)
{
    if (!is_integer(text)) {
        return false;
    }
    errno = 0;
    int64_t v = strtoll(text, NULL, 10);
    if (errno != 0 || v < 0) {
        return false;
    }
    uint64_t seed = (uint64_t)v;
    memcpy(out, &seed, sizeof seed);
    return true;
}

static bool read_num(const struct conf_row *row, const char *text, void *out)
{
    if (!is_number(text)) {
        return false;
    }
    double v = strtod(text, NULL);
    if (!isfinite(v) || v < row->min || v > row->max) {
        return false;
    }
    memcpy(out, &v, sizeof v);
    return true;
}

static bool read_flag(const char *text, void *out)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) {
        return false;
    }
    memcpy(out, &yes, sizeof yes);
    return true;
}

static bool read_enum(const struct conf_row *row, const char *text, void *out)
{
    for (unsigned i = 0; row->names[i] != NULL; i++) {
        if (strcmp(row->names[i], text) == 0) {
            memcpy(out, &i, sizeof i);
            return true;
        }
    }
    return false;
}

// The length of one well-formed UTF-8 character that YAML can hold unescaped, 0 for anything else:
// no control characters, no line or paragraph separators, no byte order marks.
static size_t plain_char(const unsigned char *p)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    }
    size_t len = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (len == 0 || p[0] > 0xf4) {
        return 0;
    }
    uint32_t c = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;    // also the NUL at the end
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    bool odd = c < smallest[len] || c < 0xa0 || (c >= 0xd800 && c < 0xe000) || c == 0x2028 ||
               c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff || c > 0x10ffff;
    return odd ? 0 : len;
}

static bool read_text(const struct conf_row *row, const char *text, void *out)
{
    size_t len = strlen(text);
    if (len >= row->size) {
        return false;
    }
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        size_t n = plain_char(p);
        if (n == 0) {
            return false;
        }
        p += n;
    }
    memset(out, 0, row->size);
    memcpy(out, text, len);
    return true;
}

static bool read_choice(const struct conf_row *row, const char *text, void *out)
{
    unsigned ignored;
    return read_enum(row, text, &ignored) && read_text(row, text, out);
}

bool conf_row_read(const struct conf_row *row, const char *text, bool quoted, struct conf *c)
{
    void *out = member(row, c);
    switch (row->type) {
    case CONF_TYPE_TEXT:
        return read_text(row, text, out);
    case CONF_TYPE_CHOICE:
        return read_choice(row, text, out);
    case CONF_TYPE_INT:
        return !quoted && read_int(row, text, out);
    case CONF_TYPE_SEED:
        return !quoted && read_seed(text, out);
    case CONF_TYPE_NUM:
        return !quoted && read_num(row, text, out);
    case CONF_TYPE_FLAG:
        return !quoted && read_flag(text, out);
    case CONF_TYPE_ENUM:
        return read_enum(row, text, out);
    }
    return false;
}

// ---- writing

static int write_num(double v, char *out, size_t cap)
{
    if (v == floor(v) && fabs(v) < 1e9) {
        return snprintf(out, cap, "%.0f", v);    // 10, not 1e+01
    }
    int n = 0;
    for (int digits = 1; digits <= 17; digits++) {
        n = snprintf(out, cap, "%.*g", digits, v);
        if (n < 0 || (size_t)n >= cap || strtod(out, NULL) == v) {
            break;
        }
    }
    return n;
}

enum err conf_row_write(const struct conf_row *row, const struct conf *c, char *out, size_t cap)
{
    const void *in = member_const(row, c);
    int n = -1;
    switch (row->type) {
    case CONF_TYPE_TEXT:
    case CONF_TYPE_CHOICE:
        n = snprintf(out, cap, "%s", (const char *)in);
        break;
    case CONF_TYPE_INT: {
        int64_t v;
        memcpy(&v, in, sizeof v);
        n = snprintf(out, cap, "%" PRId64, v);
        break;
    }
    case CONF_TYPE_SEED: {
        uint64_t v;
        memcpy(&v, in, sizeof v);
        n = snprintf(out, cap, "%" PRIu64, v);
        break;
    }
    case CONF_TYPE_NUM: {
        double v;
        memcpy(&v, in, sizeof v);
        n = write_num(v, out, cap);
        break;
    }
    case CONF_TYPE_FLAG: {
        bool v;
        memcpy(&v, in, sizeof v);
        n = snprintf(out, cap, "%s", v ? "true" : "false");
        break;
    }
    case CONF_TYPE_ENUM: {
        unsigned v;
        memcpy(&v, in, sizeof v);
        n = snprintf(out, cap, "%s", row->names[v]);
        break;
    }
    }
    return n >= 0 && (size_t)n < cap ? ERR_OK : ERR_LIMIT;
}

// "a, b or c"
static void join_names(const char *const *names, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; names[i] != NULL && used < cap; i++) {
        const char *join = i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ";
        int n = snprintf(out + used, cap - used, "%s%s", join, names[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

void conf_row_expected(const struct conf_row *row, char out[CONF_EXPECTED_BYTES])
{
    const char *open = row->unit[0] != '\0' ? " (" : "";
    const char *close = row->unit[0] != '\0' ? ")" : "";
    switch (row->type) {
    case CONF_TYPE_TEXT:
        (void)snprintf(out, CONF_EXPECTED_BYTES,
                       "text, at most %zu bytes of UTF-8 without control characters",
                       row->size - 1);
        break;
    case CONF_TYPE_CHOICE:
    case CONF_TYPE_ENUM:
        join_names(row->names, out, CONF_EXPECTED_BYTES);
        break;
    case CONF_TYPE_INT:
        (void)snprintf(out, CONF_EXPECTED_BYTES, "an integer in %.0f..%.0f%s%s%s", row->min,
                       row->max, open, row->unit, close);
        break;
    case CONF_TYPE_SEED:
        (void)snprintf(out, CONF_EXPECTED_BYTES, "an integer in 0..%" PRId64, INT64_MAX);
        break;
    case CONF_TYPE_NUM: {
        char min[32], max[32];
        (void)write_num(row->min, min, sizeof min);
        (void)write_num(row->max, max, sizeof max);
        (void)snprintf(out, CONF_EXPECTED_BYTES, "a number in %s..%s%s%s%s", min, max, open,
                       row->unit, close);
        break;
    }
    case CONF_TYPE_FLAG:
        (void)snprintf(out, CONF_EXPECTED_BYTES, "true or false");
        break;
    }
}

// ---- the nearest key

#define NEAR_MAX 48    // longer keys are nobody's typing error

// Levenshtein distance of two short texts.
static size_t distance(const char *a, const char *b)
{
    size_t row[NEAR_MAX + 1];
    size_t len_b = strlen(b);
    for (size_t j = 0; j <= len_b; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < len_b; j++) {
            size_t replaced = diagonal + (a[i] != b[j] ? 1 : 0);
            diagonal = row[j + 1];
            row[j + 1] = MIN(replaced, MIN(row[j], row[j + 1]) + 1);
        }
    }
    return row[len_b];
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot != NULL ? dot + 1 : key;
}

const char *conf_row_nearest(const char *key)
{
    size_t len = strlen(key);
    if (len > NEAR_MAX) {
        return NULL;
    }
    const char *best = NULL;
    size_t best_distance = len / 2 + 1;    // at least half of it must be right
    for (size_t i = 0; i < conf_n_rows; i++) {
        const char *known = conf_rows[i].key;
        size_t whole = distance(key, known);
        // The right name in the wrong section counts as one edit.
        size_t tail = distance(last_part(key), last_part(known));
        size_t d = tail <= 1 ? MIN(whole, tail + 1) : whole;
        if (d < best_distance) {
            best_distance = d;
            best = known;
        }
    }
    for (size_t i = 0; i < conf_n_sections && strchr(key, '.') == NULL; i++) {
        size_t d = distance(key, conf_sections[i].name);
        if (conf_sections[i].name[0] != '\0' && d < best_distance) {
            best_distance = d;
            best = conf_sections[i].name;
        }
    }
    return best;
}

// jinja_text.h: texts by character, and values as text: str(), repr() and json.dumps() of Python.
//
// The classes and case mappings are those of utf8proc, character by character: `upper` of the few
// letters that Python turns into two (other than sharp s) leaves them as they are.
#ifndef CARAVAN_MODEL_JINJA_TEXT_H
#define CARAVAN_MODEL_JINJA_TEXT_H

#include <jansson.h>

#include "model/jinja_value.h"

// ---- characters ----
// Decodes the character at p (n >= 1) and returns its length. A byte that starts none is one by
// itself, with a code point past Unicode (JINJA_RAW + byte).
#define JINJA_RAW 0x110000u
size_t jinja_char(const char *p, size_t n, uint32_t *cp);
size_t jinja_char_before(const char *text, size_t len, uint32_t *cp);    // the one that ends at len
size_t jinja_char_count(const char *p, size_t n);
bool jinja_is_space(uint32_t cp);
bool jinja_is_printable(uint32_t cp);
bool jinja_is_upper(uint32_t cp);
bool jinja_is_lower(uint32_t cp);
bool jinja_is_cased(uint32_t cp);
bool jinja_is_alpha(uint32_t cp);
bool jinja_is_digit(uint32_t cp);
bool jinja_is_numeric(uint32_t cp);

// Ends of the text without blanks in front (left) and behind (right). chars: strips those instead
// of blanks; NULL = blanks.
struct jinja_text jinja_strip(struct jinja_work *w, struct jinja_text t,
                              const struct jinja_text *chars, bool left, bool right);
bool jinja_text_equal(const struct jinja_text *a, const struct jinja_text *b);
bool jinja_text_is(const struct jinja_text *t, const char *s);
int jinja_text_compare(const struct jinja_text *a, const struct jinja_text *b);    // -1, 0, 1
// Offset of the first place of `what` in t at or after `from`; t->len + 1 when there is none.
size_t jinja_text_find(struct jinja_work *w, const struct jinja_text *t,
                       const struct jinja_text *what, size_t from);
// Byte offset of character `index` (at most the length).
size_t jinja_text_offset(struct jinja_work *w, const struct jinja_text *t, size_t index);

// ---- building ----
struct jinja_out {
    struct jinja_work *w;
    char *bytes;
    size_t len, cap;
    size_t max;    // 0 = only memory is the limit
};
void jinja_put(struct jinja_out *out, const char *bytes, size_t len);
void jinja_puts(struct jinja_out *out, const char *s);
void jinja_putf(struct jinja_out *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
void jinja_put_char(struct jinja_out *out, uint32_t cp);
void jinja_put_value(struct jinja_out *out, struct jinja_value v);    // str(v)
void jinja_put_repr(struct jinja_out *out, struct jinja_value v);     // repr(v)
void jinja_put_float(struct jinja_out *out, double x);                // repr(x)
struct jinja_value jinja_out_take(struct jinja_out *out);
const struct jinja_text *jinja_str(struct jinja_work *w, struct jinja_value v);

enum jinja_case { JINJA_LOWER, JINJA_UPPER, JINJA_CAPITALIZE, JINJA_TITLE, JINJA_SWAP };
void jinja_put_case(struct jinja_out *out, struct jinja_text t, enum jinja_case how);

// ---- JSON (jinja_json.c) ----
struct jinja_json {
    bool ascii, sort;
    const struct jinja_text *indent;        // of one level; NULL = all in one line
    const struct jinja_text *item, *key;    // separators
};
void jinja_put_json(struct jinja_out *out, struct jinja_value v, const struct jinja_json *how);
// A value of the outside as one of the template's.
struct jinja_value jinja_from_json(struct jinja_work *w, const json_t *v);

#endif

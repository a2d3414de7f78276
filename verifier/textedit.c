// textedit.c: the replacements.
#include "verifier/textedit.h"

#include <string.h>

static void note_ascii(struct textedit *e, const uint32_t *cp, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (cp[i] < 128) {
            e->ascii[cp[i] / 64] |= UINT64_C(1) << (cp[i] % 64);
        }
    }
}

struct textedit textedit_start(struct scratch *a, struct pyspan s)
{
    struct textedit e = {.scratch = a, .cp = scratch_array(a, s.n + 1, sizeof *e.cp), .n = s.n};
    if (s.n > 0) {
        memcpy(e.cp, s.cp, s.n * sizeof *e.cp);
    }
    note_ascii(&e, e.cp, e.n);
    return e;
}

void textedit_set(struct textedit *e, struct pyspan s)
{
    *e = textedit_start(e->scratch, s);
}

struct pyspan textedit_span(const struct textedit *e)
{
    return (struct pyspan){e->cp, e->n};
}

bool textedit_may_hold(const struct textedit *e, const char *part)
{
    for (; *part; part++) {
        unsigned char c = (unsigned char)*part;
        if (!(e->ascii[c / 64] >> (c % 64) & 1)) {
            return false;
        }
    }
    return true;
}

// Index of the first match at or after `from`, or e->n.
static size_t next_match(const struct textedit *e, const char *part, size_t len, size_t from)
{
    for (size_t i = from; i + len <= e->n; i++) {
        if (e->cp[i] == (unsigned char)part[0]) {
            size_t k = 1;
            while (k < len && e->cp[i + k] == (unsigned char)part[k]) {
                k++;
            }
            if (k == len) {
                return i;
            }
        }
    }
    return e->n;
}

static size_t put_ascii(uint32_t *out, size_t n, const char *text)
{
    for (; *text; text++) {
        out[n++] = (unsigned char)*text;
    }
    return n;
}

void textedit_replace(struct textedit *e, const char *from, const char *to)
{
    size_t len = strlen(from), at;
    if (!textedit_may_hold(e, from) || (at = next_match(e, from, len, 0)) == e->n) {
        return;
    }
    // Written behind the reader where the text cannot grow; otherwise no match is longer than
    // its replacement, and each takes at least one character.
    size_t grown = e->n / len * strlen(to) + e->n;
    uint32_t *out = strlen(to) <= len ? e->cp : scratch_array(e->scratch, grown + 1, sizeof *out);
    size_t n = 0, done = 0;
    for (; at < e->n; at = next_match(e, from, len, done)) {
        memmove(out + n, e->cp + done, (at - done) * sizeof *out);
        n = put_ascii(out, n + at - done, to);
        done = at + len;
    }
    memmove(out + n, e->cp + done, (e->n - done) * sizeof *out);
    e->n = n + e->n - done;
    e->cp = out;
    for (; *to; to++) {
        e->ascii[(unsigned char)*to / 64] |= UINT64_C(1) << ((unsigned char)*to % 64);
    }
}

void textedit_drop(struct textedit *e, const char *part)
{
    textedit_replace(e, part, "");
}

// pyregex_literal.c: folding, then a search for text.
//
// Two characters are the same to re.IGNORECASE when they have the same lower-case letter, or when
// these are tied by Unicode's case folding (s and long s, the sigmas, micro sign and mu, …). Going
// up and down again leads all members of such a set to one letter, but for the four sets that
// pyregex_literal_join joins.
#include "verifier/pyregex_literal.h"

#include <string.h>
#include <utf8proc.h>

uint32_t pyregex_literal_join(uint32_t c)
{
    switch (c) {
    case 0x130:
    case 0x131:
        return 'i';
    case 0x1FD3:
        return 0x390;
    case 0x1FE3:
        return 0x3B0;
    case 0xFB06:
        return 0xFB05;
    default:
        return c;
    }
}

static uint32_t fold_char(uint32_t c)
{
    if (c < 0x80) {
        return py_tolower(c);
    }
    c = pyregex_literal_join(c);
    return py_tolower((uint32_t)utf8proc_toupper((utf8proc_int32_t)c));
}

static struct pyspan fold(struct scratch *a, struct pyspan s)
{
    uint32_t *cp = scratch_array(a, s.n + 1, sizeof *cp);
    for (size_t i = 0; i < s.n; i++) {
        cp[i] = fold_char(s.cp[i]);
    }
    return (struct pyspan){cp, s.n};
}

static bool is_sign(uint32_t c)
{
    return c > 0 && c < 0x80 && strchr(".^$*+?{}[]\\|()", (int)c);
}

bool pyregex_literal_read(struct scratch *a, struct pyspan pattern, bool ignore_case,
                          struct pyregex_literal *out)
{
    struct pyregex_literal re = {.ignore_case = ignore_case};
    re.edge_before = pyspan_starts_with(pattern, "\\b");
    struct pyspan text = pyspan_slice(pattern, re.edge_before ? 2 : 0, pattern.n);
    re.edge_after = pyspan_ends_with(text, "\\b");
    text = pyspan_slice(text, 0, text.n - (re.edge_after ? 2 : 0));
    for (size_t i = 0; i < text.n; i++) {
        if (is_sign(text.cp[i])) {
            return false;
        }
    }
    re.text = ignore_case ? fold(a, text) : text;
    if (text.n > 0) {
        *out = re;
    }
    return text.n > 0;
}

static bool is_edge(struct pyspan s, size_t at)
{
    bool before = at > 0 && py_isword(s.cp[at - 1]);
    bool behind = at < s.n && py_isword(s.cp[at]);
    return before != behind;
}

size_t pyregex_literal_count(struct scratch *a, const struct pyregex_literal *re,
                             struct pyspan subject, size_t most)
{
    struct pyspan s = re->ignore_case ? fold(a, subject) : subject;
    size_t n = 0;
    for (size_t at = 0; n < most && (at = pyspan_search(s, re->text, at)) != PYSPAN_NONE;) {
        size_t end = at + re->text.n;
        bool fits = (!re->edge_before || is_edge(subject, at)) &&
                    (!re->edge_after || is_edge(subject, end));
        n += fits;
        at = fits ? end : at + 1;
    }
    return n;
}

// checktext.c: scans by hand where an expression would backtrack.
#include "verifier/checks/checktext.h"

#include <string.h>

#include "verifier/pyregex.h"

// A newline in between means that nothing opened on its line can close.
size_t checktext_count_enclosed(struct pyspan s, uint32_t open, uint32_t close)
{
    size_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < s.n; i++) {
        if (inside && s.cp[i] == close) {
            inside = false;
            n++;
        } else if (s.cp[i] == open) {
            inside = true;
        } else if (s.cp[i] == '\n') {
            inside = false;
        }
    }
    return n;
}

struct pylist checktext_split_stars(struct scratch *a, struct pyspan s)
{
    struct pylist_builder b = {.scratch = a};
    size_t from = 0;
    for (size_t at; (at = pyspan_search_for(s, "***", from)) != PYSPAN_NONE;) {
        size_t end = at > from && py_isspace(s.cp[at - 1]) ? at - 1 : at;
        pylist_add(&b, pyspan_slice(s, from, end));
        from = at + 3;
        from += from < s.n && py_isspace(s.cp[from]);
    }
    pylist_add(&b, pyspan_slice(s, from, s.n));
    return b.list;
}

size_t checktext_count_filled(struct pylist pieces)
{
    size_t n = 0;
    for (size_t i = 0; i < pieces.n; i++) {
        bool blank = pyspan_blank(pieces.v[i]);
        if (blank && i > 0 && i + 1 < pieces.n) {
            return SIZE_MAX;
        }
        n += !blank;
    }
    return n;
}

bool checktext_same_stripped_lower(struct scratch *a, struct pyspan s, struct pyspan t)
{
    return pyspan_equal(pytext_lower(a, pyspan_strip(s)), pytext_lower(a, pyspan_strip(t)));
}

size_t checktext_count_pattern(struct scratch *a, struct pyspan pattern, struct pyspan s)
{
    return pyregex_count(a, pyregex_compile(a, pyspan_strip(pattern), PYREGEX_IGNORECASE), s);
}

static bool is_not_word(uint32_t c)
{
    return !py_isword(c);
}

struct pyspan checktext_only_word(struct scratch *a, struct pyspan s)
{
    return pytext_without_class(a, s, is_not_word);
}

struct pyspan checktext_after_assistant(struct pyspan s)
{
    static const char mark[] = "<|assistant|>\n";
    size_t from = 0;
    for (size_t at = 0; (at = pyspan_search_for(s, mark, at)) != PYSPAN_NONE;) {
        from = at += strlen(mark);
    }
    return pyspan_strip(pyspan_slice(s, from, s.n));
}

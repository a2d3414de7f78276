// textedit.h: a text that is rewritten step by step, as s = s.replace("a", "b") does line by line.
//
// Normalising a mathematical answer takes some sixty replacements, most of which find nothing. So
// the text is copied once, deletions happen in place, and each edit remembers which ASCII
// characters can occur at all: a pattern with a character that does not is passed over without a
// look at the text. Patterns and replacements are ASCII literals. Every call takes linear time and
// replaces from left to right, matches do not overlap, what was put in is not looked at again.
#ifndef CARAVAN_VERIFIER_TEXTEDIT_H
#define CARAVAN_VERIFIER_TEXTEDIT_H

#include "verifier/pytext.h"

struct textedit {
    struct scratch *scratch;
    uint32_t *cp;
    size_t n;
    uint64_t ascii[2];    // bit c: c may occur
};

// A copy of s to work on.
struct textedit textedit_start(struct scratch *a, struct pyspan s);
void textedit_replace(struct textedit *e, const char *from, const char *to);    // from not empty
void textedit_drop(struct textedit *e, const char *part);
// Replaces the whole text.
void textedit_set(struct textedit *e, struct pyspan s);
// False: no match is possible. True says nothing.
bool textedit_may_hold(const struct textedit *e, const char *part);
struct pyspan textedit_span(const struct textedit *e);    // valid until the next edit

#endif

// textbag.h: a number for each distinct text: how often it occurred, or whatever a check counts.
//
// Texts are compared by code points and are not copied: what they point to must outlive the bag.
// Everything lives in the scratch. Expected constant time a text.
#ifndef CARAVAN_VERIFIER_TEXTBAG_H
#define CARAVAN_VERIFIER_TEXTBAG_H

#include "verifier/pytext.h"

struct textbag_slot;

struct textbag {
    struct scratch *scratch;
    struct textbag_slot *slots;    // a power of two of them, or none yet
    size_t n_slots;
    size_t n;    // distinct texts
};

// The text's number, 0 at first sight. Valid until the next call.
size_t *textbag_at(struct textbag *b, struct pyspan text);

#endif

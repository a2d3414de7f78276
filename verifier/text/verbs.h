// verbs.h: does a text begin with a verb?
//
// The original asks a trained tagger; here lists of English verb forms and the spelling of the first
// word answer, which agrees in most texts.
#ifndef CARAVAN_VERIFIER_TEXT_VERBS_H
#define CARAVAN_VERIFIER_TEXT_VERBS_H

#include "verifier/pytext.h"

bool verbs_starts_with_verb(struct scratch *a, struct pyspan text);

#endif

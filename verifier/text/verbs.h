// verbs.h: does a text begin with a verb?
//
// The original asks a trained tagger; here a list of English verbs with their inflections and a few
// rules on the words that follow answer, which agrees in most texts.
#ifndef CARAVAN_VERIFIER_TEXT_VERBS_H
#define CARAVAN_VERIFIER_TEXT_VERBS_H

#include "verifier/pytext.h"

bool verbs_starts_with_verb(struct scratch *a, struct pyspan text);

#endif

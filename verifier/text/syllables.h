// syllables.h: how many syllables an English word has, estimated from its spelling.
//
// Made to agree with a dictionary-backed counter in most words; rules and exceptions are our own.
#ifndef CARAVAN_VERIFIER_TEXT_SYLLABLES_H
#define CARAVAN_VERIFIER_TEXT_SYLLABLES_H

#include "verifier/pytext.h"

// 0 for a word with a digit; 1 at least otherwise. Lower-case words; pure; linear.
int syllables_count(struct scratch *a, struct pyspan word);

#endif

// sentences.h: where sentences end, in the two readings that checks use. They disagree in one text
// of six, so a check must use the one that its original used.
//
// Pieces point into the text or into the scratch. Linear time; no recursion.
#ifndef CARAVAN_VERIFIER_TEXT_SENTENCES_H
#define CARAVAN_VERIFIER_TEXT_SENTENCES_H

#include "verifier/pytext.h"

// The unsupervised splitter of Kiss and Strunk ("Unsupervised Multilingual Sentence Boundary
// Detection", 2006) as NLTK runs it for English, with word lists of our own (punkt_lists.c).
// Newlines are blanks. Sentences are never empty and have no whitespace around them, except that the
// first keeps what the text begins with.
struct pylist sentences_punkt(struct scratch *a, struct pyspan s);

// The splitter by rules of IFEval's utilities, which later training suites kept: abbreviations,
// websites, decimals, initials and acronyms keep their dots, every other '.', '?' and '!' ends a
// sentence. Sentences are stripped; inner ones may be empty ("!!" has one).
struct pylist sentences_rules(struct scratch *a, struct pyspan s);

#endif

// treebank.h: word tokens in the manner of the Penn Treebank, as NLTK's word_tokenize gives them.
//
// The text is cut into sentences first (sentences_punkt), then each sentence by a cascade of rules:
// quotes, brackets and most marks become tokens, only the last dot of a sentence is split off, and
// clitics part from their words ("do" "n't", "it" "'s"). A double quote comes out as `` or ''.
#ifndef CARAVAN_VERIFIER_TEXT_TREEBANK_H
#define CARAVAN_VERIFIER_TEXT_TREEBANK_H

#include "verifier/pytext.h"

// word_tokenize(s). Tokens live in the scratch. Linear time.
struct pylist treebank_tokens(struct scratch *a, struct pyspan s);
// The cascade alone, on a text that is taken as one sentence.
struct pylist treebank_sentence_tokens(struct scratch *a, struct pyspan sentence);

#endif

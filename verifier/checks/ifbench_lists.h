// ifbench_lists.h: which words IFBench counts as stop words, pronouns and names.
//
// Membership is case-sensitive: words are lowered by the caller where the rule says so.
#ifndef CARAVAN_VERIFIER_CHECKS_IFBENCH_LISTS_H
#define CARAVAN_VERIFIER_CHECKS_IFBENCH_LISTS_H

#include "verifier/pytext.h"

bool ifbench_is_stop_word(struct pyspan word);
bool ifbench_is_pronoun(struct pyspan word);
bool ifbench_is_name(struct pyspan word);

#endif

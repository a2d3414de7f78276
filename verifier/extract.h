// extract.h: the answer of a response to a mathematical question.
//
// Looked for in this order, the last occurrence of each first:
//   1. after "final answer is" or "final answer:"
//   2. in boxes (mathmarks.h)
//   3. after "answer is", "answer:", the same of "option" and "choice", or "####"
//   4. between dollars, \( \) or \[ \], in a display
//   5. in prose: the last run of mathematics (mathrun.h); a response of a few words as a whole
// Only what follows the last "</think>" and "<|assistant|>" counts, and of that, where there are
// answer tags, what the last <answer> holds. Thinking that has not ended gives no answer.
//
// After the words of 1 and 3: the box or the marked mathematics of that line, else the first run of
// its sentence, else its words.
//
// Linear time. The result points into the text or the scratch.
#ifndef CARAVAN_VERIFIER_EXTRACT_H
#define CARAVAN_VERIFIER_EXTRACT_H

#include "verifier/pytext.h"

// False: the response has no answer. *out: LaTeX or plain text, not empty.
bool extract_answer(struct scratch *a, struct pyspan response, struct pyspan *out);

#endif

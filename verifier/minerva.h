// minerva.h: where the MATH verifier of Tülu 3 looks for an answer, and how it makes it plain.
//
// A response gives up to two candidates: the content of its last box, and what stands in the
// sentence of the Minerva prompt ("Final Answer: The final answer is X. I hope it is correct."),
// normalised. Without either, the text between the last two dollars, normalised; without these the
// whole response, normalised. The normalisation is Minerva's (Lewkowycz et al. 2022, appendix D.1),
// in the form and order that the Tülu 3 release runs.
//
// Linear time; the results live in the scratch or point into the response.
#ifndef CARAVAN_VERIFIER_MINERVA_H
#define CARAVAN_VERIFIER_MINERVA_H

#include "verifier/pytext.h"

struct minerva_answers {
    struct pyspan v[2];
    size_t n;      // at least 1
    bool whole;    // nothing was found: v[0] is the whole response
};

struct minerva_answers minerva_extract(struct scratch *a, struct pyspan response);
struct pyspan minerva_normalize(struct scratch *a, struct pyspan s);
// True and *out, with what the last box holds.
bool minerva_last_box(struct pyspan s, struct pyspan *out);

#endif

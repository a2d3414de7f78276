// pycsv.h: what list(csv.reader(io.StringIO(text), delimiter=…)) gives.
//
// In: a text, untrusted. Out: its records as lists of fields. The reader is the lenient one of
// Python's default dialect: a quote opens a field only as its first character, a doubled quote
// inside stands for one, what follows a closing quote is kept, a blank line is a record without
// fields, and the last quoted field may be left open. Linear time; fields live in the scratch.
#ifndef CARAVAN_VERIFIER_PYCSV_H
#define CARAVAN_VERIFIER_PYCSV_H

#include "verifier/pytext.h"

struct pycsv {
    struct pylist *records;
    size_t n;
};

// False where Python raises: a carriage return followed by more of the line, outside quotes, or a
// field over PYCSV_MAX_FIELD characters.
#define PYCSV_MAX_FIELD 131072
bool pycsv_read(struct scratch *a, struct pyspan text, uint32_t delimiter, struct pycsv *out);

#endif

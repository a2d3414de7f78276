// tokenizer_json.h: what the two halves of the reader of tokenizer.json share. Nobody else includes
// it; readers of the format call tokenizer_json_parse (tokenizer_spec.h).
#ifndef CARAVAN_MODEL_TOKENIZER_JSON_H
#define CARAVAN_MODEL_TOKENIZER_JSON_H

#include "common/json.h"
#include "model/tokenizer_spec.h"

// What every reader of a part needs.
struct json_reader {
    struct tokenizer_spec *spec;
    const char *where;
    struct why *why;
};

// ERR_UNSUPPORTED: `field` is not `expected` but what stands in `found` (its type, text or number).
MUST_CHECK enum err tokenizer_json_refuse(const struct json_reader *r, const char *field,
                                          const json_t *found, const char *expected);
const char *tokenizer_json_type(const json_t *object);    // its "type", or ""
// Absent, null, false, 0 and "" all say that a feature is off.
bool tokenizer_json_off(const json_t *value);

// ---- tokenizer_json_steps.c: what is done to text, around the model ----
MUST_CHECK enum err tokenizer_json_normalizer(const struct json_reader *r, const json_t *value);
// Decides the alphabet: a ByteLevel step means SPEC_BYTES.
MUST_CHECK enum err tokenizer_json_pretokenizer(const struct json_reader *r, const json_t *value);
// After the pre-tokeniser.
MUST_CHECK enum err tokenizer_json_decoder(const struct json_reader *r, const json_t *value);
// After the tokens.
MUST_CHECK enum err tokenizer_json_postprocessor(const struct json_reader *r, const json_t *value);

#endif

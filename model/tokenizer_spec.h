// tokenizer_spec.h: what a tokenizer file says, whatever its format: the seam between readers
// (tokenizer.json, GGUF metadata), the tokenizer that is built from it, and the writer of
// tokenizer.json. Plain data; built once, then only read.
//
// Texts lie in one buffer and are named by offset and length. Every bound below is checked while
// reading, since a model file comes from outside.
#ifndef CARAVAN_MODEL_TOKENIZER_SPEC_H
#define CARAVAN_MODEL_TOKENIZER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/hash.h"
#include "model/config.h"

enum {
    SPEC_MAX_TOKENS = 1 << 20,
    SPEC_MAX_MERGES = 1 << 21,
    SPEC_MAX_TOKEN_BYTES = 4096,
    SPEC_MAX_ADDED_BYTES = 256,
    SPEC_MAX_STEPS = 4,
    SPEC_MAX_PATTERN = 4096,
    SPEC_MAX_TEMPLATE = 1 << 20,
    SPEC_MAX_STOP = 16,
};

enum spec_flag {
    SPEC_PRESENT = 1,    // the id has a token; ids without one decode to nothing
    SPEC_VOCAB = 2,      // in the BPE vocabulary
    SPEC_ADDED = 4,      // matched in the text as a whole, before splitting
    // an added token that untrusted text must not produce, and that skip_special skips
    SPEC_SPECIAL = 8,
    SPEC_LITERAL = 16,    // its text stands for itself (not written in the byte-level alphabet)
};

struct spec_token {
    uint32_t off, len;    // in spec.text: the bytes that the token stands for
    uint32_t flags;
};

struct spec_merge {
    uint32_t left, right, result;    // ids; the index of the merge is its rank
};

enum spec_split {
    SPEC_DIGITS,    // every numeric character (Unicode N*) alone
    SPEC_REGEX,     // every match alone, and what lies between matches
};

struct spec_step {
    enum spec_split kind;
    char pattern[SPEC_MAX_PATTERN];    // of SPEC_REGEX, NUL-terminated
};

struct tokenizer_spec {
    struct buf text;
    struct spec_token *tokens;    // owned, by id
    size_t n_tokens, cap_tokens;
    struct spec_merge *merges;    // owned
    size_t n_merges;
    // Applied in order, each to the pieces of the one before.
    struct spec_step steps[SPEC_MAX_STEPS];
    size_t n_steps;
    bool nfc;              // ordinary text is brought to Unicode NFC first
    bool ignore_merges;    // a word that is a token becomes that token without merging
    int32_t bos_id, eos_id, pad_id, unk_id;    // -1 = none
    uint32_t stop[SPEC_MAX_STOP];
    size_t n_stop;
    char *chat_template;    // owned, NUL-terminated; NULL = none
    size_t chat_template_len;
};

// The GPT-2 split, which byte-level pre-tokenisation means when it names no regex of its own.
#define SPEC_GPT2_PATTERN                                                                          \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

MUST_CHECK enum err tokenizer_spec_create(struct tokenizer_spec **out);
void tokenizer_spec_destroy(struct tokenizer_spec *s);    // NULL is fine
// Sets token `id`. The id must be free, except that an added token may mark a vocabulary token of
// the same bytes.
MUST_CHECK enum err tokenizer_spec_set(struct tokenizer_spec *s, int64_t id, const char *text,
                                       size_t len, uint32_t flags, const char *where,
                                       struct why *why);
// The same from text in the byte-level alphabet; text with characters outside it is kept as it
// stands (SPEC_LITERAL).
MUST_CHECK enum err tokenizer_spec_set_vocab(struct tokenizer_spec *s, int64_t id, const char *text,
                                             size_t len, const char *where, struct why *why);
MUST_CHECK enum err tokenizer_spec_step(struct tokenizer_spec *s, enum spec_split kind,
                                        const char *pattern, const char *where, struct why *why);
// Sets the chat template; replaces an earlier one.
MUST_CHECK enum err tokenizer_spec_template(struct tokenizer_spec *s, const char *text, size_t len,
                                            const char *where, struct why *why);
// Merges in rank order as pairs of texts: reserve once, then add. Both parts and their
// concatenation must be tokens.
struct token_index;
// All vocabulary tokens; duplicates refused.
MUST_CHECK enum err tokenizer_spec_index(const struct tokenizer_spec *s, struct token_index **out,
                                         const char *where, struct why *why);
MUST_CHECK enum err tokenizer_spec_merge(struct tokenizer_spec *s, const struct token_index *x,
                                         const char *left, size_t left_len, const char *right,
                                         size_t right_len, const char *where, struct why *why);
MUST_CHECK enum err tokenizer_spec_reserve_merges(struct tokenizer_spec *s, size_t n,
                                                  const char *where, struct why *why);
// Fits the spec to the model: refuses ids past its vocabulary, fills up to it with ids that have no
// token, and sets the stop ids (EOS of config and tokenizer).
MUST_CHECK enum err tokenizer_spec_finish(struct tokenizer_spec *s, const struct model_config *c,
                                          const char *where, struct why *why);
// The same for equal tokenizers, whatever file format they came from.
struct hash128 tokenizer_spec_hash(const struct tokenizer_spec *s);

// ---- readers and writer ----
// tokenizer.json (tokenizer_json.c): byte-level BPE with the splits that the spec can express;
// anything else is ERR_UNSUPPORTED naming the field.
MUST_CHECK enum err tokenizer_json_parse(const char *text, size_t len, const char *where,
                                         struct tokenizer_spec **out, struct why *why);
// free(); NULL when out of memory or a literal token is not UTF-8.
char *tokenizer_json_print(const struct tokenizer_spec *s);

// ---- the tokenizer (tokenizer.c) ----
struct tokenizer;
MUST_CHECK enum err tokenizer_create(const struct tokenizer_spec *s, struct tokenizer **out,
                                     struct why *why);

#endif

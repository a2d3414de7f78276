// tokenizer_spec.h: what a tokenizer file says, whatever its format: the seam between readers
// (tokenizer.json, GGUF metadata), the tokenizer that is built from it, and the writer of
// tokenizer.json. Plain data; built once, then only read.
//
// What happens to a text, in this order, each part being a list here:
//
//   added tokens ─ normalisers ─ added tokens that are sought in normalised text
//     ─ pre-tokenisation steps ─ merges ─ ids               and back: ids ─ decoder ─ text
//
// Two alphabets are known. SPEC_BYTES (GPT-2, SmolLM2, Llama 3, Qwen, OLMo 2): a vocabulary entry
// spells bytes, one letter each (bytelevel.h). SPEC_CHARS (SentencePiece: Llama 2, Mistral): an
// entry is text, a blank is written "▁", and what has no entry falls back to tokens of single
// bytes, "<0x0A>", or to the unknown token.
//
// Texts are kept as the file writes them, in one buffer, and are named by offset and length. Every
// bound below is checked while reading, since a model file comes from outside.
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
    SPEC_MAX_STEPS = 8,
    SPEC_MAX_NORMS = 4,
    SPEC_MAX_SHORT = 16,    // bytes of a text to prepend or replace, with its NUL
    SPEC_MAX_PATTERN = 4096,
    SPEC_MAX_TEMPLATE = 1 << 20,
    SPEC_MAX_STOP = 16,
    SPEC_MAX_AFFIX = 8,
    SPEC_MAX_STRIP = 16,
};

enum spec_flag {
    SPEC_PRESENT = 1,    // the id has a token; ids without one decode to nothing
    SPEC_VOCAB = 2,      // in the BPE vocabulary
    SPEC_ADDED = 4,      // matched in the text as a whole, before splitting
    // an added token that untrusted text must not produce, and that skip_special skips
    SPEC_SPECIAL = 8,
    // How an added token is matched: only between characters that are not part of words; together
    // with the white space before it, or after it; in the normalised text.
    SPEC_SINGLE_WORD = 16,
    SPEC_LSTRIP = 32,
    SPEC_RSTRIP = 64,
    SPEC_NORMALIZED = 128,
};

struct spec_token {
    uint32_t off, len;    // in spec.text: as the file writes it
    uint32_t flags;
};

struct spec_merge {
    uint32_t left, right, result;    // ids; the index of the merge is its rank
};

enum spec_alphabet { SPEC_BYTES, SPEC_CHARS };

enum spec_norm_kind {
    SPEC_NFC,        // Unicode NFC
    SPEC_PREPEND,    // `to` in front of a piece that is not empty
    SPEC_REPLACE,    // every `from` by `to`
};

struct spec_norm {
    enum spec_norm_kind kind;
    char from[SPEC_MAX_SHORT], to[SPEC_MAX_SHORT];    // NUL-terminated
};

enum spec_split {
    SPEC_DIGITS,         // every numeric character (Unicode N*) alone
    SPEC_DIGIT_RUNS,     // every run of them alone
    SPEC_REGEX,          // every match alone, and what lies between matches
    SPEC_MATCHES,        // every match alone; what lies between matches vanishes
    SPEC_BLANK_FIRST,    // a blank in front of a piece that does not begin with one
    // Blanks become a mark, `pattern`; `prepend` says which pieces get one in front that do not
    // begin with it; `split`: a piece ends before every mark.
    SPEC_METASPACE,
};

enum spec_prepend { SPEC_NEVER, SPEC_AT_START /* of the text */, SPEC_ALWAYS };

struct spec_step {
    enum spec_split kind;
    char pattern[SPEC_MAX_PATTERN];    // regex or mark, NUL-terminated
    enum spec_prepend prepend;
    bool split;
};

// How tokens of SPEC_CHARS become text, in this order; those of SPEC_BYTES are bytes.
struct spec_decoder {
    // `from` becomes `to` in every token; empty: nothing does
    char from[SPEC_MAX_SHORT], to[SPEC_MAX_SHORT];
    bool first_bare;       // … but vanishes from the first token
    bool byte_fallback;    // "<0x41>" is a byte; a run of them that is not UTF-8 is one U+FFFD each
    uint32_t strip;        // so many blanks, if there are, are taken from the start of the text
};

struct tokenizer_spec {
    struct buf text;
    struct spec_token *tokens;    // owned, by id
    size_t n_tokens, cap_tokens;
    struct spec_merge *merges;    // owned
    size_t n_merges;
    enum spec_alphabet alphabet;
    struct spec_norm norms[SPEC_MAX_NORMS];
    size_t n_norms;
    // Applied in order, each to the pieces of the one before.
    struct spec_step steps[SPEC_MAX_STEPS];
    size_t n_steps;
    bool ignore_merges;    // a word that is a token becomes that token without merging
    bool byte_fallback;    // SPEC_CHARS: a character without a token becomes tokens of its bytes
    bool fuse_unk;         // a run of unknown characters is one unknown token
    int32_t model_unk;     // what an unknown character becomes; -1: nothing, it vanishes
    struct spec_decoder decoder;
    // What belongs before and after a text that stands alone (BOS, EOS).
    uint32_t prefix[SPEC_MAX_AFFIX], suffix[SPEC_MAX_AFFIX];
    size_t n_prefix, n_suffix;
    int32_t bos_id, eos_id, pad_id, unk_id;    // as named beside the model; -1 = none
    uint32_t stop[SPEC_MAX_STOP];
    size_t n_stop;
    char *chat_template;    // owned, NUL-terminated; NULL = none
    size_t chat_template_len;
};

// "▁", U+2581: how SentencePiece writes a blank.
#define SPEC_SPACE_MARK "\xE2\x96\x81"

// The published splits. GPT-2's is what byte-level pre-tokenisation means when it names none.
#define SPEC_GPT2_PATTERN                                                                          \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
// Llama 3, OLMo 2 and cl100k: digits in threes. Qwen 2 and 3: one by one.
#define SPEC_CL100K_PATTERN_OF(numbers)                                                            \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers                          \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SPEC_LLAMA3_PATTERN SPEC_CL100K_PATTERN_OF("\\p{N}{1,3}")
#define SPEC_QWEN2_PATTERN SPEC_CL100K_PATTERN_OF("\\p{N}")
// GPT-4o (o200k): letters by case, with their marks.
#define SPEC_O200K_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPEC_O200K_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPEC_O200K_SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define SPEC_O200K_PATTERN                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" SPEC_O200K_UPPER "*" SPEC_O200K_LOWER "+" SPEC_O200K_SUFFIX           \
    "|[^\\r\\n\\p{L}\\p{N}]?" SPEC_O200K_UPPER "+" SPEC_O200K_LOWER "*" SPEC_O200K_SUFFIX          \
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

MUST_CHECK enum err tokenizer_spec_create(struct tokenizer_spec **out);
void tokenizer_spec_destroy(struct tokenizer_spec *s);    // NULL is fine
// Sets token `id`. The id must be free, except that an added token may mark a vocabulary token of
// the same text.
MUST_CHECK enum err tokenizer_spec_set(struct tokenizer_spec *s, int64_t id, const char *text,
                                       size_t len, uint32_t flags, const char *where,
                                       struct why *why);
// The text of a token, len bytes, not NUL-terminated. id < n_tokens.
const char *tokenizer_spec_text(const struct tokenizer_spec *s, size_t id, size_t *len);
// pattern: NULL for kinds that have none.
MUST_CHECK enum err tokenizer_spec_step(struct tokenizer_spec *s, enum spec_split kind,
                                        const char *pattern, const char *where, struct why *why);
MUST_CHECK enum err tokenizer_spec_metaspace(struct tokenizer_spec *s, const char *mark,
                                             enum spec_prepend prepend, bool split,
                                             const char *where, struct why *why);
// from: NULL for kinds that have none; both shorter than SPEC_MAX_SHORT.
MUST_CHECK enum err tokenizer_spec_norm(struct tokenizer_spec *s, enum spec_norm_kind kind,
                                        const char *from, const char *to, const char *where,
                                        struct why *why);
// What SentencePiece tokenisers of the llama family do to text and back: blanks are "▁", with one
// more in front if add_space, single bytes where the vocabulary ends.
MUST_CHECK enum err tokenizer_spec_sentencepiece(struct tokenizer_spec *s, bool add_space,
                                                 const char *where, struct why *why);
// Sets the chat template; replaces an earlier one.
MUST_CHECK enum err tokenizer_spec_template(struct tokenizer_spec *s, const char *text, size_t len,
                                            const char *where, struct why *why);
// One more id before (or, `after`, behind) a text that stands alone.
MUST_CHECK enum err tokenizer_spec_affix(struct tokenizer_spec *s, bool after, int64_t id,
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
// Merges of a vocabulary that has scores instead (SentencePiece): every way to cut a token into two
// tokens, best score of the result first (tokenizer_scores.c). scores (n_tokens).
MUST_CHECK enum err tokenizer_spec_merges_by_score(struct tokenizer_spec *s, const float *scores,
                                                   const char *where, struct why *why);
// Fits the spec to the model: refuses ids past its vocabulary, fills up to it with ids that have no
// token, and sets the stop ids (EOS of config and tokenizer).
MUST_CHECK enum err tokenizer_spec_finish(struct tokenizer_spec *s, const struct model_config *c,
                                          const char *where, struct why *why);
// The same for equal tokenizers, whatever file format they came from.
struct hash128 tokenizer_spec_hash(const struct tokenizer_spec *s);

// ---- readers and writer ----
// tokenizer.json (tokenizer_json.c, tokenizer_json_steps.c): BPE with the parts that the spec can
// express; anything else is ERR_UNSUPPORTED naming the field, its value and what is supported.
MUST_CHECK enum err tokenizer_json_parse(const char *text, size_t len, const char *where,
                                         struct tokenizer_spec **out, struct why *why);
// tokenizer_json_print.c: what the reader reads as the same spec. free(); NULL when out of memory
// or a token is not UTF-8.
char *tokenizer_json_print(const struct tokenizer_spec *s);

// ---- the tokenizer (tokenizer.c) ----
struct tokenizer;
MUST_CHECK enum err tokenizer_create(const struct tokenizer_spec *s, struct tokenizer **out,
                                     struct why *why);

#endif

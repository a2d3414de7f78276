// tokenizer.h: BPE, byte-level or of SentencePiece's kind, and the chat template of one model.
// Immutable after creation: any thread may use it at the same time.
//
// In: text as bytes, or messages. Out: token ids, and back. The specification comes from
// tokenizer.json or from GGUF metadata (tokenizer_spec.h); what it asks for and we do not compute
// was refused when it was read.
//
// Untrusted text never becomes a special token unless the caller says so (parse_special).
#ifndef CARAVAN_MODEL_TOKENIZER_H
#define CARAVAN_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct tokenizer;

struct token_ids {
    uint32_t *ids;    // owned (free via token_ids_fini)
    size_t n, cap;
};
void token_ids_fini(struct token_ids *t);
// Appends one id.
MUST_CHECK enum err token_ids_push(struct token_ids *t, uint32_t id);
// Room for `extra` more.
MUST_CHECK enum err token_ids_reserve(struct token_ids *t, size_t extra);

struct chat_message {
    const char *role;       // "system", "user", "assistant", "tool"
    const char *content;    // content_len bytes
    size_t content_len;
};

void tokenizer_destroy(struct tokenizer *t);    // NULL is fine
size_t tokenizer_vocab(const struct tokenizer *t);

// ---- to ids ----

// Appends the ids of text. parse_special: special-token strings inside the text become those tokens
// (chat template output); false: they are ordinary text (untrusted content), and no special token
// but the unknown one comes out. What has no token vanishes where the model has no unknown token.
// Text need not be valid UTF-8: invalid bytes are encoded as bytes, if the model has tokens for
// them.
MUST_CHECK enum err tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                                     bool parse_special, struct token_ids *out, struct why *why);
// The same for a text that stands alone: between the ids that the model's own tokeniser puts before
// and after it (BOS, EOS). Not for the output of chat templates, which write their own.
MUST_CHECK enum err tokenizer_encode_alone(const struct tokenizer *t, const char *text, size_t len,
                                           bool parse_special, struct token_ids *out,
                                           struct why *why);

// ---- to text ----

// Appends the text of ids; invalid UTF-8 becomes U+FFFD, one per maximal invalid part (of byte
// tokens, "<0xC3>", as their original tokeniser does it: one for each byte of a run that is not
// UTF-8 as a whole). An id outside the vocabulary is ERR_INVALID.
MUST_CHECK enum err tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n,
                                     bool skip_special, struct buf *out, struct why *why);
// The same without the U+FFFD repair: raw bytes.
MUST_CHECK enum err tokenizer_decode_bytes(const struct tokenizer *t, const uint32_t *ids, size_t n,
                                           bool skip_special, struct buf *out, struct why *why);

// Text as it grows: what is appended after each id is complete, never part of a character, and all
// of it together is what tokenizer_decode says of all ids. One thread; the tokenizer must outlive
// it.
struct token_stream;
MUST_CHECK enum err token_stream_create(const struct tokenizer *t, bool skip_special,
                                        struct token_stream **out);
void token_stream_destroy(struct token_stream *s);    // NULL is fine
// Appends the text that this id completes, often none. On failure `out` is as it was; after
// ERR_INVALID (no such id) the stream goes on, after any other failure it must be destroyed.
MUST_CHECK enum err token_stream_push(struct token_stream *s, uint32_t id, struct buf *out,
                                      struct why *why);
// Appends what is left, repaired. The stream then stands at the beginning of a new text.
MUST_CHECK enum err token_stream_finish(struct token_stream *s, struct buf *out, struct why *why);

// ---- chat ----

// Renders messages with the model's chat template (text), and its ids (encode with parse_special,
// nothing added).
MUST_CHECK enum err tokenizer_chat_text(const struct tokenizer *t, const struct chat_message *m,
                                        size_t n, bool add_generation_prompt, struct buf *out,
                                        struct why *why);
MUST_CHECK enum err tokenizer_chat_ids(const struct tokenizer *t, const struct chat_message *m,
                                       size_t n, bool add_generation_prompt, struct token_ids *out,
                                       struct why *why);
// Ids that end a completion (EOS of config / generation_config and the template's end-of-turn
// token), at most cap.
size_t tokenizer_stop_ids(const struct tokenizer *t, uint32_t *out, size_t cap);

#endif

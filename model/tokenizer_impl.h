// tokenizer_impl.h: inside of a tokenizer, shared by tokenizer.c (creation, chat), tokenizer_encode.c
// and tokenizer_decode.c. Nobody else includes it.
#ifndef CARAVAN_MODEL_TOKENIZER_IMPL_H
#define CARAVAN_MODEL_TOKENIZER_IMPL_H

#include "model/added.h"
#include "model/bpe.h"
#include "model/chat.h"
#include "model/pretokenize.h"
#include "model/symbols.h"
#include "model/token_index.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"

#define TOKENIZER_MAX_TEXT ((size_t)256 << 20)    // bytes of one call

struct tokenizer {
    // What tokens stand for, one after the other: bytes, or (SPEC_CHARS) text as it is written.
    uint8_t *bytes;
    struct spec_token *tokens;    // off and len in bytes
    size_t n_tokens;
    enum spec_alphabet alphabet;
    struct spec_decoder decoder;
    struct spec_norm norms[SPEC_MAX_NORMS];
    size_t n_norms;
    struct added *added;           // sought in the text as it comes
    struct added *added_normal;    // sought in normalised text; NULL: none is
    struct token_index *words;     // words that become one token
    struct symbols *symbols;
    struct bpe *bpe;
    struct pretokenizer *pre;
    bool breaks;    // no merge crosses from another character to "▁": words may end there
    uint32_t prefix[SPEC_MAX_AFFIX], suffix[SPEC_MAX_AFFIX];
    size_t n_prefix, n_suffix;
    struct chat_template *chat;    // NULL: chat_err and chat_why say why
    enum err chat_err;
    struct why chat_why;
    uint32_t stop[SPEC_MAX_STOP];
    size_t n_stop;
};

#endif

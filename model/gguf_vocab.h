// gguf_vocab.h: a tokenizer as GGUF metadata (tokenizer.ggml.*), for the writer of GGUF files. The
// way back is gguf_tokenizer.c.
#ifndef CARAVAN_MODEL_GGUF_VOCAB_H
#define CARAVAN_MODEL_GGUF_VOCAB_H

#include "model/gguf_write.h"
#include "model/tokenizer_spec.h"

// Vocabulary, merges or scores, special ids and chat template. ERR_UNSUPPORTED: something that the
// format cannot say: a way to split text that has no name in it, merges that scores cannot express.
// where: for messages.
MUST_CHECK enum err gguf_vocab_put(struct gguf_writer *w, const struct tokenizer_spec *s,
                                   const struct model_config *c, const char *where,
                                   struct why *why);

// The tokenizer.ggml.pre that stands for how a byte-level tokenizer prepares and splits text, or
// NULL (gguf_tokenizer.c, whose table it is).
const char *gguf_pre_name(const struct tokenizer_spec *s);

#endif

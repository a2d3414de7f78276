// gguf_vocab.h: a tokenizer as GGUF metadata (tokenizer.ggml.*), for the writer of GGUF files. The
// way back is gguf_model_spec in gguf_model.c.
#ifndef CARAVAN_MODEL_GGUF_VOCAB_H
#define CARAVAN_MODEL_GGUF_VOCAB_H

#include "model/gguf_write.h"
#include "model/tokenizer_spec.h"

// Vocabulary, merges, special ids and chat template. ERR_UNSUPPORTED: a way to split text that
// llama.cpp has no name for. where: for messages.
MUST_CHECK enum err gguf_vocab_put(struct gguf_writer *w, const struct tokenizer_spec *s,
                                   const struct model_config *c, const char *where,
                                   struct why *why);

#endif

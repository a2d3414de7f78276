// chat.h: from messages to the text that a chat model was trained on: the seam behind which
// templates live.
//
// A model brings its template as Jinja source, which is interpreted (jinja.h) with the variables
// that `transformers` gives it: messages, add_generation_prompt, the special tokens that the
// tokenizer has, and tools and documents, which are none. strftime_now says 26 July 2024 whenever
// it is asked: a prompt must not depend on the day it is made on.
#ifndef CARAVAN_MODEL_CHAT_H
#define CARAVAN_MODEL_CHAT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "model/tokenizer.h"

struct chat_template;    // immutable: any thread

// Texts of the special tokens; NULL: the tokenizer has none, and the variable is undefined.
struct chat_tokens {
    const char *bos, *eos, *pad, *unk;
};

// name: what messages call the template. Fails as jinja_parse does.
MUST_CHECK enum err chat_template_create(const char *source, size_t len, const char *name,
                                         const struct chat_tokens *tokens,
                                         struct chat_template **out, struct why *why);
void chat_template_destroy(struct chat_template *c);    // NULL is fine
// What the template writes behind the last answer, without blanks around it: "<|im_end|>". NULL
// when that is nothing, or when the template renders no plain pair of question and answer.
const char *chat_template_end_of_turn(const struct chat_template *c);
// Appends the rendered text. Content is not escaped: that is how models are trained. On failure
// `out` keeps what it had.
MUST_CHECK enum err chat_template_render(const struct chat_template *c,
                                         const struct chat_message *m, size_t n,
                                         bool add_generation_prompt, struct buf *out,
                                         struct why *why);

// ---- templates of our own (chat_builtin.c) ----
// Source of the format of that name ("tulu", "llama3" …); NULL for an unknown one.
const char *chat_builtin(const char *name);
const char *chat_builtin_names(void);    // "chatml, llama2, …"

#endif

// chat.h: from messages to the text that a chat model was trained on: the seam behind which
// templates live.
//
// A model brings its template as Jinja source. Here the source is recognised (compared after
// normalising blanks, quotes and escapes) and rendered by a built-in row of a table; callers only
// see create and render, so an interpreter can take the table's place.
#ifndef CARAVAN_MODEL_CHAT_H
#define CARAVAN_MODEL_CHAT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "model/tokenizer.h"

struct chat_template;    // immutable: any thread

// eos: text of the tokenizer's EOS token, which some templates write; NULL = none. A template that
// is not recognised is ERR_UNSUPPORTED, naming those that are.
MUST_CHECK enum err chat_template_create(const char *source, size_t len, const char *eos,
                                         struct chat_template **out, struct why *why);
void chat_template_destroy(struct chat_template *c);              // NULL is fine
const char *chat_template_name(const struct chat_template *c);    // "smollm2"
// Text of the token that ends an answer, e.g. "<|im_end|>"; NULL = EOS does.
const char *chat_template_end_of_turn(const struct chat_template *c);
// Appends the rendered text. Content is not escaped: that is how models are trained. On failure
// `out` keeps what it had.
MUST_CHECK enum err chat_template_render(const struct chat_template *c,
                                         const struct chat_message *m, size_t n,
                                         bool add_generation_prompt, struct buf *out,
                                         struct why *why);

#endif

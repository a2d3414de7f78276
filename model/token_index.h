// token_index.h: from the bytes of a token to its id. Read-only after filling: any thread.
//
// Used for the vocabulary while merges are resolved and added tokens are matched. Keys are borrowed
// bytes of any value, NUL included. Filling belongs to one thread; what has been filled may be read
// by all.
#ifndef CARAVAN_MODEL_TOKEN_INDEX_H
#define CARAVAN_MODEL_TOKEN_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct token_index;

// Room for `capacity` tokens; the bytes given to token_index_add must outlive the index.
MUST_CHECK enum err token_index_create(size_t capacity, struct token_index **out);
void token_index_destroy(struct token_index *x);    // NULL is fine
// Returns the id that already has these bytes, or -1 when they were added.
int32_t token_index_add(struct token_index *x, const uint8_t *bytes, size_t len, uint32_t id);
// The id of these bytes, or -1.
int32_t token_index_find(const struct token_index *x, const uint8_t *bytes, size_t len);

#endif

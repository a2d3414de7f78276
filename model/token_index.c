// token_index.c: open addressing with linear probing, at most half full. A slot keeps the hash, so
// that a miss in the table almost never touches the bytes of another token.
//
// The table never grows: its size is known from the vocabulary when it is created.

#include "model/token_index.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    const uint8_t *bytes;    // NULL: free
    uint32_t len, hash;
    uint32_t id;
};

struct token_index {
    size_t mask, n, capacity;
    struct slot *slots;
};

static uint32_t hash_of(const uint8_t *bytes, size_t len)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ len;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        h = (h ^ word) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
        bytes += 8;
        len -= 8;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < len; i++) {
        tail |= (uint64_t)bytes[i] << (8 * i);
    }
    h = (h ^ tail) * 0xD6E8FEB86659FD93u;
    return (uint32_t)(h >> 32 ^ h);
}

enum err token_index_create(size_t capacity, struct token_index **out)
{
    struct token_index *x = calloc(1, sizeof *x);
    if (x == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 16;
    while (n < capacity * 2) {
        n *= 2;
    }
    x->slots = calloc(n, sizeof *x->slots);
    if (x->slots == NULL) {
        free(x);
        return ERR_NOMEM;
    }
    x->mask = n - 1;
    x->capacity = capacity;
    *out = x;
    return ERR_OK;
}

void token_index_destroy(struct token_index *x)
{
    if (x != NULL) {
        free(x->slots);
        free(x);
    }
}

// The slot of these bytes, or the free one where they would go.
static struct slot *probe(const struct token_index *x, const uint8_t *bytes, size_t len,
                          uint32_t hash)
{
    for (size_t i = hash & x->mask;; i = (i + 1) & x->mask) {
        struct slot *s = &x->slots[i];
        if (s->bytes == NULL ||
            (s->hash == hash && s->len == len && memcmp(s->bytes, bytes, len) == 0)) {
            return s;
        }
    }
}

int32_t token_index_add(struct token_index *x, const uint8_t *bytes, size_t len, uint32_t id)
{
    uint32_t hash = hash_of(bytes, len);
    struct slot *s = probe(x, bytes, len, hash);
    if (s->bytes != NULL) {
        return (int32_t)s->id;
    }
    CHECK(x->n < x->capacity);
    x->n++;
    *s = (struct slot){bytes, (uint32_t)len, hash, id};
    return -1;
}

int32_t token_index_find(const struct token_index *x, const uint8_t *bytes, size_t len)
{
    const struct slot *s = probe(x, bytes, len, hash_of(bytes, len));
    return s->bytes == NULL ? -1 : (int32_t)s->id;
}

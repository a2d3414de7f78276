// bpe.c: two ways to the same merges.
//
// Nearly all words are short: for them the merges of adjacent pairs sit in an array on the stack,
// the smallest rank is found by scanning, and a merge closes the gap with memmove. A word of n
// symbols costs O(n^2) of very cheap steps, which is why it stops at 32.
//
// Longer words (a megabyte of "aaaa…" is a word too) use a linked list of symbols and a binary heap
// of (rank, position). A merge does not search the heap for the pairs it destroys: an entry is
// stale when its position is dead or no longer starts a pair of that rank, and is skipped when it
// surfaces. Each merge pushes at most two entries, so the heap never holds more than three per
// symbol.
//
// Example, ranks "h e" 0, "l l" 1, "he ll" 2:   h e l l o -> he l l o -> he ll o -> hell o

#include "model/bpe.h"

#include <stdlib.h>
#include <string.h>

#define NO_RANK UINT32_MAX
#define NO_POS UINT32_MAX

struct entry {
    uint64_t pair;    // left << 32 | right
    uint32_t rank;    // NO_RANK: free slot
    uint32_t result;
};

struct bpe {
    size_t mask;
    struct entry *entries;
};

// ---- table of merges ----

static struct entry *probe(const struct bpe *b, uint64_t pair)
{
    uint64_t h = pair * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    for (size_t i = (size_t)(h >> 32) & b->mask;; i = (i + 1) & b->mask) {
        struct entry *e = &b->entries[i];
        if (e->rank == NO_RANK || e->pair == pair) {
            return e;
        }
    }
}

// rank NO_RANK: the pair does not merge.
static const struct entry *find(const struct bpe *b, uint32_t left, uint32_t right)
{
    return probe(b, (uint64_t)left << 32 | right);
}

enum err bpe_create(const struct spec_merge *merges, size_t n_merges, const bool *use,
                    struct bpe **out)
{
    struct bpe *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 16;
    while (n < n_merges * 2) {
        n *= 2;
    }
    b->entries = malloc(n * sizeof *b->entries);
    if (b->entries == NULL) {
        free(b);
        return ERR_NOMEM;
    }
    memset(b->entries, 0xFF, n * sizeof *b->entries);
    b->mask = n - 1;
    for (size_t i = 0; i < n_merges; i++) {
        uint64_t pair = (uint64_t)merges[i].left << 32 | merges[i].right;
        if (use == NULL || use[merges[i].result]) {
            *probe(b, pair) = (struct entry){pair, (uint32_t)i, merges[i].result};
        }
    }
    *out = b;
    return ERR_OK;
}

void bpe_destroy(struct bpe *b)
{
    if (b != NULL) {
        free(b->entries);
        free(b);
    }
}

// ---- short words ----

static size_t merge_small(const struct bpe *b, uint32_t *ids, size_t n)
{
    const struct entry *pairs[BPE_SMALL];    // pairs[i]: of (i, i + 1)
    for (size_t i = 0; i + 1 < n; i++) {
        pairs[i] = find(b, ids[i], ids[i + 1]);
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (pairs[i]->rank < pairs[best]->rank) {
                best = i;
            }
        }
        if (pairs[best]->rank == NO_RANK) {
            break;
        }
        ids[best] = pairs[best]->result;
        n--;
        memmove(&ids[best + 1], &ids[best + 2], (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(&pairs[best + 1], &pairs[best + 2], (n - best - 2) * sizeof *pairs);
            pairs[best] = find(b, ids[best], ids[best + 1]);
        }
        if (best > 0) {
            pairs[best - 1] = find(b, ids[best - 1], ids[best]);
        }
    }
    return n;
}

// ---- long words ----

struct symbol {
    uint32_t id, prev, next;
    uint32_t rank;    // of the pair that starts here; NO_RANK also when merged away
};

struct heap {
    uint64_t *at;    // rank << 32 | position
    size_t n;
};

static void heap_push(struct heap *h, uint64_t key)
{
    size_t i = h->n++;
    while (i > 0 && h->at[(i - 1) / 2] > key) {
        h->at[i] = h->at[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->at[i] = key;
}

static uint64_t heap_pop(struct heap *h)
{
    uint64_t top = h->at[0], key = h->at[--h->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n) {
            break;
        }
        if (child + 1 < h->n && h->at[child + 1] < h->at[child]) {
            child++;
        }
        if (h->at[child] >= key) {
            break;
        }
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = key;
    return top;
}

// Looks up the pair that starts at pos and queues it.
static void enter(const struct bpe *b, struct symbol *s, struct heap *h, uint32_t pos)
{
    uint32_t next = s[pos].next;
    s[pos].rank = next == NO_POS ? NO_RANK : find(b, s[pos].id, s[next].id)->rank;
    if (s[pos].rank != NO_RANK) {
        heap_push(h, (uint64_t)s[pos].rank << 32 | pos);
    }
}

static void merge_all(const struct bpe *b, struct symbol *s, struct heap *h)
{
    while (h->n > 0) {
        uint64_t key = heap_pop(h);
        uint32_t pos = (uint32_t)key;
        if (s[pos].rank != (uint32_t)(key >> 32)) {
            continue;
        }
        uint32_t gone = s[pos].next;
        s[pos].id = find(b, s[pos].id, s[gone].id)->result;
        s[pos].next = s[gone].next;
        s[gone].rank = NO_RANK;
        if (s[pos].next != NO_POS) {
            s[s[pos].next].prev = pos;
        }
        enter(b, s, h, pos);
        if (s[pos].prev != NO_POS) {
            enter(b, s, h, s[pos].prev);
        }
    }
}

enum err bpe_merge_heap(const struct bpe *b, uint32_t *ids, size_t *n)
{
    if (*n > INT32_MAX) {
        return ERR_LIMIT;
    }
    uint32_t count = (uint32_t)*n;
    if (count < 2) {
        return ERR_OK;
    }
    struct symbol *s = malloc(count * sizeof *s);
    struct heap h = {malloc(count * 3 * sizeof *h.at), 0};
    if (s == NULL || h.at == NULL) {
        free(s);
        free(h.at);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {    // s[0].prev is NO_POS by wrapping
        s[i] = (struct symbol){ids[i], i - 1, i + 1 < count ? i + 1 : NO_POS, NO_RANK};
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        enter(b, s, &h, i);
    }
    merge_all(b, s, &h);
    *n = 0;
    for (uint32_t i = 0; i != NO_POS; i = s[i].next) {
        ids[(*n)++] = s[i].id;
    }
    free(s);
    free(h.at);
    return ERR_OK;
}

enum err bpe_merge(const struct bpe *b, uint32_t *ids, size_t *n)
{
    if (*n > BPE_SMALL) {
        return bpe_merge_heap(b, ids, n);
    }
    *n = merge_small(b, ids, *n);
    return ERR_OK;
}

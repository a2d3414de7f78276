// added.c: a trie of bytes. Children are linked lists: most nodes have one, and the root, which has
// many, is guarded by a table of first bytes.

#include "model/added.h"

#include <stdlib.h>

#include "model/charclass.h"
#include "model/tokenizer_spec.h"
#include "model/utf8.h"

#define NO_NODE UINT32_MAX

struct node {
    uint32_t child, sibling;    // NO_NODE = none
    int32_t id;                 // token that ends here, or -1
    uint32_t flags;             // of the token
    uint8_t byte;
};

struct added {
    struct node *nodes;    // [0] is the root
    size_t n, cap;
    bool first[256];    // bytes that a token can start with
};

static enum err add_node(struct added *a, uint8_t byte, uint32_t *out)
{
    if (a->n == a->cap) {
        size_t cap = a->cap == 0 ? 64 : a->cap * 2;
        struct node *nodes = realloc(a->nodes, cap * sizeof *nodes);
        if (nodes == NULL) {
            return ERR_NOMEM;
        }
        a->nodes = nodes;
        a->cap = cap;
    }
    *out = (uint32_t)a->n;
    a->nodes[a->n++] = (struct node){NO_NODE, NO_NODE, -1, 0, byte};
    return ERR_OK;
}

enum err added_create(struct added **out)
{
    struct added *a = calloc(1, sizeof *a);
    uint32_t root;
    if (a == NULL || add_node(a, 0, &root) != ERR_OK) {
        free(a);
        return ERR_NOMEM;
    }
    *out = a;
    return ERR_OK;
}

void added_destroy(struct added *a)
{
    if (a != NULL) {
        free(a->nodes);
        free(a);
    }
}

static uint32_t find_child(const struct added *a, uint32_t node, uint8_t byte)
{
    uint32_t child = a->nodes[node].child;
    while (child != NO_NODE && a->nodes[child].byte != byte) {
        child = a->nodes[child].sibling;
    }
    return child;
}

enum err added_insert(struct added *a, const uint8_t *bytes, size_t len, uint32_t id,
                      uint32_t flags)
{
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t child = find_child(a, node, bytes[i]);
        if (child == NO_NODE) {
            enum err e = add_node(a, bytes[i], &child);
            if (e != ERR_OK) {
                return e;
            }
            a->nodes[child].sibling = a->nodes[node].child;
            a->nodes[node].child = child;
        }
        node = child;
    }
    if (a->nodes[node].id < 0) {
        a->nodes[node].id = (int32_t)id;
        a->nodes[node].flags = flags;
        a->first[bytes[0]] = true;
    }
    return ERR_OK;
}

// The node of the longest token at p, or NULL.
static const struct node *longest(const struct added *a, const uint8_t *p, size_t n, size_t *len)
{
    const struct node *best = NULL;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = find_child(a, node, p[i]);
        if (node == NO_NODE) {
            break;
        }
        if (a->nodes[node].id >= 0) {
            best = &a->nodes[node];
            *len = i + 1;
        }
    }
    return best;
}

// ---- what stands around a match ----

// Start of the character that ends at `end`; false: it is no UTF-8.
static bool char_before(const uint8_t *text, size_t end, size_t *start, uint32_t *cp)
{
    size_t i = end, bad;
    while (i > 0 && end - i < 4) {
        i--;
        if ((text[i] & 0xC0) != 0x80) {
            *start = i;
            return utf8_next(text + i, end - i, cp, &bad) == end - i;
        }
    }
    return false;
}

static bool whole_word(const uint8_t *text, size_t len, size_t start, size_t end)
{
    uint32_t cp;
    size_t at, bad;
    if (start > 0 && char_before(text, start, &at, &cp) && charclass_is_word(cp)) {
        return false;
    }
    return end == len || utf8_next(text + end, len - end, &cp, &bad) == 0 || !charclass_is_word(cp);
}

static size_t white_before(const uint8_t *text, size_t start, size_t least)
{
    uint32_t cp;
    size_t at;
    while (start > least && char_before(text, start, &at, &cp) && at >= least &&
           charclass_of(cp) == CHAR_WHITE) {
        start = at;
    }
    return start;
}

static size_t white_after(const uint8_t *text, size_t len, size_t end)
{
    uint32_t cp;
    size_t bad, n;
    while (end < len && (n = utf8_next(text + end, len - end, &cp, &bad)) > 0 &&
           charclass_of(cp) == CHAR_WHITE) {
        end += n;
    }
    return end;
}

bool added_next(const struct added *a, struct added_walk *w, bool special, struct added_match *out)
{
    while (w->at < w->len) {
        size_t start = w->at, len = 0;
        const struct node *k = NULL;
        if (a->first[w->text[start]]) {
            k = longest(a, w->text + start, w->len - start, &len);
        }
        if (k == NULL) {
            w->at++;
            continue;
        }
        size_t end = start + len;
        w->at = end;
        if ((!special && (k->flags & SPEC_SPECIAL) != 0) ||
            ((k->flags & SPEC_SINGLE_WORD) != 0 && !whole_word(w->text, w->len, start, end))) {
            continue;
        }
        if ((k->flags & SPEC_LSTRIP) != 0) {
            start = white_before(w->text, start, w->taken);
        }
        if ((k->flags & SPEC_RSTRIP) != 0) {
            // Past what an earlier match took there is only white space up to `taken`.
            end = white_after(w->text, w->len, MAX(end, w->taken));
        }
        *out = (struct added_match){start, end, (uint32_t)k->id};
        w->taken = end;
        return true;
    }
    return false;
}

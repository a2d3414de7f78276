// ngrams.c: an exact search for covered rows that does not visit all rows that share a gram.
//
// Grams get numbers in the order of their first occurrence, by a table from hash to number; a row is
// the numbers of its grams, one for each word at which a gram starts. Matching marks the grams of
// the text and counts covered words of the rows in question.
//
// Which rows are in question: a phrase that stands in every row ("what is the answer to the
// following question") would bring up all of them. So the most common grams of a row are not
// listed: as many as together cover no more than the threshold. A text with none but these cannot
// hit the row, so nothing is lost by it; whoever hits has one of the rarer grams, and those lead to
// few rows.
#include "cli/ngrams.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NONE UINT32_MAX

// A row's words are position first .. next row's first.
struct row {
    size_t first;
    uint64_t seen;    // the match in which it was last in question
};

struct ngrams {
    size_t n;
    double threshold;
    // From hash to number; a hash of 0 is a free place.
    uint64_t *key;
    uint32_t *number;
    size_t mask;
    // By number of gram.
    uint32_t *count;     // occurrences in rows
    uint64_t *marked;    // the match in which it last occurred, 0 for never
    uint32_t *start;     // of its rows in `listed`
    size_t n_grams, grams_cap;
    // By position: the gram that starts there or NONE, and how many words it has.
    uint32_t *gram;
    uint8_t *span;
    size_t n_positions, positions_cap;
    struct row *rows;
    size_t n_rows, rows_cap;
    uint32_t *listed;    // row numbers
    uint32_t *asked;     // rows in question of one match
    uint64_t match;
};

// Room for `need` items of `size` bytes behind the pointer that stands at `at`, at least doubling.
static enum err reserve(void *at, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) {
        return ERR_OK;
    }
    size_t grown_cap = MAX(need, *cap ? *cap * 2 : 256);
    void *items;
    memcpy(&items, at, sizeof items);
    items = realloc(items, grown_cap * size);
    if (!items) {
        return ERR_NOMEM;
    }
    memcpy(at, &items, sizeof items);
    *cap = grown_cap;
    return ERR_OK;
}

enum err ngrams_create(size_t n, double threshold, struct ngrams **out)
{
    CHECK(n >= 1 && n <= NGRAMS_N_MAX && threshold >= 0 && threshold <= 1);
    struct ngrams *x = calloc(1, sizeof *x);
    if (!x) {
        return ERR_NOMEM;
    }
    x->n = n;
    x->threshold = threshold;
    *out = x;
    return ERR_OK;
}

void ngrams_destroy(struct ngrams *x)
{
    if (!x) {
        return;
    }
    free(x->key);
    free(x->number);
    free(x->count);
    free(x->marked);
    free(x->start);
    free(x->gram);
    free(x->span);
    free(x->rows);
    free(x->listed);
    free(x->asked);
    free(x);
}

// ---- table ----

static size_t place_of(const uint64_t *key, size_t mask, uint64_t hash)
{
    size_t at = (size_t)hash & mask;
    while (key[at] != 0 && key[at] != hash) {
        at = (at + 1) & mask;
    }
    return at;
}

// Keeps at least half of the places free.
static enum err table_reserve(struct ngrams *x)
{
    size_t places = x->key ? x->mask + 1 : 0;
    if (2 * (x->n_grams + 1) <= places) {
        return ERR_OK;
    }
    size_t grown = places ? places * 2 : 1024;
    uint64_t *key = calloc(grown, sizeof *key);
    uint32_t *number = malloc(grown * sizeof *number);
    if (!key || !number) {
        free(key);
        free(number);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < places; i++) {
        if (x->key[i] != 0) {
            size_t at = place_of(key, grown - 1, x->key[i]);
            key[at] = x->key[i];
            number[at] = x->number[i];
        }
    }
    free(x->key);
    free(x->number);
    x->key = key;
    x->number = number;
    x->mask = grown - 1;
    return ERR_OK;
}

static enum err number_of(struct ngrams *x, uint64_t hash, uint32_t *out)
{
    enum err e = table_reserve(x);
    e = e ? e : reserve(&x->count, &x->grams_cap, x->n_grams + 1, sizeof *x->count);
    if (e) {
        return e;
    }
    size_t at = place_of(x->key, x->mask, hash);
    if (x->key[at] == 0) {
        x->key[at] = hash;
        x->number[at] = (uint32_t)x->n_grams;
        x->count[x->n_grams++] = 0;
    }
    *out = x->number[at];
    return ERR_OK;
}

// ---- grams of texts ----

struct gram_walk {
    const struct wordhash *w;
    size_t n, at, end;    // the next word; the end mark of its text
    size_t span;          // of the grams in this text; 0: no text yet
};

// Each word of each text in order: true with its position in the text's words, the hash of the gram
// that starts at it (0: none does) and its number of words.
static bool walk_next(struct gram_walk *g, uint64_t *hash, uint8_t *span)
{
    const uint64_t *v = g->w->v;
    if (g->span > 0 && g->at == g->end) {
        g->at++;
    }
    if (g->at >= g->w->len) {
        return false;
    }
    if (g->span == 0 || g->at > g->end) {
        while (g->at < g->w->len && v[g->at] == 0) {
            g->at++;
        }
        if (g->at == g->w->len) {
            return false;
        }
        for (g->end = g->at; v[g->end] != 0; g->end++) {
        }
        g->span = MIN(g->n, g->end - g->at);
    }
    uint64_t h = 0;
    if (g->at + g->span <= g->end) {
        h = XXH3_64bits(v + g->at, g->span * sizeof *v);
        h = h ? h : 1;
    }
    *hash = h;
    *span = (uint8_t)g->span;
    g->at++;
    return true;
}

enum err ngrams_add(struct ngrams *x, const struct wordhash *row)
{
    struct gram_walk g = {.w = row, .n = x->n};
    size_t positions = x->positions_cap;
    if (x->n_rows + 1 >= NONE || x->n_positions + row->n_words >= NONE) {
        return ERR_LIMIT;
    }
    enum err e = reserve(&x->rows, &x->rows_cap, x->n_rows + 1, sizeof *x->rows);
    e = e ? e : reserve(&x->gram, &positions, x->n_positions + row->n_words, sizeof *x->gram);
    e = e ? e
          : reserve(&x->span, &x->positions_cap, x->n_positions + row->n_words, sizeof *x->span);
    size_t at = x->n_positions;
    uint64_t hash;
    uint8_t span;
    while (!e && walk_next(&g, &hash, &span)) {
        uint32_t number = NONE;
        if (hash) {
            e = number_of(x, hash, &number);
        }
        if (number != NONE) {
            x->count[number]++;
        }
        x->gram[at] = number;
        x->span[at++] = span;
    }
    if (e) {
        return e;
    }
    x->rows[x->n_rows++] = (struct row){.first = x->n_positions};
    x->n_positions = at;
    return ERR_OK;
}

// ---- seal ----

static size_t row_end(const struct ngrams *x, size_t row)
{
    return row + 1 < x->n_rows ? x->rows[row + 1].first : x->n_positions;
}

struct common {
    uint32_t count, gram, at;    // at: position within the row
};

static int more_common_first(const void *pa, const void *pb)
{
    const struct common *a = pa, *b = pb;
    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    if (a->gram != b->gram) {
        return a->gram < b->gram ? -1 : 1;
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

struct sealing {
    struct common *order;
    uint8_t *covered;
    uint32_t *gram;    // of each listing
    uint32_t *row;
    size_t n, cap, row_cap;
};

static enum err list_gram(struct sealing *s, uint32_t gram, size_t row)
{
    size_t cap = s->cap;
    enum err e = reserve(&s->gram, &cap, s->n + 1, sizeof *s->gram);
    e = e ? e : reserve(&s->row, &s->row_cap, s->n + 1, sizeof *s->row);
    if (e) {
        return e;
    }
    s->cap = cap;
    s->gram[s->n] = gram;
    s->row[s->n++] = (uint32_t)row;
    return ERR_OK;
}

// Passes over the most common grams while all passed over cover no more than the threshold, and
// lists the others.
static enum err seal_row(const struct ngrams *x, size_t row, struct sealing *s)
{
    size_t first = x->rows[row].first, n_words = row_end(x, row) - first, n = 0, cover = 0;
    for (size_t i = 0; i < n_words; i++) {
        uint32_t gram = x->gram[first + i];
        if (gram != NONE) {
            s->order[n++] = (struct common){x->count[gram], gram, (uint32_t)i};
        }
    }
    qsort(s->order, n, sizeof *s->order, more_common_first);
    memset(s->covered, 0, n_words);
    bool listing = false;
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e;) {
        uint32_t gram = s->order[i].gram;
        for (; i < n && s->order[i].gram == gram; i++) {
            size_t at = s->order[i].at;
            for (size_t k = at; k < at + x->span[first + at]; k++) {
                cover += !s->covered[k];
                s->covered[k] = 1;
            }
        }
        listing = listing || (double)cover > x->threshold * (double)n_words;
        if (listing) {
            e = list_gram(s, gram, row);
        }
    }
    return e;
}

static enum err seal_lists(struct ngrams *x, const struct sealing *s)
{
    x->start = calloc(x->n_grams + 2, sizeof *x->start);
    x->listed = malloc((s->n + 1) * sizeof *x->listed);
    if (!x->start || !x->listed) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < s->n; i++) {
        x->start[s->gram[i] + 2]++;
    }
    for (size_t g = 2; g < x->n_grams + 2; g++) {
        x->start[g] += x->start[g - 1];
    }
    for (size_t i = 0; i < s->n; i++) {
        x->listed[x->start[s->gram[i] + 1]++] = s->row[i];
    }
    return ERR_OK;
}

enum err ngrams_seal(struct ngrams *x)
{
    CHECK(!x->start);
    size_t longest = 0;
    for (size_t row = 0; row < x->n_rows; row++) {
        longest = MAX(longest, row_end(x, row) - x->rows[row].first);
    }
    struct sealing s = {.order = malloc((longest + 1) * sizeof *s.order),
                        .covered = malloc(longest + 1)};
    x->marked = calloc(x->n_grams + 1, sizeof *x->marked);
    x->asked = malloc((x->n_rows + 1) * sizeof *x->asked);
    enum err e = table_reserve(x);
    if (!s.order || !s.covered || !x->marked || !x->asked) {
        e = ERR_NOMEM;
    }
    for (size_t row = 0; row < x->n_rows && !e; row++) {
        e = seal_row(x, row, &s);
    }
    e = e ? e : seal_lists(x, &s);
    free(s.order);
    free(s.covered);
    free(s.gram);
    free(s.row);
    return e;
}

// ---- match ----

// Words of the row covered by grams that were marked in match `since` or later.
static size_t covered_words(const struct ngrams *x, size_t row, uint64_t since)
{
    size_t covered = 0, until = x->rows[row].first;
    for (size_t at = x->rows[row].first; at < row_end(x, row); at++) {
        if (x->gram[at] != NONE && x->marked[x->gram[at]] >= since) {
            size_t end = at + x->span[at];
            covered += end - MAX(at, until);
            until = end;
        }
    }
    return covered;
}

static size_t ask_rows_of(struct ngrams *x, uint32_t gram, size_t n_asked)
{
    for (size_t i = x->start[gram]; i < x->start[gram + 1]; i++) {
        struct row *row = &x->rows[x->listed[i]];
        if (row->seen != x->match) {
            row->seen = x->match;
            x->asked[n_asked++] = x->listed[i];
        }
    }
    return n_asked;
}

enum err ngrams_match(struct ngrams *x, const struct wordhash *w, ngrams_hit_fn *fn, void *arg)
{
    CHECK(x->start);
    struct gram_walk g = {.w = w, .n = x->n};
    size_t n_asked = 0;
    uint64_t hash;
    uint8_t span;
    x->match++;
    while (walk_next(&g, &hash, &span)) {
        size_t at = hash ? place_of(x->key, x->mask, hash) : 0;
        if (!hash || x->key[at] == 0) {
            continue;
        }
        uint32_t gram = x->number[at];
        if (x->marked[gram] != x->match) {
            x->marked[gram] = x->match;
            n_asked = ask_rows_of(x, gram, n_asked);
        }
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n_asked && !e; i++) {
        size_t n_words = ngrams_words(x, x->asked[i]);
        size_t covered = covered_words(x, x->asked[i], x->match);
        if ((double)covered > x->threshold * (double)n_words) {
            e = fn(arg, x->asked[i], (double)covered / (double)n_words);
        }
    }
    return e;
}

size_t ngrams_rows(const struct ngrams *x)
{
    return x->n_rows;
}

size_t ngrams_words(const struct ngrams *x, size_t row)
{
    CHECK(row < x->n_rows);
    return row_end(x, row) - x->rows[row].first;
}

double ngrams_share(const struct ngrams *x, size_t row)
{
    size_t n_words = ngrams_words(x, row);
    return n_words ? (double)covered_words(x, row, 1) / (double)n_words : 0;
}

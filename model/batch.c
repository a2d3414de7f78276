// batch.c: growing arrays and the one rule that packs a group.
//
// Rows cost compute, index entries cost four bytes each, so sharing is expressed in the index
// lists: a prompt of P tokens with n completions of T tokens is P + n (T - 1) rows but P + n (P + T
// - 1) index entries. A completion's last token is a target only: nothing is predicted from it, so
// it has no row.
//
//   prompt a b c, completions [x y] and [z]
//   row    0 1 2 3        kv_index  0 1 2 | 0 1 2 3
//   token  a b c x        kv_off    0 0 0   3
//   pos    0 1 2 3        kv_len    1 2 3   4
//   outs   (row 2, x) (row 3, y) (row 2, z)
//
// Every function reserves before it writes, so a failing call leaves the batch as it was.

#include "model/batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base.h"

#define MAX_ENTRIES ((size_t)1 << 30)    // of any array: counts fit int32_t with room

void batch_init(struct batch *b)
{
    *b = (struct batch){0};
}

void batch_fini(struct batch *b)
{
    free(b->token);
    free(b->pos);
    free(b->kv_row);
    free(b->kv_off);
    free(b->kv_len);
    free(b->kv_index);
    free(b->out_row);
    free(b->target);
    batch_init(b);
}

void batch_clear(struct batch *b)
{
    b->n_rows = 0;
    b->n_index = 0;
    b->n_out = 0;
}

// Grows n arrays to hold `need` entries each; on failure some may be larger than *cap says, which
// is harmless.
static enum err grow(int32_t **const *arrays, size_t n, size_t *cap, size_t need)
{
    if (need <= *cap) {
        return ERR_OK;
    }
    if (need > MAX_ENTRIES) {
        return ERR_LIMIT;
    }
    size_t fresh = MAX(MAX(need, *cap * 2), 64);
    for (size_t i = 0; i < n; i++) {
        int32_t *p = realloc(*arrays[i], fresh * sizeof *p);
        if (p == NULL) {
            return ERR_NOMEM;
        }
        *arrays[i] = p;
    }
    *cap = fresh;
    return ERR_OK;
}

static enum err reserve(struct batch *b, size_t rows, size_t index, size_t outs)
{
    int32_t **const row_arrays[] = {&b->token, &b->pos, &b->kv_row, &b->kv_off, &b->kv_len};
    int32_t **const index_arrays[] = {&b->kv_index};
    int32_t **const out_arrays[] = {&b->out_row, &b->target};
    enum err e = grow(row_arrays, ARRAY_LEN(row_arrays), &b->cap_rows, b->n_rows + rows);
    if (e == ERR_OK) {
        e = grow(index_arrays, ARRAY_LEN(index_arrays), &b->cap_index, b->n_index + index);
    }
    if (e == ERR_OK) {
        e = grow(out_arrays, ARRAY_LEN(out_arrays), &b->cap_out, b->n_out + outs);
    }
    return e;
}

enum err batch_add_index(struct batch *b, const int32_t *kv_rows, size_t n, int32_t *off)
{
    if (n > MAX_ENTRIES) {
        return ERR_LIMIT;
    }
    enum err e = reserve(b, 0, n, 0);
    if (e != ERR_OK) {
        return e;
    }
    if (n > 0) {
        memcpy(b->kv_index + b->n_index, kv_rows, n * sizeof *kv_rows);
    }
    *off = (int32_t)b->n_index;
    b->n_index += n;
    return ERR_OK;
}

static int32_t push_row(struct batch *b, int32_t token, int32_t pos, int32_t kv_row, int32_t kv_off,
                        int32_t kv_len)
{
    size_t r = b->n_rows++;
    b->token[r] = token;
    b->pos[r] = pos;
    b->kv_row[r] = kv_row;
    b->kv_off[r] = kv_off;
    b->kv_len[r] = kv_len;
    return (int32_t)r;
}

static void push_out(struct batch *b, int32_t row, int32_t target)
{
    b->out_row[b->n_out] = row;
    b->target[b->n_out] = target;
    b->n_out++;
}

enum err batch_add_row(struct batch *b, int32_t token, int32_t pos, int32_t kv_row, int32_t kv_off,
                       int32_t kv_len, int32_t *row)
{
    enum err e = reserve(b, 1, 0, 0);
    if (e == ERR_OK) {
        int32_t r = push_row(b, token, pos, kv_row, kv_off, kv_len);
        if (row != NULL) {
            *row = r;
        }
    }
    return e;
}

enum err batch_add_out(struct batch *b, int32_t row, int32_t target)
{
    enum err e = reserve(b, 0, 0, 1);
    if (e == ERR_OK) {
        push_out(b, row, target);
    }
    return e;
}

size_t batch_group_rows(size_t n_prompt, const struct batch_completion *c, size_t n_completions)
{
    size_t rows = n_prompt;
    for (size_t i = 0; i < n_completions; i++) {
        rows += c[i].n > 0 ? c[i].n - 1 : 0;
    }
    return rows;
}

// One completion after a prompt whose rows start at `first`: its index list, its rows, its outs.
static void push_completion(struct batch *b, size_t first, size_t n_prompt,
                            const struct batch_completion *c)
{
    int32_t off = (int32_t)b->n_index;
    int32_t before = (int32_t)(first + n_prompt) - 1;    // the row that predicts the next token
    for (size_t j = 0; c->n > 1 && j < n_prompt; j++) {
        b->kv_index[b->n_index++] = (int32_t)(first + j);
    }
    for (size_t j = 0; j < c->n; j++) {
        push_out(b, before, (int32_t)c->tokens[j]);
        if (j + 1 < c->n) {
            int32_t row = (int32_t)b->n_rows;
            int32_t pos = (int32_t)(n_prompt + j);
            b->kv_index[b->n_index++] = row;
            before = push_row(b, (int32_t)c->tokens[j], pos, row, off, pos + 1);
        }
    }
}

enum err batch_add_group(struct batch *b, const uint32_t *prompt, size_t n_prompt,
                         const struct batch_completion *c, size_t n_completions)
{
    if (n_prompt == 0) {
        return ERR_INVALID;
    }
    size_t rows = n_prompt, index = n_prompt, outs = 0;
    for (size_t i = 0; i < n_completions; i++) {
        if (c[i].n > MAX_ENTRIES || rows > MAX_ENTRIES || index > MAX_ENTRIES) {
            return ERR_LIMIT;
        }
        rows += c[i].n > 0 ? c[i].n - 1 : 0;
        index += c[i].n > 1 ? n_prompt + c[i].n - 1 : 0;
        outs += c[i].n;
    }
    enum err e = n_prompt > MAX_ENTRIES ? ERR_LIMIT : reserve(b, rows, index, outs);
    if (e != ERR_OK) {
        return e;
    }
    size_t first = b->n_rows;
    int32_t off = (int32_t)b->n_index;
    for (size_t j = 0; j < n_prompt; j++) {
        int32_t row = (int32_t)b->n_rows;
        b->kv_index[b->n_index++] = row;
        push_row(b, (int32_t)prompt[j], (int32_t)j, row, off, (int32_t)j + 1);
    }
    for (size_t i = 0; i < n_completions; i++) {
        push_completion(b, first, n_prompt, &c[i]);
    }
    return ERR_OK;
}

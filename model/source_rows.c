// source_rows.c: tensors out of a source: any rows, in any type that we write, or all of them as one
// stream in table order.
//
// Every value is looked at for infinities and NaNs while its row is in the cache. What is stored in
// the type that is asked for is copied, or not even that: the stream hands out pieces of the mapping
// itself. Everything else passes through f32 in stretches that fit the L1 cache. The stream drops
// the pages of the file behind it, so that a reader holds one piece and what it makes of it, never
// the model a second time.

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "model/source_impl.h"

enum {
    STRETCH = 2048,            // elements converted together: 8 KiB of f32
    PIECE_ROWS = 1024,         // pieces are whole multiples: what weights_feed packs in place
    PIECE_BYTES = 4 << 20,     // about so much at a time
    TASK_BYTES = 128 << 10,    // of a piece, for one thread
};
_Static_assert(STRETCH % QUANT_LARGEST_BLOCK == 0, "a stretch is whole blocks");

const struct quant *source_quant(enum dtype t)
{
    return quant_by_name(t == DTYPE_BF16 ? "BF16" : "F32");
}

// The file that holds a tensor, for messages.
static const char *where(const struct source *s, const struct source_view *v)
{
    for (size_t i = 0; i < s->n_files; i++) {
        if (safetensors_holds(s->files[i], v->data)) {
            return safetensors_where(s->files[i]);
        }
    }
    return s->path;
}

static size_t row_bytes(const struct source_view *v, const struct param *p)
{
    return p->cols / v->type->block * v->type->block_bytes;
}

// Where row r of the Hugging Face layout is stored.
static size_t stored_row(const struct source *s, const struct source_view *v, size_t r)
{
    if (!v->interleaved) {
        return r;
    }
    size_t head_dim = (size_t)s->config.head_dim, head = r / head_dim, within = r % head_dim;
    return head * head_dim + within % (head_dim / 2) * 2 + within / (head_dim / 2);
}

static enum err bad_value(const struct source *s, const struct source_view *v,
                          const struct param *p, size_t row, size_t col, const struct quant *to,
                          struct why *why)
{
    size_t block = v->type->block;
    float x[QUANT_LARGEST_BLOCK];
    v->type->read(v->data + stored_row(s, v, row) * row_bytes(v, p) +
                      col / block * v->type->block_bytes,
                  1, x);
    float value = x[col % block];
    if (isfinite(value)) {
        return why_set(why, ERR_LIMIT, "%s: tensor %s: element [%zu, %zu] is %g, too large for %s",
                       where(s, v), p->name, row, col, (double)value, to->name);
    }
    return why_set(why, ERR_CORRUPT,
                   "%s: tensor %s: element [%zu, %zu] is %s, expected a finite number", where(s, v),
                   p->name, row, col, isnan(value) ? "NaN" : "infinite");
}

static void convert_row(const struct source_view *v, const uint8_t *src, size_t cols,
                        const struct quant *to, uint8_t *out)
{
    if (v->type == to) {
        memcpy(out, src, cols * to->block_bytes);
        return;
    }
    float stretch[STRETCH];
    for (size_t c = 0; c < cols; c += STRETCH) {
        size_t n = MIN(cols - c, (size_t)STRETCH);
        v->type->read(src + c / v->type->block * v->type->block_bytes, n / v->type->block, stretch);
        to->write(stretch, n, out + c * to->block_bytes);
    }
}

enum err source_view_rows(const struct source *s, const struct source_view *v,
                          const struct param *p, size_t first, size_t n, const struct quant *to,
                          void *out, struct why *why)
{
    CHECK(to->write != NULL && n <= p->rows && first <= p->rows - n);
    uint8_t *row = out;
    for (size_t r = first; r < first + n; r++, row += p->cols * to->block_bytes) {
        const uint8_t *src = v->data + stored_row(s, v, r) * row_bytes(v, p);
        convert_row(v, src, p->cols, to, row);
        size_t bad = to->first_nonfinite(row, p->cols);
        if (bad < p->cols) {
            return bad_value(s, v, p, r, bad, to, why);
        }
    }
    return ERR_OK;
}

enum err source_rows(const struct source *s, size_t index, size_t first, size_t n,
                     const struct quant *to, void *out, struct why *why)
{
    CHECK(index < s->params.n);
    return source_view_rows(s, &s->views[index], &s->params.params[index], first, n, to, out, why);
}

enum err source_read(const struct source *s, size_t index, float *out, struct why *why)
{
    CHECK(index < s->params.n);
    return source_rows(s, index, 0, s->params.params[index].rows, source_quant(DTYPE_F32), out,
                       why);
}

// ---- the stream ----

// Rows first .. first + n - 1 of a tensor on their way through the pool.
struct piece {
    const struct source *s;
    const struct source_view *v;
    const struct param *p;
    const struct quant *to;
    size_t first, n, rows_per_task;
    uint8_t *out;    // NULL: the bytes of the file are what is wanted; look at them only
    atomic_bool failed;
};

static enum err piece_rows(const struct piece *x, size_t first, size_t n, struct why *why)
{
    size_t bytes = x->p->cols * x->to->block_bytes;
    if (x->out != NULL) {
        return source_view_rows(x->s, x->v, x->p, first, n, x->to,
                                x->out + (first - x->first) * bytes, why);
    }
    size_t bad = x->to->first_nonfinite(x->v->data + first * bytes, n * x->p->cols);
    return bad == n * x->p->cols ? ERR_OK
                                 : bad_value(x->s, x->v, x->p, first + bad / x->p->cols,
                                             bad % x->p->cols, x->to, why);
}

static void piece_task(void *arg, size_t chunk, int thread)
{
    (void)thread;
    struct piece *x = arg;
    size_t at = chunk * x->rows_per_task;
    if (piece_rows(x, x->first + at, MIN(x->rows_per_task, x->n - at), NULL) != ERR_OK) {
        atomic_store(&x->failed, true);
    }
}

// A failure is found again from the front, so that the first bad element is the one that is named,
// whatever thread met one first.
static enum err make_piece(struct piece *x, struct pool *pool, struct why *why)
{
    size_t bytes = x->p->cols * x->to->block_bytes;
    x->rows_per_task = MAX(TASK_BYTES / bytes, (size_t)1);
    atomic_store(&x->failed, false);
    pool_run(pool, (x->n + x->rows_per_task - 1) / x->rows_per_task, piece_task, x);
    return atomic_load(&x->failed) ? piece_rows(x, x->first, x->n, why) : ERR_OK;
}

static size_t piece_size(const struct param *p, const struct quant *to)
{
    size_t block = PIECE_ROWS * p->cols * to->block_bytes;
    return MIN(p->rows, PIECE_ROWS * MAX(PIECE_BYTES / block, (size_t)1));
}

enum err source_stream_tensor(const struct source *s, size_t index, const struct quant *to,
                              struct pool *pool, uint8_t *room, source_sink *sink, void *arg,
                              struct why *why)
{
    struct piece x = {
        .s = s, .v = &s->views[index], .p = &s->params.params[index], .to = to, .out = room};
    if (x.v->type == to && !x.v->interleaved) {
        x.out = NULL;
    }
    size_t step = piece_size(x.p, to), out_bytes = x.p->cols * to->block_bytes;
    enum err e = ERR_OK;
    for (; e == ERR_OK && x.first < x.p->rows; x.first += step) {
        x.n = MIN(step, x.p->rows - x.first);
        const uint8_t *stored = x.v->data + x.first * row_bytes(x.v, x.p);
        fs_map_need(stored, x.n * row_bytes(x.v, x.p));
        e = make_piece(&x, pool, why);
        if (e == ERR_OK) {
            e = sink(arg, x.out != NULL ? x.out : stored, x.n * out_bytes, why);
        }
        fs_map_drop(stored, x.n * row_bytes(x.v, x.p));
    }
    return e;
}

size_t source_room(const struct source *s, const struct quant *to)
{
    size_t largest = 1;
    for (size_t i = 0; i < s->params.n; i++) {
        const struct param *p = &s->params.params[i];
        if (s->views[i].type != to || s->views[i].interleaved) {
            largest = MAX(largest, piece_size(p, to) * p->cols * to->block_bytes);
        }
    }
    return largest;
}

enum err source_stream(const struct source *s, enum dtype t, struct pool *pool, source_sink *sink,
                       void *arg, struct why *why)
{
    const struct quant *to = source_quant(t);
    size_t bytes = source_room(s, to);
    uint8_t *room = malloc(bytes);
    if (room == NULL) {
        return why_set(why, ERR_NOMEM, "%s: no memory for %zu bytes of weights", s->path, bytes);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->params.n; i++) {
        e = source_stream_tensor(s, i, to, pool, room, sink, arg, why);
    }
    free(room);
    return e;
}

// tree.c: one node for equal expressions, found by hashing.
//
// Integers that fit a machine word are what most answers are made of; FLINT keeps them without
// memory of its own, and so does a node.
#include "verifier/math/tree.h"

#include <string.h>

#define FIRST_NODES 64
#define FIRST_SLOTS 256    // a power of two
#define STEPS 2000000      // about 50 ms of work in a Release build

void math_forest_fini(struct math_forest *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->node[i].kind == MATH_NUMBER) {
            fmpq_clear(&f->node[i].number);
        }
    }
    f->n = 0;
}

static void fini_forest(void *f)
{
    math_forest_fini(f);
}

struct math_forest *math_forest_create(struct scratch *s)
{
    struct math_forest *f = scratch_zeroed(s, sizeof *f);
    f->scratch = s;
    f->steps = STEPS;
    f->slots = FIRST_SLOTS;
    f->table = scratch_zeroed(s, FIRST_SLOTS * sizeof *f->table);
    f->cap = FIRST_NODES;
    f->node = scratch_array(s, f->cap, sizeof *f->node);
    scratch_defer(s, fini_forest, f);
    return f;
}

void math_note(struct math_forest *f, const char *why)
{
    if (!f->why) {
        f->why = why;
    }
}

bool math_spend(struct math_forest *f, long steps)
{
    if (steps > f->steps) {
        f->steps = 0;
        f->broken = true;
        math_note(f, "deciding this takes too much work");
        return false;
    }
    f->steps -= steps;
    return true;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_of(const struct math_node *v)
{
    uint64_t h = mix(mix(mix(1, v->kind), v->op), v->id);
    for (uint32_t i = 0; i < v->n; i++) {
        h = mix(h, v->arg[i]);
    }
    for (size_t i = 0; i < v->text.n; i++) {
        h = mix(h, v->text.cp[i]);
    }
    if (v->kind == MATH_NUMBER) {
        h = mix(h, fmpz_fdiv_ui(fmpq_numref(&v->number), 4294967291u));
        h = mix(h, fmpz_fdiv_ui(fmpq_denref(&v->number), 4294967291u));
    }
    return h;
}

static bool same(const struct math_node *x, const struct math_node *y)
{
    return x->kind == y->kind && x->op == y->op && x->id == y->id && x->n == y->n &&
           (x->n == 0 || memcmp(x->arg, y->arg, x->n * sizeof *x->arg) == 0) &&
           pyspan_equal(x->text, y->text) &&
           (x->kind != MATH_NUMBER || fmpq_equal(&x->number, &y->number));
}

static uint32_t *slot_of(const struct math_forest *f, const struct math_node *v)
{
    size_t at = (size_t)hash_of(v) & (f->slots - 1);
    while (f->table[at] && !same(&f->node[f->table[at] - 1], v)) {
        at = (at + 1) & (f->slots - 1);
    }
    return &f->table[at];
}

static void grow(struct math_forest *f)
{
    if (f->n == f->cap) {
        f->node = scratch_grow(f->scratch, f->node, f->n, f->n + 1, &f->cap, sizeof *f->node);
    }
    if (2 * f->n < f->slots) {
        return;
    }
    f->slots *= 4;
    f->table = scratch_zeroed(f->scratch, f->slots * sizeof *f->table);
    for (size_t i = 0; i < f->n; i++) {
        *slot_of(f, &f->node[i]) = (uint32_t)i + 1;
    }
}

// Finds or adds. A new number is moved out of `v`; the caller clears what it still owns.
static uint32_t intern(struct math_forest *f, struct math_node *v)
{
    uint32_t *slot = slot_of(f, v);
    if (*slot) {
        return *slot - 1;
    }
    if (f->n >= MATH_NODES_MAX) {
        f->broken = true;
        math_note(f, "the expression is too large");
        return 0;
    }
    if (f->n == f->cap || 2 * f->n >= f->slots) {
        grow(f);
        slot = slot_of(f, v);
    }
    if (v->n > 0) {
        uint32_t *arg = scratch_array(f->scratch, v->n, sizeof *arg);
        memcpy(arg, v->arg, v->n * sizeof *arg);
        v->arg = arg;
    }
    f->node[f->n] = *v;
    fmpq_init(&f->node[f->n].number);
    if (v->kind == MATH_NUMBER) {
        fmpq_swap(&f->node[f->n].number, &v->number);
    }
    *slot = (uint32_t)f->n + 1;
    return (uint32_t)f->n++;
}

uint32_t math_make(struct math_forest *f, enum math_kind kind, uint32_t op, uint32_t n,
                   const uint32_t *arg)
{
    struct math_node v = {.kind = kind, .op = op, .n = n, .arg = arg};
    return intern(f, &v);
}

uint32_t math_unary(struct math_forest *f, enum math_kind kind, uint32_t a)
{
    return math_make(f, kind, 0, 1, &a);
}

uint32_t math_binary(struct math_forest *f, enum math_kind kind, uint32_t a, uint32_t b)
{
    return math_make(f, kind, 0, 2, (uint32_t[]){a, b});
}

uint32_t math_func(struct math_forest *f, enum math_func fn, uint32_t a)
{
    return math_make(f, MATH_FUNC, fn, 1, &a);
}

uint32_t math_func2(struct math_forest *f, enum math_func fn, uint32_t a, uint32_t b)
{
    return math_make(f, MATH_FUNC, fn, 2, (uint32_t[]){a, b});
}

uint32_t math_integer(struct math_forest *f, long v)
{
    struct math_node node = {.kind = MATH_NUMBER};
    fmpq_init(&node.number);
    fmpq_set_si(&node.number, v, 1);
    uint32_t at = intern(f, &node);
    fmpq_clear(&node.number);
    return at;
}

uint32_t math_number(struct math_forest *f, const fmpq_t q)
{
    // The copy belongs to the forest before anything can leave through the scratch.
    if (f->n == f->cap || 2 * f->n >= f->slots) {
        grow(f);
    }
    struct math_node node = {.kind = MATH_NUMBER};
    fmpq_init(&node.number);
    fmpq_set(&node.number, q);
    uint32_t at = intern(f, &node);
    fmpq_clear(&node.number);
    return at;
}

uint32_t math_symbol(struct math_forest *f, struct pyspan name)
{
    size_t id = 0;
    while (id < f->symbols.n && !pyspan_equal(f->symbols.v[id], name)) {
        id++;
    }
    if (id == f->symbols.n) {
        f->symbols.v = scratch_grow(f->scratch, f->symbols.v, id, id + 1, &f->cap_symbols,
                                    sizeof *f->symbols.v);
        f->symbols.v[f->symbols.n++] = name;
    }
    struct math_node v = {.kind = MATH_SYMBOL, .id = (uint32_t)id};
    return intern(f, &v);
}

uint32_t math_matrix(struct math_forest *f, uint32_t columns, uint32_t n, const uint32_t *arg)
{
    struct math_node v = {.kind = MATH_MATRIX, .id = columns, .n = n, .arg = arg};
    return intern(f, &v);
}

uint32_t math_texted(struct math_forest *f, enum math_kind kind, struct pyspan text, uint32_t id,
                     uint32_t a)
{
    struct math_node v = {.kind = kind, .id = id, .text = text, .n = kind == MATH_UNIT, .arg = &a};
    return intern(f, &v);
}

bool *math_parts(struct math_forest *f, uint32_t root)
{
    bool *in = scratch_zeroed(f->scratch, (size_t)root + 1);
    in[root] = true;
    for (size_t i = (size_t)root + 1; i-- > 0;) {
        for (uint32_t k = 0; in[i] && k < f->node[i].n; k++) {
            in[f->node[i].arg[k]] = true;
        }
    }
    return in;
}

bool math_contains(struct math_forest *f, uint32_t root, enum math_kind kind)
{
    const bool *in = math_parts(f, root);
    for (size_t i = 0; i <= root; i++) {
        if (in[i] && f->node[i].kind == kind) {
            return true;
        }
    }
    return false;
}

uint32_t math_only_symbol(struct math_forest *f, uint32_t root, size_t *n)
{
    const bool *in = math_parts(f, root);
    uint32_t found = MATH_NONE;
    *n = 0;
    for (size_t i = 0; i <= root; i++) {
        if (in[i] && f->node[i].kind == MATH_SYMBOL) {
            found = (uint32_t)i;
            ++*n;
        }
    }
    return *n == 1 ? found : MATH_NONE;
}

// Makes node i again with its children renamed.
static uint32_t rename_children(struct math_forest *f, size_t i, const uint32_t *to, uint32_t *room)
{
    struct math_node v = f->node[i];
    bool changed = false;
    for (uint32_t k = 0; k < v.n; k++) {
        room[k] = to[v.arg[k]];
        changed |= room[k] != v.arg[k];
    }
    if (!changed) {
        return (uint32_t)i;
    }
    v.arg = room;
    return intern(f, &v);    // numbers have no children, so nothing owned is copied
}

static uint32_t *rename_room(struct math_forest *f, const bool *in, uint32_t root)
{
    uint32_t most = 1;
    for (size_t i = 0; i <= root; i++) {
        if (in[i]) {
            most = MAX(most, f->node[i].n);
        }
    }
    return scratch_array(f->scratch, most, sizeof(uint32_t));
}

uint32_t math_substitute(struct math_forest *f, uint32_t root, uint32_t what, uint32_t with)
{
    const bool *in = math_parts(f, root);
    uint32_t *to = scratch_array(f->scratch, (size_t)root + 1, sizeof *to);
    uint32_t *room = rename_room(f, in, root);
    for (size_t i = 0; i <= root; i++) {
        if (in[i]) {
            to[i] = i == what ? with : rename_children(f, i, to, room);
        }
    }
    return to[root];
}

uint32_t math_choose_sign(struct math_forest *f, uint32_t root, bool upper)
{
    const bool *in = math_parts(f, root);
    uint32_t *to = scratch_array(f->scratch, (size_t)root + 1, sizeof *to);
    uint32_t *room = rename_room(f, in, root);
    for (size_t i = 0; i <= root; i++) {
        if (!in[i]) {
            continue;
        }
        to[i] = rename_children(f, i, to, room);
        const struct math_node v = f->node[to[i]];
        if (v.kind == MATH_PM) {
            bool plus = upper == (v.op == 0);
            if (v.n == 2) {
                to[i] = math_binary(f, plus ? MATH_ADD : MATH_SUB, v.arg[0], v.arg[1]);
            } else {
                to[i] = plus ? v.arg[0] : math_unary(f, MATH_NEG, v.arg[0]);
            }
        }
    }
    return to[root];
}

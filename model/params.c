// params.c: the table of parameters of a configuration: the rows of its family, with sizes and
// names filled in, in the one order that everything flat has.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/family.h"

static size_t count_of(const struct model_config *c, const struct family_param *p)
{
    return family_dim(c, p->rows) * family_dim(c, p->cols);
}

size_t param_total(const struct model_config *c)
{
    const struct family *f = family_find(c->family);
    CHECK(f != NULL);
    size_t layer = 0;
    for (const struct family_param *p = f->layer; p->name != NULL; p++) {
        layer += count_of(c, p);
    }
    return count_of(c, &f->before) + (size_t)c->layers * layer + count_of(c, &f->after) +
           (c->tied ? 0 : count_of(c, &f->head));
}

// name = format with the layer for its "%d". Formats come from the family table.
static void write_name(char *name, size_t size, const char *format, int32_t layer)
{
    const char *mark = strstr(format, "%d");
    int n = mark == NULL
                ? snprintf(name, size, "%s", format)
                : snprintf(name, size, "%.*s%d%s", (int)(mark - format), format, layer, mark + 2);
    CHECK(n > 0 && (size_t)n < size);
}

static void add_param(struct param_table *t, const struct model_config *c,
                      const struct family_param *fp, int32_t layer)
{
    if (t->first[fp->kind] < 0) {
        t->first[fp->kind] = (int)t->n;
    }
    struct param *p = &t->params[t->n++];
    write_name(p->name, sizeof p->name, fp->name, layer);
    write_name(p->gguf, sizeof p->gguf, fp->gguf, layer);
    p->kind = fp->kind;
    p->vector = fp->rows == DIM_ONE;
    p->layer = layer;
    p->rows = family_dim(c, fp->rows);
    p->cols = family_dim(c, fp->cols);
    p->count = p->rows * p->cols;
    p->offset = t->total;
    t->total += p->count;
}

enum err param_table_create(const struct model_config *c, struct param_table *out, struct why *why)
{
    enum err e = model_config_check(c, "model config", why);
    if (e != ERR_OK) {
        return e;
    }
    const struct family *f = family_find(c->family);
    size_t per_layer = family_layer_count(f);
    size_t n = 2 + (size_t)c->layers * per_layer + (c->tied ? 0 : 1);
    struct param_table t = {.params = calloc(n, sizeof *t.params), .per_layer = per_layer};
    if (t.params == NULL) {
        return why_set(why, ERR_NOMEM, "parameter table of %zu entries: out of memory", n);
    }
    for (size_t i = 0; i < PARAM_KINDS; i++) {
        t.first[i] = -1;
    }
    add_param(&t, c, &f->before, -1);
    for (int32_t l = 0; l < c->layers; l++) {
        for (size_t i = 0; i < per_layer; i++) {
            add_param(&t, c, &f->layer[i], l);
        }
    }
    add_param(&t, c, &f->after, -1);
    if (!c->tied) {
        add_param(&t, c, &f->head, -1);
    }
    CHECK(t.n == n && t.total == param_total(c));
    *out = t;
    return ERR_OK;
}

void param_table_destroy(struct param_table *t)
{
    free(t->params);
    *t = (struct param_table){0};
}

int param_table_find(const struct param_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->params[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const struct param *param_table_at(const struct param_table *t, enum param_kind kind, size_t layer)
{
    if (t->first[kind] < 0) {
        return NULL;
    }
    const struct param *p = &t->params[(size_t)t->first[kind] + layer * t->per_layer];
    CHECK(p < t->params + t->n && p->kind == kind);
    return p;
}

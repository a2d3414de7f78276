// tally.c: a short list, searched from its beginning.
#include "cli/tally.h"

#include <stdlib.h>
#include <string.h>

void tally_add(struct tally *t, const char *text, size_t len)
{
    for (size_t i = 0; i < t->len; i++) {
        struct tally_entry *e = &t->entries[i];
        if (strncmp(e->text, text, len) == 0 && e->text[len] == '\0') {
            e->n++;
            return;
        }
    }
    char *copy = t->len < TALLY_MAX ? strndup(text, len) : NULL;
    if (!copy) {
        t->others++;
        return;
    }
    t->entries[t->len] = (struct tally_entry){.text = copy, .n = 1, .order = t->len};
    t->len++;
}

static int more_frequent_first(const void *pa, const void *pb)
{
    const struct tally_entry *a = pa, *b = pb;
    if (a->n != b->n) {
        return a->n < b->n ? 1 : -1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

void tally_print(struct tally *t, size_t most, FILE *out)
{
    size_t left = t->others;
    qsort(t->entries, t->len, sizeof *t->entries, more_frequent_first);
    for (size_t i = 0; i < t->len; i++) {
        if (i < most) {
            fprintf(out, "%8zu  %s\n", t->entries[i].n, t->entries[i].text);
        } else {
            left += t->entries[i].n;
        }
    }
    if (left > 0) {
        fprintf(out, "%8zu  (others)\n", left);
    }
}

void tally_fini(struct tally *t)
{
    for (size_t i = 0; i < t->len; i++) {
        free(t->entries[i].text);
    }
    *t = (struct tally){0};
}

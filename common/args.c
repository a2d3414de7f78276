// args.c: the parser behind args.h.
//
// getopt is not used because its complaints do not say what was expected, and because options,
// their ranges and their help would then stand in three places.
#include "common/args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct arg *find(const struct arg *args, const char *name, size_t len)
{
    for (const struct arg *a = args; a->name; a++) {
        if (strlen(a->name) == len && memcmp(a->name, name, len) == 0) {
            return a;
        }
    }
    return NULL;
}

static enum err set_int(const struct arg *a, const char *text, int64_t *out, struct why *why)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    const char *first = text + (text[0] == '-');
    bool digits = *first >= '0' && *first <= '9';
    if (errno || !digits || *end || (double)v < a->min || (double)v > a->max) {
        return why_set(why, ERR_INVALID, "--%s: '%s' is not an integer in %.0f..%.0f", a->name,
                       text, a->min, a->max);
    }
    *out = v;
    return ERR_OK;
}

static enum err set_num(const struct arg *a, const char *text, double *out, struct why *why)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno || end == text || *end || !isfinite(v) || v < a->min || v > a->max) {
        return why_set(why, ERR_INVALID, "--%s: '%s' is not a number in %g..%g", a->name, text,
                       a->min, a->max);
    }
    *out = v;
    return ERR_OK;
}

static enum err set(const struct arg *a, const char *text, void *options, struct why *why)
{
    void *at = (char *)options + a->offset;
    struct arg_list *list = at;
    switch (a->kind) {
    case ARG_FLAG:
        *(bool *)at = true;
        return ERR_OK;
    case ARG_TEXT:
        *(const char **)at = text;
        return ERR_OK;
    case ARG_INT:
        return set_int(a, text, at, why);
    case ARG_NUM:
        return set_num(a, text, at, why);
    case ARG_LIST:
        if (list->n == ARGS_LIST) {
            return why_set(why, ERR_INVALID, "--%s: more than %d of them", a->name, ARGS_LIST);
        }
        list->v[list->n++] = text;
        return ERR_OK;
    }
    return ERR_INVALID;
}

// One option at argv[*i]; takes the next word as its value where it needs one.
static enum err take_option(const struct args_spec *s, int argc, char **argv, int *i, void *options,
                            struct why *why)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct arg *a = find(s->args, name, len);
    if (!a) {
        return why_set(why, ERR_INVALID, "unknown option --%.*s", (int)len, name);
    }
    if (a->kind == ARG_FLAG) {
        return equals ? why_set(why, ERR_INVALID, "--%s takes no value", a->name)
                      : set(a, NULL, options, why);
    }
    if (equals) {
        return set(a, equals + 1, options, why);
    }
    if (*i + 1 == argc) {
        return why_set(why, ERR_INVALID, "--%s: a value is missing (%s)", a->name, a->value);
    }
    return set(a, argv[++*i], options, why);
}

enum err args_read(const struct args_spec *s, int argc, char **argv, void *options,
                   struct words *words, bool *help, struct why *why)
{
    bool options_over = false;
    *words = (struct words){0};
    *help = false;
    for (int i = 1; i < argc; i++) {
        const char *w = argv[i];
        enum err e = ERR_OK;
        if (!options_over && (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0)) {
            *help = true;
            return ERR_OK;
        }
        if (!options_over && strcmp(w, "--") == 0) {
            options_over = true;
        } else if (!options_over && w[0] == '-' && w[1] == '-') {
            e = take_option(s, argc, argv, &i, options, why);
        } else if (words->n == s->max_words || words->n == ARGS_WORDS) {
            e = why_set(why, ERR_INVALID, "'%s' is one word too many", w);
        } else {
            words->v[words->n++] = w;
        }
        if (e) {
            return e;
        }
    }
    return words->n >= s->min_words
               ? ERR_OK
               : why_set(why, ERR_INVALID, "too few words; usage: %s", s->usage);
}

enum err args_describe(const struct arg *args, struct buf *out)
{
    enum err e = ERR_OK;
    for (const struct arg *a = args; a->name && !e; a++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", a->name, a->value ? " " : "",
                 a->value ? a->value : "");
        e = buf_printf(out, "  %-24s %s\n", left, a->help);
    }
    return e;
}

int args_main(const struct args_spec *s, const char *about, int argc, char **argv, void *options,
              FILE *out, FILE *err)
{
    struct words words;
    struct why why = {""};
    bool help = false;
    int name = (int)strcspn(s->usage, " ");
    if (args_read(s, argc, argv, options, &words, &help, &why)) {
        fprintf(err, "%.*s: %s\n(%.*s --help says more)\n", name, s->usage, why.text, name,
                s->usage);
        return 2;
    }
    if (!help) {
        return -1;
    }
    struct buf lines;
    buf_init(&lines, 1 << 16);
    enum err e = args_describe(s->args, &lines);
    fprintf(out, "usage: %s\n%s\n\n%s", s->usage, about,
            e || !lines.data ? "" : (char *)lines.data);
    buf_fini(&lines);
    return 0;
}

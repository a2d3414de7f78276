// args.c: the parser behind args.h.
//
// getopt is not used because its complaints do not say what was expected, and because options,
// their ranges and their help would then stand in three places.
#include "cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_complain(const struct command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "caravan %s: ", c->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n(caravan %s --help says more)\n", c->name);
    va_end(ap);
    return CLI_USAGE;
}

int cli_fail(const struct command *c, const struct why *why)
{
    fflush(stdout);
    fprintf(stderr, "caravan %s: %s\n", c->name, why->text);
    return CLI_FAILED;
}

void args_help(const struct command *c)
{
    printf("usage: caravan %s %s\n\n%s\n", c->name, c->synopsis, c->help);
    if (c->more) {
        printf("%s\n", c->more);
    }
    for (const struct arg *a = c->args; a->name; a++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", a->name, a->value ? " " : "",
                 a->value ? a->value : "");
        printf("%s  %-24s %s\n", a == c->args ? "\n" : "", left, a->help);
    }
}

static const struct arg *find(const struct command *c, const char *name, size_t len)
{
    for (const struct arg *a = c->args; a->name; a++) {
        if (strlen(a->name) == len && memcmp(a->name, name, len) == 0) {
            return a;
        }
    }
    return NULL;
}

static int set_int(const struct command *c, const struct arg *a, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool digits =
        text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9';
    if (errno || !digits || *end || (double)v < a->min || (double)v > a->max) {
        return cli_complain(c, "--%s: '%s' is not an integer in %.0f..%.0f", a->name, text, a->min,
                            a->max);
    }
    *out = v;
    return -1;
}

static int set_num(const struct command *c, const struct arg *a, const char *text, double *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno || end == text || *end || !isfinite(v) || v < a->min || v > a->max) {
        return cli_complain(c, "--%s: '%s' is not a number in %g..%g", a->name, text, a->min,
                            a->max);
    }
    *out = v;
    return -1;
}

static int set(const struct command *c, const struct arg *a, const char *text, void *options)
{
    void *at = (char *)options + a->offset;
    struct arg_list *list = at;
    switch (a->kind) {
    case ARG_FLAG:
        *(bool *)at = true;
        return -1;
    case ARG_TEXT:
        *(const char **)at = text;
        return -1;
    case ARG_INT:
        return set_int(c, a, text, at);
    case ARG_NUM:
        return set_num(c, a, text, at);
    case ARG_LIST:
        if (list->n == ARGS_LIST) {
            return cli_complain(c, "--%s: more than %d of them", a->name, ARGS_LIST);
        }
        list->v[list->n++] = text;
        return -1;
    }
    return CLI_USAGE;
}

// One option at argv[*i]; takes the next word as its value where it needs one.
static int take_option(const struct command *c, int argc, char **argv, int *i, void *options)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct arg *a = find(c, name, len);
    if (!a) {
        return cli_complain(c, "unknown option --%.*s", (int)len, name);
    }
    if (a->kind == ARG_FLAG) {
        return equals ? cli_complain(c, "--%s takes no value", a->name) : set(c, a, NULL, options);
    }
    if (equals) {
        return set(c, a, equals + 1, options);
    }
    if (*i + 1 == argc) {
        return cli_complain(c, "--%s: a value is missing (%s)", a->name, a->value);
    }
    return set(c, a, argv[++*i], options);
}

int args_parse(const struct command *c, int argc, char **argv, void *options, struct words *words)
{
    bool options_over = false;
    *words = (struct words){0};
    for (int i = 1; i < argc; i++) {
        const char *w = argv[i];
        if (!options_over && (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0)) {
            args_help(c);
            return CLI_OK;
        }
        if (!options_over && strcmp(w, "--") == 0) {
            options_over = true;
        } else if (!options_over && w[0] == '-' && w[1] == '-') {
            int rc = take_option(c, argc, argv, &i, options);
            if (rc >= 0) {
                return rc;
            }
        } else if (words->n == c->max_words || words->n == ARGS_WORDS) {
            return cli_complain(c, "'%s' is one word too many", w);
        } else {
            words->v[words->n++] = w;
        }
    }
    if (words->n < c->min_words) {
        return cli_complain(c, "too few words; usage: caravan %s %s", c->name, c->synopsis);
    }
    return -1;
}

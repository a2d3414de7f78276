// args.c: what a command says: complaints, failures, help.
#include "cli/args.h"

#include <stdarg.h>
#include <stdio.h>

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
    struct buf lines;
    buf_init(&lines, 1 << 16);
    printf("usage: caravan %s %s\n\n%s\n", c->name, c->synopsis, c->help);
    if (c->more) {
        printf("%s\n", c->more);
    }
    if (args_describe(c->args, &lines) == ERR_OK && lines.len) {
        printf("\n%s", (const char *)lines.data);
    }
    buf_fini(&lines);
}

int args_parse(const struct command *c, int argc, char **argv, void *options, struct words *words)
{
    char usage[512];
    struct why why = {""};
    bool help = false;
    snprintf(usage, sizeof usage, "caravan %s %s", c->name, c->synopsis);
    struct args_spec s = {c->args, c->min_words, c->max_words, usage};
    if (args_read(&s, argc, argv, options, words, &help, &why)) {
        return cli_complain(c, "%s", why.text);
    }
    if (help) {
        args_help(c);
        return CLI_OK;
    }
    return -1;
}

// cmd_config.c: the commented manual of the configuration, and a check of a file against it.
//
// --print writes every key with type, range, unit, default and help as a YAML file that parses to
// the defaults. --check reads a file and the overrides as `caravan run` would, says what is wrong
// with file, line and key, and starts nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/settings.h"

struct options {
    bool print;
    const char *check;
    struct arg_list set;
};

static const struct arg args[] = {
    {"print", ARG_FLAG, offsetof(struct options, print), 0, 0, NULL,
     "write every key with its range, default and meaning, as YAML"},
    {"check", ARG_TEXT, offsetof(struct options, check), 0, 0, "FILE",
     "read FILE and print the configuration that a run would use"},
    {"set", ARG_LIST, offsetof(struct options, set), 0, 0, "KEY=VALUE",
     "override one key of FILE, as often as you like"},
    {0},
};

static int print_text(const struct command *self, char *text)
{
    struct why why;
    bool ok = text && fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    free(text);
    if (!ok) {
        (void)why_set(&why, ERR_IO, "cannot write the configuration");
        return cli_fail(self, &why);
    }
    return CLI_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    struct words words;
    struct why why;
    struct conf c;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (o.print == (o.check != NULL)) {
        return cli_complain(self, "give --print or --check FILE");
    }
    if (o.print) {
        return print_text(self, conf_manual());
    }
    if (settings_from_file(o.check, &o.set, &c, &why)) {
        return cli_fail(self, &why);
    }
    return print_text(self, conf_print(&c));
}

const struct command cmd_config = {
    .name = "config",
    .synopsis = "--print | --check FILE [--set KEY=VALUE]…",
    .help = "the commented manual of all settings; check a file",
    .args = args,
    .run = run,
};

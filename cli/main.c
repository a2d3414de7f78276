// main.c: caravan, the command line over the three daemons.
//
// A command is a row: name, synopsis, one line of help, options, function. Whoever adds a command
// writes cmd_NAME.c and names it here.
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "common/log.h"

static const struct {
    const char *title;
    const struct command *commands[8];
} groups[] = {
    {"train", {&cmd_run, &cmd_config, &cmd_tasks, &cmd_data}},
    {"look", {&cmd_status, &cmd_top, &cmd_samples, &cmd_audit, &cmd_model}},
    {"verifiers of your own", {&cmd_verifier}},
    {"use the result", {&cmd_eval, &cmd_export}},
    {"measure", {&cmd_bench}},
    {"for scripts (JSON lines on stdin, one answer line each on stdout, in the same order)",
     {&cmd_tokenize, &cmd_detokenize, &cmd_logprobs, &cmd_generate, &cmd_verify}},
};

static void overview(FILE *to)
{
    fprintf(to, "caravan: reinforcement learning with verifiable rewards\n");
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        fprintf(to, "\n%s\n", groups[g].title);
        for (size_t i = 0; groups[g].commands[i]; i++) {
            const struct command *c = groups[g].commands[i];
            fprintf(to, "  %-12s %s\n", c->name, c->help);
        }
    }
    fprintf(to, "\ncaravan COMMAND --help shows a command's options.\n");
}

static const struct command *find(const char *name)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        for (size_t i = 0; groups[g].commands[i]; i++) {
            if (strcmp(groups[g].commands[i]->name, name) == 0) {
                return groups[g].commands[i];
            }
        }
    }
    return NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
    log_setup("caravan", LOG_LEVEL_WARN);
    if (argc < 2) {
        overview(stderr);
        return CLI_USAGE;
    }
    if (is_help(argv[1])) {
        const struct command *asked = argc > 2 ? find(argv[2]) : NULL;
        if (asked) {
            args_help(asked);
        } else {
            overview(stdout);
        }
        return CLI_OK;
    }
    const struct command *c = find(argv[1]);
    if (!c) {
        fprintf(stderr, "caravan: unknown command '%s'; caravan help lists them\n", argv[1]);
        return CLI_USAGE;
    }
    return c->run(c, argc - 1, argv + 1);
}

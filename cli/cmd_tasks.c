// cmd_tasks.c: writes procedural tasks as RLVR JSONL.
//
// A line holds messages, ground_truth, dataset and kind: the form that data.train reads, so the
// output is also the pattern for a file of one's own. Kind and seed decide the rows: the same
// command writes the same file. --held-out writes the tasks that training never draws.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "learner/taskgen.h"

struct options {
    const char *kind;
    int64_t n, seed;
    bool held_out;
};

static const struct arg args[] = {
    {"kind", ARG_TEXT, offsetof(struct options, kind), 0, 0, "KIND",
     "math, constraints or mixed (default mixed)"},
    {"n", ARG_INT, offsetof(struct options, n), 1, 1e9, "N", "how many (default 100)"},
    {"seed", ARG_INT, offsetof(struct options, seed), 0, 9e18, "S",
     "the same seed gives the same tasks (default 1)"},
    {"held-out", ARG_FLAG, offsetof(struct options, held_out), 0, 0, NULL,
     "from the part of the prompts that training never uses"},
    {0},
};

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.kind = "mixed", .n = 100, .seed = 1};
    struct words words;
    struct why why;
    enum taskgen_kind kind;
    struct buf line;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (taskgen_kind_parse(o.kind, &kind, &why)) {
        return cli_complain(self, "--kind: %s", why.text);
    }
    buf_init(&line, 1 << 16);
    enum err e = ERR_OK;
    for (int64_t i = 0; i < o.n && !e; i++) {
        struct taskgen_row row;
        taskgen_make(kind, (uint64_t)o.seed, (uint64_t)i, o.held_out, &row);
        buf_clear(&line);
        e = taskgen_print(&row, &line);
        if (!e && fwrite(line.data, 1, line.len, stdout) != line.len) {
            e = ERR_IO;
        }
    }
    buf_fini(&line);
    if (!e && fflush(stdout)) {
        e = ERR_IO;
    }
    if (e) {
        (void)why_set(&why, e, "writing tasks: %s", err_text(e));
        return cli_fail(self, &why);
    }
    return CLI_OK;
}

const struct command cmd_tasks = {
    .name = "tasks",
    .synopsis = "[--kind KIND] [--n N] [--seed S] [--held-out]",
    .help = "write procedural tasks as RLVR JSONL",
    .more = "Each line: messages, ground_truth, dataset, kind. A file of your own in this format "
            "goes into data.train.",
    .args = args,
    .run = run,
};

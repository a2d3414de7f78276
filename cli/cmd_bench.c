// cmd_bench.c: `caravan bench WHAT`: what things cost on this machine.
//
// Each bench is a command of its own with options and help; `caravan bench` finds it by the next
// word. bench.h says what they share.
#include <string.h>

#include "cli/bench.h"
#include "cli/commands.h"

static const struct arg no_args[] = {{0}};

static int run(const struct command *self, int argc, char **argv)
{
    static const struct command *const parts[] = {&bench_decode, &bench_prefill, &bench_train,
                                                  &bench_step,   &bench_verify,  &bench_sync};
    struct words words;
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(parts); i++) {
        if (strcmp(argv[1], strchr(parts[i]->name, ' ') + 1) == 0) {
            return parts[i]->run(parts[i], argc - 1, argv + 1);
        }
    }
    int rc = args_parse(self, argc, argv, NULL, &words);
    return rc >= 0
               ? rc
               : cli_complain(self, "'%s', expected decode, prefill, train, step, verify or sync",
                              words.v[0]);
}

const struct command cmd_bench = {
    .name = "bench",
    .synopsis = "decode | prefill | train | step | verify | sync",
    .help = "measure decoding, training, whole steps and verdicts on this machine",
    .more = "  decode    tokens a second of the engine that actors run\n"
            "  prefill   tokens a second at which prompts are read, or scored\n"
            "  train     what an optimiser step of the learner costs\n"
            "  step      seconds a step of a whole run, all daemons at work\n"
            "  verify    verdicts a second of the sandboxed pool, and how long one takes\n"
            "  sync      from the end of an optimiser step to the first token under new weights\n"
            "\ncaravan bench decode --help says more, and so do the others.",
    .args = no_args,
    .min_words = 1,
    .max_words = ARGS_WORDS,
    .run = run,
};

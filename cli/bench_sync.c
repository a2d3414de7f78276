// bench_sync.c: `caravan bench sync`: from the end of an optimiser step to the first token under the
// new weights.
//
// That takes two processes, a learner's side that publishes and an actor's that decodes. The program
// that plays both, sync_bench, is built with the tests; this command finds it beside caravan and
// becomes it, words and options unchanged.
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"
#include "common/fs.h"

static int run(const struct command *self, int argc, char **argv)
{
    char here[PATH_MAX];
    struct why why = {""};
    (void)argc;
    ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    if (n <= 0) {
        (void)why_set(&why, ERR_IO, "/proc/self/exe: %m");
        return cli_fail(self, &why);
    }
    here[n] = '\0';
    char *slash = strrchr(here, '/');
    *slash = '\0';
    char *program = fs_path("%s/sync_bench", here);
    if (!program) {
        (void)why_set(&why, ERR_NOMEM, "out of memory");
        return cli_fail(self, &why);
    }
    argv[0] = "sync_bench";
    execv(program, argv);
    (void)why_set(&why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                  "%s: %m; it comes with the tests: cmake -DCARAVAN_TESTS=ON, ninja sync_bench",
                  program);
    free(program);
    return cli_fail(self, &why);
}

static const struct arg no_args[] = {{0}};

const struct command bench_sync = {
    .name = "bench sync",
    .synopsis = "[options of sync_bench]",
    .help = "from the end of an optimiser step to the first token under new weights",
    .more = "Runs sync_bench, which is built with the tests, with the options given here.",
    .args = no_args,
    .max_words = ARGS_WORDS,
    .run = run,
};

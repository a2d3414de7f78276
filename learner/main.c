// main.c: caravan-learner: reads the command line, opens the run, serves it, says why it ended.
//
// Exit status: 0 the run is complete, 130 stopped (it can be resumed), 1 an error (said on stderr),
// 2 a wrong command line.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "learner/service.h"

static const char usage[] =
    "usage: caravan-learner --config FILE [--set KEY=VALUE]...\n"
    "       caravan-learner --resume RUN_DIR [--branch] [--config FILE] [--set KEY=VALUE]...\n"
    "Owns a run: prompts, ledger, optimiser, policy. Actors and verifiers connect to it. `caravan "
    "run` starts all of them.\n\n"
    "  --config FILE    the run's configuration (caravan config --print writes the manual)\n"
    "  --set KEY=VALUE  overrides one key, for example --set optim.lr=1e-5\n"
    "  --resume DIR     goes on with the run in DIR, with its own configuration unless --config is "
    "given\n"
    "  --branch         with --resume: from the newest checkpoint as a new branch, when this "
    "machine cannot reproduce the recorded weights\n";

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'}, {"set", required_argument, NULL, 's'},
    {"resume", required_argument, NULL, 'r'}, {"branch", no_argument, NULL, 'b'},
    {"help", no_argument, NULL, 'h'},         {0},
};

struct arguments {
    const char *config, *resume;
    bool branch;
    const char *set[128];
    size_t n_set;
};

static bool parse(int argc, char **argv, struct arguments *a)
{
    for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (c == 'c') {
            a->config = optarg;
        } else if (c == 'r') {
            a->resume = optarg;
        } else if (c == 'b') {
            a->branch = true;
        } else if (c == 's' && a->n_set < ARRAY_LEN(a->set)) {
            a->set[a->n_set++] = optarg;
        } else if (c == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else {
            return false;
        }
    }
    return optind == argc && (a->config || a->resume) && (!a->branch || a->resume);
}

static enum err override(struct conf *c, const char *assignment, struct why *why)
{
    char key[128];
    const char *eq = strchr(assignment, '=');
    if (!eq || (size_t)(eq - assignment) >= sizeof key) {
        return why_set(why, ERR_INVALID, "--set %s: expected KEY=VALUE", assignment);
    }
    memcpy(key, assignment, (size_t)(eq - assignment));
    key[eq - assignment] = '\0';
    return conf_set(c, key, eq + 1, "--set", why);
}

static enum err read_conf(const struct arguments *a, struct conf *c, struct why *why)
{
    conf_defaults(c);
    enum err e = a->config ? conf_load(a->config, c, why) : run_stored_conf(a->resume, c, why);
    for (size_t i = 0; !e && i < a->n_set; i++) {
        e = override(c, a->set[i], why);
    }
    if (!e && a->resume) {
        e = conf_set(c, "run_dir", a->resume, "--resume", why);
    }
    if (!e && !c->run_dir[0]) {
        e = why_set(why, ERR_INVALID,
                    "run_dir: is empty; name the run's folder in the configuration or with --set "
                    "run_dir=DIR");
    }
    return e ? e : conf_check(c, a->config ? a->config : "configuration", why);
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    if (!parse(argc, argv, &a)) {
        fputs(usage, stderr);
        return 2;
    }
    log_setup("learner", LOG_LEVEL_INFO);
    struct conf conf;
    struct run run = {.lock_fd = -1};
    struct why why = {0};
    enum err e = read_conf(&a, &conf, &why);
    e = e ? e
          : run_open(&conf,
                     !a.resume  ? RUN_START
                     : a.branch ? RUN_BRANCH
                                : RUN_RESUME,
                     &run, &why);
    bool opened = !e;
    e = e ? e : learner_service_run(&run, &why);
    if (e && e != ERR_CANCELLED) {
        LOG_ERROR("LEARNER_FAILED", "cause=\"%s\"", why.text);
        return 1;
    }
    if (opened) {
        run_close(&run);
    }
    return e ? 130 : 0;
}

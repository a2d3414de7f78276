// main.c: caravan-learner: reads the command line, opens the run, serves it, says why it ended.
//
// Exit status: 0 the run is complete, 130 stopped (it can be resumed), 1 an error (said on stderr),
// 2 a wrong command line.
#include <stdio.h>
#include <string.h>

#include "common/args.h"
#include "common/log.h"
#include "learner/service.h"

struct options {
    const char *config, *resume;
    bool branch;
    struct arg_list set;
};

static const struct arg args[] = {
    {"config", ARG_TEXT, offsetof(struct options, config), 0, 0, "FILE",
     "the run's configuration (caravan config --print writes the manual)"},
    {"set", ARG_LIST, offsetof(struct options, set), 0, 0, "KEY=VALUE",
     "overrides one key, for example --set optim.lr=1e-5; may be given again"},
    {"resume", ARG_TEXT, offsetof(struct options, resume), 0, 0, "DIR",
     "goes on with the run in DIR, with its own configuration unless --config is given"},
    {"branch", ARG_FLAG, offsetof(struct options, branch), 0, 0, NULL,
     "with --resume: from the newest checkpoint as a new branch, when this machine cannot "
     "reproduce the recorded weights"},
    {0},
};

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

static enum err read_conf(const struct options *a, struct conf *c, struct why *why)
{
    conf_defaults(c);
    enum err e = a->config ? conf_load(a->config, c, why) : run_stored_conf(a->resume, c, why);
    for (size_t i = 0; !e && i < a->set.n; i++) {
        e = override(c, a->set.v[i], why);
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
    static const struct args_spec spec = {
        args, 0, 0, "caravan-learner --config FILE | --resume DIR [--branch] [--set KEY=VALUE]..."};
    struct options o = {0};
    int rc = args_main(&spec,
                       "Owns a run: prompts, ledger, optimiser, policy. Actors and verifiers "
                       "connect to it. `caravan run` starts all of them.",
                       argc, argv, &o, stdout, stderr);
    if (rc >= 0) {
        return rc;
    }
    if ((!o.config && !o.resume) || (o.branch && !o.resume)) {
        fprintf(stderr, "caravan-learner: expected --config FILE or --resume DIR%s\n",
                o.branch ? " (--branch goes with --resume)" : "");
        return 2;
    }
    log_setup("learner", LOG_LEVEL_INFO);
    struct conf conf;
    // Static: threads of a service that could not start still look at it while the process exits.
    static struct run run = {.lock_fd = -1};
    struct why why = {""};
    enum run_mode mode = !o.resume ? RUN_START : o.branch ? RUN_BRANCH : RUN_RESUME;
    enum err e = read_conf(&o, &conf, &why);
    e = e ? e : run_open(&conf, mode, &run, &why);
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

// main.c: caravan-verifier: reads the command line, runs the service, says why it ended.
#include <stdio.h>
#include <string.h>

#include "common/args.h"
#include "common/log.h"
#include "verifier/service.h"

struct options {
    const char *connect, *http, *name, *sandbox, *worker_binary, *token_file, *plugins;
    int64_t workers, deadline_ms, recycle_jobs;
};

static const struct arg args[] = {
    {"connect", ARG_TEXT, offsetof(struct options, connect), 0, 0, "ADDRESS",
     "ipc://PATH or tcp://HOST:PORT of the learner"},
    {"http", ARG_TEXT, offsetof(struct options, http), 0, 0, "HOST:PORT",
     "serve POST /score, /status, /metrics, /checks and /healthz there, with or without --connect"},
    {"name", ARG_TEXT, offsetof(struct options, name), 0, 0, "NAME",
     "shown on /status (default: verifier)"},
    {"workers", ARG_INT, offsetof(struct options, workers), 0, 256, "N",
     "worker processes, 0 = cores (default 0)"},
    {"sandbox", ARG_TEXT, offsetof(struct options, sandbox), 0, 0, "LEVEL",
     "auto, full, seccomp or none (default auto: the best that works, never none)"},
    {"deadline-ms", ARG_INT, offsetof(struct options, deadline_ms), 1, 3600000, "N",
     "wall time of one job, then SIGKILL (default 5000)"},
    {"recycle-jobs", ARG_INT, offsetof(struct options, recycle_jobs), 1, 1e9, "N",
     "a worker is replaced after so many jobs (default 1000)"},
    {"worker-binary", ARG_TEXT, offsetof(struct options, worker_binary), 0, 0, "PATH",
     "default: caravan-verify-worker beside this program"},
    {"plugins", ARG_TEXT, offsetof(struct options, plugins), 0, 0, "DIR",
     "folder of verifiers of your own, watched while running (default: none)"},
    {"token-file", ARG_TEXT, offsetof(struct options, token_file), 0, 0, "FILE",
     "shared secret, needed when the learner is not on this machine or --http is not loopback"},
    {0},
};

int main(int argc, char **argv)
{
    static const struct args_spec spec = {args, 0, 0,
                                          "caravan-verifier --connect ADDRESS | --http HOST:PORT "
                                          "[options]"};
    struct options o = {.connect = "",
                        .http = "",
                        .name = "verifier",
                        .sandbox = "auto",
                        .worker_binary = "",
                        .token_file = "",
                        .plugins = "",
                        .deadline_ms = 5000,
                        .recycle_jobs = 1000};
    int rc =
        args_main(&spec,
                  "Scores responses in sandboxed workers, for a caravan-learner or for whoever "
                  "asks over HTTP. Start as many as you like, anywhere, any time.",
                  argc, argv, &o, stdout, stderr);
    if (rc >= 0) {
        return rc;
    }
    struct verifier_options v = {.connect = o.connect,
                                 .http = o.http,
                                 .name = o.name,
                                 .token_file = o.token_file,
                                 .plugins = o.plugins,
                                 .worker_binary = o.worker_binary,
                                 .workers = (uint32_t)o.workers,
                                 .deadline_ms = (uint32_t)o.deadline_ms,
                                 .recycle_jobs = (uint32_t)o.recycle_jobs};
    if (!o.connect[0] && !o.http[0]) {
        fprintf(stderr, "caravan-verifier: --connect ADDRESS or --http HOST:PORT is missing\n");
        return 2;
    }
    if (!conf_sandbox_parse(o.sandbox, &v.sandbox)) {
        fprintf(stderr, "caravan-verifier: --sandbox: '%s' is none of auto, full, seccomp, none\n",
                o.sandbox);
        return 2;
    }
    struct why why = {""};
    log_setup(o.name, LOG_LEVEL_INFO);
    if (verifier_service_run(&v, &why)) {
        LOG_ERROR("VERIFIER_FAILED", "cause=\"%s\"", why.text);
        return 1;
    }
    return 0;
}

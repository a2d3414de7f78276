// main.c: caravan-actor: reads the command line, runs the service, says why it ended.
#include <stdio.h>
#include <string.h>

#include "actor/service.h"
#include "common/args.h"
#include "common/log.h"

struct options {
    const char *connect, *name, *token_file, *device, *http, *slab;
    int64_t threads, slots, kv_mb, prefill_rows;
};

static const struct arg args[] = {
    {"connect", ARG_TEXT, offsetof(struct options, connect), 0, 0, "ADDRESS",
     "ipc://PATH or tcp://HOST:PORT of the learner"},
    {"name", ARG_TEXT, offsetof(struct options, name), 0, 0, "NAME",
     "shown on /status (default: actor)"},
    {"http", ARG_TEXT, offsetof(struct options, http), 0, 0, "WHERE",
     "serve /status, /metrics and /healthz at HOST:PORT or on the unix socket PATH/NAME"},
    {"threads", ARG_INT, offsetof(struct options, threads), 0, 256, "N",
     "compute threads, 0 = all cores (default 0)"},
    {"slots", ARG_INT, offsetof(struct options, slots), 1, 4096, "N",
     "samples decoded at once (default 64)"},
    {"kv-mb", ARG_INT, offsetof(struct options, kv_mb), 1, 1 << 20, "N",
     "KV cache in MiB (default 320)"},
    {"prefill-rows", ARG_INT, offsetof(struct options, prefill_rows), 1, 8192, "N",
     "prompt tokens per pass (default 256)"},
    {"token-file", ARG_TEXT, offsetof(struct options, token_file), 0, 0, "FILE",
     "shared secret, needed when the learner is not on this machine"},
    {"device", ARG_TEXT, offsetof(struct options, device), 0, 0, "KIND",
     "cpu, cpu-portable, cpu-avx2, cpu-avx512, cuda (default cpu)"},
    {"slab", ARG_TEXT, offsetof(struct options, slab), 0, 0, "auto|off",
     "map the learner's weights where it runs on this machine, or always fetch them (default "
     "auto)"},
    {0},
};

int main(int argc, char **argv)
{
    static const struct args_spec spec = {args, 0, 0, "caravan-actor --connect ADDRESS [options]"};
    struct options o = {.connect = "",
                        .name = "actor",
                        .token_file = "",
                        .device = "cpu",
                        .http = "",
                        .slab = "auto",
                        .slots = 64,
                        .kv_mb = 320,
                        .prefill_rows = 256};
    int rc = args_main(&spec,
                       "Generates rollouts for a caravan-learner. Start as many as you like, "
                       "anywhere, any time.",
                       argc, argv, &o, stdout, stderr);
    if (rc >= 0) {
        return rc;
    }
    if (!o.connect[0]) {
        fprintf(stderr, "caravan-actor: --connect ADDRESS is missing\n");
        return 2;
    }
    if (strcmp(o.slab, "auto") != 0 && strcmp(o.slab, "off") != 0) {
        fprintf(stderr, "caravan-actor: --slab: value '%s', expected auto or off\n", o.slab);
        return 2;
    }
    struct actor_options a = {.connect = o.connect,
                              .name = o.name,
                              .token_file = o.token_file,
                              .device = o.device,
                              .http = o.http,
                              .threads = (int)o.threads,
                              .slabs = strcmp(o.slab, "auto") == 0,
                              .slots = (size_t)o.slots,
                              .prefill_rows = (size_t)o.prefill_rows,
                              .kv_bytes = (size_t)o.kv_mb << 20};
    struct why why = {""};
    log_setup(o.name, LOG_LEVEL_INFO);
    if (actor_service_run(&a, &why)) {
        LOG_ERROR("ACTOR_FAILED", "cause=\"%s\"", why.text);
        return 1;
    }
    return 0;
}

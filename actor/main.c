// main.c: caravan-actor: reads the command line, runs the service, says why it ended.
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/service.h"
#include "common/log.h"

static const char usage[] =
    "usage: caravan-actor --connect ADDRESS [options]\n"
    "Generates rollouts for a caravan-learner. Start as many as you like, anywhere, any time.\n\n"
    "  --connect ADDRESS    ipc://PATH or tcp://HOST:PORT of the learner\n"
    "  --name NAME          shown on /status (default: actor)\n"
    "  --threads N          compute threads, 0 = all cores (default 0)\n"
    "  --slots N            samples decoded at once (default 64)\n"
    "  --kv-mb N            KV cache in MiB (default 320)\n"
    "  --prefill-rows N     prompt tokens per pass (default 256)\n"
    "  --token-file FILE    shared secret, needed when the learner is not on this machine\n"
    "  --device KIND        cpu, cpu-portable, cpu-avx2, cpu-avx512, cuda (default cpu)\n";

enum {
    OPT_CONNECT = 256,
    OPT_NAME,
    OPT_THREADS,
    OPT_SLOTS,
    OPT_KV,
    OPT_PREFILL,
    OPT_TOKEN,
    OPT_DEVICE
};

static const struct option long_options[] = {
    {"connect", required_argument, NULL, OPT_CONNECT},
    {"name", required_argument, NULL, OPT_NAME},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"slots", required_argument, NULL, OPT_SLOTS},
    {"kv-mb", required_argument, NULL, OPT_KV},
    {"prefill-rows", required_argument, NULL, OPT_PREFILL},
    {"token-file", required_argument, NULL, OPT_TOKEN},
    {"device", required_argument, NULL, OPT_DEVICE},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static long number(const char *option, const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < min || v > max) {
        fprintf(stderr, "caravan-actor: --%s: %s is not in %ld..%ld\n", option, text, min, max);
        exit(2);
    }
    return v;
}

static void text_option(const char *option, const char *text, char *out, size_t cap)
{
    if (strlen(text) >= cap) {
        fprintf(stderr, "caravan-actor: --%s: longer than %zu bytes\n", option, cap - 1);
        exit(2);
    }
    strcpy(out, text);
}

int main(int argc, char **argv)
{
    struct actor_options o = {.name = "actor",
                              .device = "cpu",
                              .slots = 64,
                              .prefill_rows = 256,
                              .kv_bytes = (size_t)320 << 20};
    for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        switch (c) {
        case OPT_CONNECT:
            text_option("connect", optarg, o.connect, sizeof o.connect);
            break;
        case OPT_NAME:
            text_option("name", optarg, o.name, sizeof o.name);
            break;
        case OPT_TOKEN:
            text_option("token-file", optarg, o.token_file, sizeof o.token_file);
            break;
        case OPT_DEVICE:
            text_option("device", optarg, o.device, sizeof o.device);
            break;
        case OPT_THREADS:
            o.threads = (int)number("threads", optarg, 0, 256);
            break;
        case OPT_SLOTS:
            o.slots = (size_t)number("slots", optarg, 1, 4096);
            break;
        case OPT_KV:
            o.kv_bytes = (size_t)number("kv-mb", optarg, 1, 1 << 20) << 20;
            break;
        case OPT_PREFILL:
            o.prefill_rows = (size_t)number("prefill-rows", optarg, 1, 8192);
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (!o.connect[0] || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    log_setup(o.name, LOG_LEVEL_INFO);
    struct why why = {0};
    enum err e = actor_service_run(&o, &why);
    if (e) {
        LOG_ERROR("ACTOR_FAILED", "cause=\"%s\"", why.text);
        return 1;
    }
    return 0;
}

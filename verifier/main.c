// main.c: caravan-verifier: reads the command line, runs the service, says why it ended.
//
// In: options on the command line. Out: log lines on stderr and an exit code: the service decides
// what happens, this file only says how it ended. Every number is checked against its range before
// anything starts.
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "verifier/service.h"

static const char usage[] =
    "usage: caravan-verifier --connect ADDRESS [options]\n"
    "Scores responses for a caravan-learner in sandboxed workers. Start as many as you like, "
    "anywhere, any time.\n\n"
    "  --connect ADDRESS      ipc://PATH or tcp://HOST:PORT of the learner\n"
    "  --name NAME            shown on /status (default: verifier)\n"
    "  --workers N            worker processes, 0 = cores (default 0)\n"
    "  --sandbox LEVEL        auto, full, seccomp or none (default auto: the best that works, "
    "never none)\n"
    "  --deadline-ms N        wall time of one job, then SIGKILL (default 5000)\n"
    "  --recycle-jobs N       a worker is replaced after so many jobs (default 1000)\n"
    "  --worker-binary PATH   default: caravan-verify-worker beside this program\n"
    "  --token-file FILE      shared secret, needed when the learner is not on this machine\n";

enum {
    OPT_CONNECT = 256,
    OPT_NAME,
    OPT_WORKERS,
    OPT_SANDBOX,
    OPT_DEADLINE,
    OPT_RECYCLE,
    OPT_BINARY,
    OPT_TOKEN
};

static const struct option long_options[] = {
    {"connect", required_argument, NULL, OPT_CONNECT},
    {"name", required_argument, NULL, OPT_NAME},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"sandbox", required_argument, NULL, OPT_SANDBOX},
    {"deadline-ms", required_argument, NULL, OPT_DEADLINE},
    {"recycle-jobs", required_argument, NULL, OPT_RECYCLE},
    {"worker-binary", required_argument, NULL, OPT_BINARY},
    {"token-file", required_argument, NULL, OPT_TOKEN},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static uint32_t number(const char *option, const char *text, unsigned long min, unsigned long max)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno || text[0] < '0' || text[0] > '9' || *end || v < min || v > max) {
        fprintf(stderr, "caravan-verifier: --%s: %s is not in %lu..%lu\n", option, text, min, max);
        exit(2);
    }
    return (uint32_t)v;
}

static void text_option(const char *option, const char *text, char *out, size_t cap)
{
    if (strlen(text) >= cap) {
        fprintf(stderr, "caravan-verifier: --%s: longer than %zu bytes\n", option, cap - 1);
        exit(2);
    }
    strcpy(out, text);
}

static enum conf_sandbox sandbox_option(const char *text)
{
    static const char *const names[] = {
        [CONF_SANDBOX_AUTO] = "auto",
        [CONF_SANDBOX_FULL] = "full",
        [CONF_SANDBOX_SECCOMP] = "seccomp",
        [CONF_SANDBOX_NONE] = "none",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum conf_sandbox)i;
        }
    }
    fprintf(stderr, "caravan-verifier: --sandbox: %s is none of auto, full, seccomp, none\n", text);
    exit(2);
}

static void parse_option(int c, struct verifier_options *o)
{
    switch (c) {
    case OPT_CONNECT:
        text_option("connect", optarg, o->connect, sizeof o->connect);
        break;
    case OPT_NAME:
        text_option("name", optarg, o->name, sizeof o->name);
        break;
    case OPT_WORKERS:
        o->workers = number("workers", optarg, 0, 256);
        break;
    case OPT_SANDBOX:
        o->sandbox = sandbox_option(optarg);
        break;
    case OPT_DEADLINE:
        o->deadline_ms = number("deadline-ms", optarg, 1, 3600000);
        break;
    case OPT_RECYCLE:
        o->recycle_jobs = number("recycle-jobs", optarg, 1, 1000000000);
        break;
    case OPT_BINARY:
        text_option("worker-binary", optarg, o->worker_binary, sizeof o->worker_binary);
        break;
    case OPT_TOKEN:
        text_option("token-file", optarg, o->token_file, sizeof o->token_file);
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct verifier_options o = {.name = "verifier",
                                 .sandbox = CONF_SANDBOX_AUTO,
                                 .deadline_ms = 5000,
                                 .recycle_jobs = 1000};
    for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        parse_option(c, &o);
    }
    if (!o.connect[0] || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    log_setup(o.name, LOG_LEVEL_INFO);
    struct why why = {{0}};
    enum err e = verifier_service_run(&o, &why);
    if (e) {
        LOG_ERROR("VERIFIER_FAILED", "cause=\"%s\"", why.text);
        return 1;
    }
    return 0;
}

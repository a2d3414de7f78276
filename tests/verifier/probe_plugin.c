// probe_plugin.c: a shared object whose check does what the response says: the attacker of the
// plug-in tests. VERSION names this build; CONSTRUCTOR, where defined, runs when it is loaded.
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "verifier/plugin.h"

#ifndef VERSION
#define VERSION "1"
#endif
#ifndef CHECK_ID
#define CHECK_ID "probe:do"
#endif

static int calls;

static void scribble(void)
{
    calls = 1000;
    for (volatile char *p = (volatile char *)&calls;; p += 4096) {
        *p = 77;
    }
}

#ifdef CONSTRUCTOR
__attribute__((constructor)) static void at_load(void)
{
    CONSTRUCTOR;
}
#endif

static int act(const char *what)
{
    if (strcmp(what, "scribble") == 0) {
        scribble();
    } else if (strcmp(what, "abort") == 0) {
        abort();
    } else if (strcmp(what, "spin") == 0) {
        for (volatile unsigned i = 0;; i++) {
        }
    } else if (strcmp(what, "leave") == 0) {
        _exit(0);
    } else if (strcmp(what, "fork") == 0) {
        return fork() >= 0;
    } else if (strcmp(what, "open") == 0) {
        return open("/etc/passwd", O_RDONLY) >= 0;
    } else if (strcmp(what, "socket") == 0) {
        return socket(AF_INET, SOCK_STREAM, 0) >= 0;
    } else if (strcmp(what, "reply") == 0) {
        return write(1, "\1\0\0\0x", 5) == 5;
    } else if (strcmp(what, "kill") == 0) {
        return kill(getppid(), SIGKILL) == 0;
    } else if (strcmp(what, "exec") == 0) {
        return execl("/bin/true", "true", (char *)NULL) == 0;
    } else if (strcmp(what, "memory") == 0) {
        char *p = malloc((size_t)3 << 30);
        if (p) {
            memset(p, 1, (size_t)3 << 30);
        }
        return p != NULL;
    }
    return 0;
}

static int probe(const struct caravan_input *in, double *value, char *why, size_t why_size)
{
    calls++;
    if (strcmp(in->response.data, "undecided") == 0) {
        snprintf(why, why_size, "I would rather not");
        return 1;
    }
    if (strcmp(in->response.data, "nan") == 0) {
        *value = NAN;
        return 0;
    }
    if (strcmp(in->response.data, "echo") == 0) {
        *value = strcmp(in->prompt.data, "p") == 0 && strcmp(in->ground_truth.data, "\"t\"") == 0 &&
                 strstr(in->kwargs.data, "\"k\"") != NULL && in->stopped;
        return 0;
    }
    // The first call of its process, always.
    *value = act(in->response.data) || calls != 1 ? 0 : 1;
    return 0;
}

static const struct caravan_check checks[] = {{CHECK_ID, VERSION, "does what it is told", probe}};

const struct caravan_plugin *caravan_plugin(void)
{
    static const struct caravan_plugin plugin = {CARAVAN_PLUGIN_ABI, 1, checks};
    return &plugin;
}

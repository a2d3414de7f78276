// bus_hangup.c: one detached thread for each hang-up. It and the owner share the record, and
// whoever is the second to let go frees it.
#include "proto/bus_hangup.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base.h"

struct bus_hangup {
    nng_socket socks[BUS_HANGUP_MAX];
    size_t n;
    atomic_bool done;
    atomic_int holders;
};

static void let_go(struct bus_hangup *h)
{
    if (atomic_fetch_sub(&h->holders, 1) == 1) {
        free(h);
    }
}

static void close_all(const nng_socket *socks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)nng_close(socks[i]);
    }
}

static void *hangup_main(void *arg)
{
    struct bus_hangup *h = arg;
    close_all(h->socks, h->n);
    atomic_store(&h->done, true);
    let_go(h);
    return NULL;
}

// Signals belong to the daemon's threads.
static int start_thread(struct bus_hangup *h)
{
    pthread_t thread;
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&thread, NULL, hangup_main, h);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        (void)pthread_detach(thread);
    }
    return rc;
}

struct bus_hangup *bus_hangup_start(const nng_socket *socks, size_t n)
{
    CHECK(n <= BUS_HANGUP_MAX);
    struct bus_hangup *h = n > 0 ? calloc(1, sizeof *h) : NULL;
    if (h != NULL) {
        memcpy(h->socks, socks, n * sizeof *socks);
        h->n = n;
        atomic_init(&h->holders, 2);
        if (start_thread(h) == 0) {
            return h;
        }
        free(h);
    }
    close_all(socks, n);
    return NULL;
}

bool bus_hangup_done(struct bus_hangup *h)
{
    return h == NULL || atomic_load(&h->done);
}

void bus_hangup_forget(struct bus_hangup *h)
{
    if (h != NULL) {
        let_go(h);
    }
}

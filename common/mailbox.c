// mailbox.c: a ring of pointers under one mutex.
//
// The boxes carry jobs of milliseconds (a forward pass, a ledger commit, a message), so a mutex
// that is held for a few instructions is the simplest thing that is fast enough; nothing here is
// lock-free. A box for a libuv loop wakes it through uv_async, which merges several wakes into one:
// the callback must drain the box. The wake is sent while the mutex is held, so that a sender never
// touches a handle that close has already given back.

#include "common/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;    // for mailbox_wait
    void **ring;
    size_t capacity;
    size_t head;    // oldest item
    size_t len;
    bool closed;

    bool on_loop;
    bool handle_closed;    // loop thread only
    uv_async_t async;
    mailbox_wake_fn *wake;
    void *arg;
};

static struct mailbox *box_new(size_t capacity)
{
    struct mailbox *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    m->capacity = capacity;
    m->ring = calloc(capacity, sizeof *m->ring);
    if (m->ring == NULL) {
        free(m);
        return NULL;
    }
    // Waits are measured on the clock that all deadlines use.
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&m->filled, &attr) == 0);
    CHECK(pthread_condattr_destroy(&attr) == 0);
    CHECK(pthread_mutex_init(&m->lock, NULL) == 0);
    return m;
}

static void box_free(struct mailbox *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->filled);
    free(m->ring);
    free(m);
}

enum err mailbox_create(size_t capacity, struct mailbox **out)
{
    if (capacity == 0) {
        return ERR_INVALID;
    }
    struct mailbox *m = box_new(capacity);
    if (m == NULL) {
        return ERR_NOMEM;
    }
    *out = m;
    return ERR_OK;
}

static void on_async(uv_async_t *async)
{
    struct mailbox *m = async->data;
    m->wake(m->arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct mailbox *m = handle->data;
    m->handle_closed = true;
}

enum err mailbox_create_uv(size_t capacity, uv_loop_t *loop, mailbox_wake_fn *wake, void *arg,
                           struct mailbox **out)
{
    struct mailbox *m = NULL;
    enum err e = mailbox_create(capacity, &m);
    if (e != ERR_OK) {
        return e;
    }
    m->on_loop = true;
    m->wake = wake;
    m->arg = arg;
    m->async.data = m;
    if (uv_async_init(loop, &m->async, on_async) != 0) {
        box_free(m);
        return ERR_IO;
    }
    *out = m;
    return ERR_OK;
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    bool first = !m->closed;
    m->closed = true;
    pthread_cond_broadcast(&m->filled);
    pthread_mutex_unlock(&m->lock);
    if (first && m->on_loop) {
        uv_close((uv_handle_t *)&m->async, on_handle_closed);
    }
}

void mailbox_destroy(struct mailbox *m)
{
    if (m == NULL) {
        return;
    }
    CHECK(!m->on_loop || m->handle_closed);
    box_free(m);
}

enum err mailbox_send(struct mailbox *m, void *item)
{
    CHECK(item != NULL);    // NULL means "empty" to the receiver
    enum err e = ERR_OK;
    pthread_mutex_lock(&m->lock);
    if (m->closed) {
        e = ERR_CLOSED;
    } else if (m->len == m->capacity) {
        e = ERR_FULL;
    } else {
        m->ring[(m->head + m->len) % m->capacity] = item;
        m->len++;
        if (m->on_loop) {
            CHECK(uv_async_send(&m->async) == 0);
        } else {
            pthread_cond_signal(&m->filled);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return e;
}

// Lock held.
static void *take_oldest(struct mailbox *m)
{
    if (m->len == 0) {
        return NULL;
    }
    void *item = m->ring[m->head];
    m->head = (m->head + 1) % m->capacity;
    m->len--;
    return item;
}

void *mailbox_try_recv(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    void *item = take_oldest(m);
    pthread_mutex_unlock(&m->lock);
    return item;
}

void *mailbox_wait(struct mailbox *m, uint64_t timeout_ms)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    timeout_ms = MIN(timeout_ms, (uint64_t)1000 * 86400 * 365);    // keeps the sum below in range
    end.tv_sec += (time_t)(timeout_ms / 1000);
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&m->lock);
    int rc = 0;
    while (m->len == 0 && !m->closed && rc == 0) {
        rc = pthread_cond_timedwait(&m->filled, &m->lock, &end);
    }
    void *item = take_oldest(m);
    pthread_mutex_unlock(&m->lock);
    return item;
}

size_t mailbox_len(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    size_t len = m->len;
    pthread_mutex_unlock(&m->lock);
    return len;
}

size_t mailbox_capacity(const struct mailbox *m)
{
    return m->capacity;
}

// http_post.c: exchanges: POST bodies taken in under limits, connections that sleep until an answer.
//
// A connection is suspended before the daemon's post handler is called, not after: the answer may
// come from another thread before the handler has returned, and libmicrohttpd is content with a
// resume that comes early but not with one that precedes its suspend. It panics when it is stopped
// with a connection still suspended, hence the rule of http_server_destroy.
//
// libmicrohttpd takes an answer only on the headers or after the whole body. A body that turns out
// to be too long, or for which there is no room, is therefore read on and thrown away, and refused
// at its end; at twice the limit the connection is cut.
#include "proto/http_post.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"

struct http_posts {
    struct http_posting p;
    size_t bytes;    // claimed by bodies that are being received
    pthread_mutex_t lock;
    pthread_cond_t sent;
    size_t sending;    // answered, not yet completed
};

struct http_exchange {
    struct http_posts *posts;
    struct MHD_Connection *connection;
    struct buf body;
    size_t claimed, taken;    // bytes: of posts->bytes; received, thrown away ones included
    uint64_t deadline_ms;
    int refusal;    // status of a body that is read on but not kept; 0: none
    bool handed;    // to the post handler
    atomic_bool answered;
    bool queued;
    struct http_reply reply;
};

struct http_posts *http_posts_create(const struct http_posting *p)
{
    struct http_posts *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->p = *p;
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&s->sent, &attr) == 0);
    CHECK(pthread_condattr_destroy(&attr) == 0);
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    return s;
}

void http_posts_settle(struct http_posts *s)
{
    struct timespec until;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec++;
    pthread_mutex_lock(&s->lock);
    int rc = 0;
    while (s->sending > 0 && rc == 0) {
        rc = pthread_cond_timedwait(&s->sent, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
}

void http_posts_destroy(struct http_posts *s)
{
    if (s == NULL) {
        return;
    }
    pthread_cond_destroy(&s->sent);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static enum MHD_Result refuse(const struct http_posts *s, struct MHD_Connection *c, int status)
{
    char text[96];
    if (status == 413) {
        snprintf(text, sizeof text, "{\"error\":\"a body over %zu bytes\"}\n", s->p.body_max);
    } else {
        snprintf(text, sizeof text, "{\"error\":\"no room for another body, try again\"}\n");
    }
    struct http_reply r = {.status = status,
                           .content_type = "application/json",
                           .body = strdup(text),
                           .len = strlen(text),
                           .retry_after_s = status == 503 ? 1 : 0};
    return r.body == NULL ? MHD_NO : http_post_send(c, &r);
}

// Bytes of this body, in all, that count against the room for bodies.
static bool claim(struct http_exchange *x, size_t len)
{
    struct http_posts *s = x->posts;
    if (len <= x->claimed) {
        return true;
    }
    if (len - x->claimed > s->p.bodies_max - s->bytes) {
        return false;
    }
    s->bytes += len - x->claimed;
    x->claimed = len;
    return true;
}

static enum MHD_Result begin(struct http_posts *s, struct MHD_Connection *c, const char *path,
                             void **per_request)
{
    struct http_reply r = {.status = 500};
    if (!s->p.accept(s->p.arg, path, &r)) {
        return http_post_send(c, &r);
    }
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    unsigned long long announced = length != NULL ? strtoull(length, NULL, 10) : 0;
    if (announced > s->p.body_max) {
        return refuse(s, c, 413);
    }
    struct http_exchange *x = calloc(1, sizeof *x);
    if (x == NULL) {
        return MHD_NO;
    }
    *x = (struct http_exchange){
        .posts = s, .connection = c, .deadline_ms = clock_mono_ms() + s->p.upload_ms};
    buf_init(&x->body, s->p.body_max);
    if (!claim(x, (size_t)announced)) {
        free(x);
        return refuse(s, c, 503);
    }
    *per_request = x;
    return MHD_YES;
}

static enum MHD_Result take(struct http_exchange *x, const char *upload, size_t *len)
{
    const struct http_posting *p = &x->posts->p;
    x->taken += *len;
    if (clock_mono_ms() > x->deadline_ms || x->taken > 2 * p->body_max) {
        return MHD_NO;
    }
    if (x->refusal == 0) {
        if (x->taken > p->body_max) {
            x->refusal = 413;
        } else if (!claim(x, x->taken) || buf_reserve(&x->body, x->claimed - x->body.len) ||
                   buf_append(&x->body, upload, *len)) {
            x->refusal = 503;
        }
        if (x->refusal != 0) {
            buf_fini(&x->body);
        }
    }
    *len = 0;
    return MHD_YES;
}

enum MHD_Result http_post_request(struct http_posts *s, struct MHD_Connection *c, const char *path,
                                  const char *upload, size_t *upload_len, void **per_request)
{
    struct http_exchange *x = *per_request;
    if (x == NULL) {
        return begin(s, c, path, per_request);
    }
    if (*upload_len > 0) {
        return take(x, upload, upload_len);
    }
    if (x->refusal != 0) {
        return refuse(s, c, x->refusal);
    }
    if (!x->handed) {
        x->handed = true;
        MHD_suspend_connection(c);
        s->p.post(s->p.arg, x, path, x->body.len > 0 ? (const char *)x->body.data : "",
                  x->body.len);
        return MHD_YES;
    }
    if (atomic_load(&x->answered) && !x->queued) {
        x->queued = true;
        return http_post_send(c, &x->reply);
    }
    return MHD_YES;
}

void http_exchange_reply(struct http_exchange *x, const struct http_reply *r)
{
    struct http_posts *s = x->posts;
    struct MHD_Connection *c = x->connection;
    pthread_mutex_lock(&s->lock);
    s->sending++;
    pthread_mutex_unlock(&s->lock);
    x->reply = *r;
    atomic_store(&x->answered, true);
    MHD_resume_connection(c);
}

// libmicrohttpd does not look at a suspended connection, nor does it close it: the descriptor is good
// until the reply.
bool http_exchange_is_gone(const struct http_exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;
    if (info == NULL) {
        return false;
    }
    ssize_t n = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void http_post_completed(struct http_exchange *x)
{
    struct http_posts *s = x->posts;
    s->bytes -= x->claimed;
    buf_fini(&x->body);
    if (atomic_load(&x->answered)) {
        if (!x->queued) {
            free(x->reply.body);
        }
        pthread_mutex_lock(&s->lock);
        s->sending--;
        pthread_cond_signal(&s->sent);
        pthread_mutex_unlock(&s->lock);
    }
    free(x);
}

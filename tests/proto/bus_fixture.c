// bus_fixture.c: the learner's and the actor's part in the tests of the bus.
#include "bus_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"

// ---- turning the loop ----
static void on_tick(uv_timer_t *t)
{
    (void)t;    // only wakes uv_run, so that a missing event becomes a failure and not a hang
}

void set_true(void *arg)
{
    *(bool *)arg = true;
}

// ---- the learner's part ----
void answer(struct fixture *f, struct bus_request *r)
{
    const struct msg *m = bus_request_msg(r);
    struct msg reply = {.type = msg_reply_type(m->type)};
    (void)f;
    if (m->type == MSG_WAIT_VERSION) {
        reply.version.newest_version = m->wait_version.have_version + 1;
    } else if (m->type == MSG_HEARTBEAT) {
        reply.heartbeat_reply.newest_version = m->heartbeat.waits_ms + 1;
    } else {
        fail_msg("unexpected %s", msg_type_name(m->type));
    }
    bus_reply(r, &reply);
}

void handler(void *arg, struct bus_request *r)
{
    struct fixture *f = arg;
    assert_true(pthread_equal(pthread_self(), f->thread));
    assert_true(f->n_requests < MANY);
    f->ids[f->n_requests++] = bus_request_msg(r)->request_id;
    struct msg impossible = {.type = MSG_WEIGHTS_CHUNK};
    impossible.weights_chunk.offset = 1;
    switch (f->mode) {
    case ANSWER:
        answer(f, r);
        break;
    case PARK:
        f->parked[f->n_parked++] = r;
        break;
    case REFUSE:
        bus_reply_fault(r, ERR_DENIED, "the token does not match");
        break;
    case BAD_REPLY:
        bus_reply(r, &impossible);
        break;
    case CLOSE:
        bus_server_close(f->server, set_true, &f->server_closed);
        break;
    }
}

void start_server(struct fixture *f, const char *address)
{
    struct why why = {""};
    if (bus_server_create(&f->loop, address, handler, f, &f->server, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

void stop_server(struct fixture *f)
{
    f->server_closed = false;
    f->n_parked = 0;
    bus_server_close(f->server, set_true, &f->server_closed);
    RUN_UNTIL(f, f->server_closed);
    bus_server_destroy(f->server);
    f->server = NULL;
}

// ---- the actor's part ----
void start_client(struct fixture *f)
{
    struct why why = {""};
    enum err e = bus_client_create(&f->loop, bus_server_address(f->server), &f->client, &why);
    if (e == ERR_OK) {
        e = bus_client_set_wait(f->client, bus_server_wait_address(f->server), &why);
    }
    if (e != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

void stop_client(struct fixture *f)
{
    f->client_closed = false;
    bus_client_close(f->client, set_true, &f->client_closed);
    RUN_UNTIL(f, f->client_closed);
    bus_client_destroy(f->client);
    f->client = NULL;
}

void on_reply(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct fixture *f = arg;
    assert_true(pthread_equal(pthread_self(), f->thread));
    f->n_replies++;
    f->err = e;
    snprintf(f->text, sizeof f->text, "%s", text);
    assert_int_equal(e == ERR_OK, reply != NULL);
    if (reply != NULL) {
        f->version = reply->type == MSG_VERSION ? reply->version.newest_version
                                                : reply->heartbeat_reply.newest_version;
    }
    if (f->close_on_reply) {
        f->close_on_reply = false;
        bus_client_close(f->client, set_true, &f->client_closed);
    }
}

void call(struct fixture *f, const struct msg *m, uint32_t timeout_ms)
{
    struct why why = {""};
    if (bus_client_call(f->client, m, timeout_ms, on_reply, f, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

struct msg do_request(uint32_t n)
{
    struct msg m = {.type = MSG_HEARTBEAT};
    m.heartbeat.waits_ms = n;
    return m;
}

struct msg wait_request(uint64_t n)
{
    struct msg m = {.type = MSG_WAIT_VERSION};
    m.wait_version.have_version = n;
    return m;
}

// ---- setup ----
int bus_fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "/tmp/caravan-bus-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->address, sizeof f->address, "ipc://%s/bus", f->dir);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    uv_timer_init(&f->loop, &f->tick);
    uv_timer_start(&f->tick, on_tick, 50, 50);
    f->thread = pthread_self();
    *state = f;
    return 0;
}

int bus_fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->client != NULL) {
        stop_client(f);
    }
    if (f->server != NULL) {
        stop_server(f);
    }
    uv_close((uv_handle_t *)&f->tick, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);    // fails when a handle was left open
    assert_int_equal(fs_remove_tree(f->dir, NULL), ERR_OK);
    free(f);
    return 0;
}

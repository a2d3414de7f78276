// flip_test.c: one wrong bit in one weight of an actor, and the counter of differing log-probs
// rises.
//
// The live comparison is worth something only if it can fail. Between a real learner and a real
// actor stands a proxy that passes every message on, except that it flips the lowest bit of one
// weight and makes the hashes fit; both sides work as they always do.
#include "tests/system/world.h"

#include <signal.h>
#include <uv.h>

#include "proto/bus.h"

enum { CALL_MS = 20000, VOCAB = 259, HIDDEN = 32, LETTER = 3 + 'e' };

struct proxy {
    uv_loop_t loop;
    struct bus_server *server;
    struct bus_client *client;
    uv_poll_t end;
    unsigned flipped;
};

struct call {
    struct proxy *proxy;
    struct bus_request *request;
};

// The weight that stands in the head's row of a letter, first column: its bias. The head comes last
// in the blob (tests/tools/make_tiny_model.c), and the blob of the tiny model is one chunk.
static void flip(struct proxy *p, struct msg *m)
{
    struct msg_weights_chunk *c = &m->weights_chunk;
    assert_true(c->offset == 0 && c->bytes.len == c->total_bytes);
    size_t at = c->bytes.len - 2 * (size_t)HIDDEN * (VOCAB - LETTER);
    char *bytes = malloc(c->bytes.len);
    assert_non_null(bytes);
    memcpy(bytes, c->bytes.data, c->bytes.len);
    bytes[at] ^= 1;    // little-endian: the lowest bit of a bf16
    c->bytes.data = bytes;
    c->chunk_hash = c->weights_hash = hash_bytes(bytes, c->bytes.len);
    p->flipped++;
}

static void on_reply(void *arg, enum err e, const struct msg *reply, const char *text)
{
    struct call *c = arg;
    struct why why;
    if (e == ERR_CLOSED) {
        // the end of the test: the request goes down with the server
    } else if (e) {
        bus_reply_fault(c->request, e, text);
    } else {
        struct msg m = *reply;
        if (m.type == MSG_WELCOME) {
            assert_int_equal(
                bus_client_set_wait(c->proxy->client, m.welcome.wait_address.data, &why), ERR_OK);
            m.welcome.wait_address = msg_text_of(bus_server_wait_address(c->proxy->server));
        } else if (m.type == MSG_WEIGHTS_CHUNK) {
            flip(c->proxy, &m);
        }
        bus_reply(c->request, &m);
        if (m.type == MSG_WEIGHTS_CHUNK) {
            free((char *)(uintptr_t)m.weights_chunk.bytes.data);
        }
    }
    free(c);
}

static void on_request(void *arg, struct bus_request *r)
{
    struct call *c = malloc(sizeof *c);
    struct why why;
    assert_non_null(c);
    *c = (struct call){arg, r};
    if (bus_client_call(c->proxy->client, bus_request_msg(r), CALL_MS, on_reply, c, &why)) {
        bus_reply_fault(r, ERR_BUSY, "proxy");
        free(c);
    }
}

static void on_side_closed(void *arg)
{
    (void)arg;
}

static void on_run_ended(uv_poll_t *h, int status, int events)
{
    struct proxy *p = h->data;
    (void)status;
    (void)events;
    uv_close((uv_handle_t *)h, NULL);
    bus_client_close(p->client, on_side_closed, p);
    bus_server_close(p->server, on_side_closed, p);
}

static void a_flipped_weight_bit_is_noticed(void **state)
{
    (void)state;
    struct why why = {{0}};
    struct proxy p = {.flipped = 0};
    struct process run = world_spawn(
        "caravan run run.yaml --set run_dir=flip --set actor.count=0 --set stop.steps=3 "
        "--set data.eval_n=0 --set rollout.staleness_max=0");
    struct process actor =
        world_spawn("caravan-actor --connect ipc://proxy --threads 1 --kv-mb 8 --slab off");
    assert_int_equal(uv_loop_init(&p.loop), 0);
    if (bus_server_create(&p.loop, "ipc://proxy", on_request, &p, &p.server, &why) ||
        bus_client_create(&p.loop, "ipc://flip/bus", &p.client, &why)) {
        fail_msg("%s", why.text);
    }
    uv_poll_init(&p.loop, &p.end, run.pidfd);
    p.end.data = &p;
    uv_poll_start(&p.end, UV_READABLE, on_run_ended);
    uv_run(&p.loop, UV_RUN_DEFAULT);
    bus_client_destroy(p.client);
    bus_server_destroy(p.server);
    assert_int_equal(uv_loop_close(&p.loop), 0);
    int rc = world_wait(&run, WORLD_DEADLINE_MS);
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, world_output(&run));
    }
    world_signal(&actor, SIGTERM);
    (void)world_wait(&actor, WORLD_DEADLINE_MS);
    assert_true(p.flipped > 0);
    assert_true(world_sum("flip", "logprob_compared_tokens") > 0);
    assert_true(world_sum("flip", "logprob_mismatched_tokens") > 0);
    char *out;
    assert_int_equal(world_run(&out, "caravan audit flip"), 1);
    assert_contains(out, "in the ledger");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_weight_bit_is_noticed),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}

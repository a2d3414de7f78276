// bus_fixture.h: one bus server and one client on one loop, for the tests of the bus.
//
// Nothing sleeps: RUN_UNTIL turns the loop until something has happened or DEADLINE_MS have passed.
#ifndef CARAVAN_TESTS_PROTO_BUS_FIXTURE_H
#define CARAVAN_TESTS_PROTO_BUS_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "proto/bus.h"

#include <uv.h>

enum { DEADLINE_MS = 20000, MANY = 512 };

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    char dir[64], address[96];
    pthread_t thread;    // of the loop
    struct bus_server *server;
    struct bus_client *client;
    // what the handler saw and what it does
    enum { ANSWER, PARK, REFUSE, BAD_REPLY, CLOSE } mode;
    struct bus_request *parked[MANY];
    size_t n_parked, n_requests;
    uint64_t ids[MANY];    // of requests, by arrival
    // what the callbacks saw
    size_t n_replies;
    enum err err;
    char text[1024];
    uint64_t version;
    bool server_closed, client_closed, close_on_reply;
};

#define RUN_UNTIL(f, cond)                                                                         \
    do {                                                                                           \
        uint64_t end_ms = clock_mono_ms() + DEADLINE_MS;                                           \
        while (!(cond)) {                                                                          \
            if (clock_mono_ms() > end_ms) {                                                        \
                fail_msg("still waiting for " #cond);                                              \
            }                                                                                      \
            uv_run(&(f)->loop, UV_RUN_ONCE);                                                       \
        }                                                                                          \
    } while (0)

int bus_fixture_setup(void **state);
int bus_fixture_teardown(void **state);
void start_server(struct fixture *f, const char *address);
void stop_server(struct fixture *f);
void start_client(struct fixture *f);    // knows both endpoints
void stop_client(struct fixture *f);
void set_true(void *arg);                                                  // a bool
void call(struct fixture *f, const struct msg *m, uint32_t timeout_ms);    // counted in n_replies
void handler(void *arg, struct bus_request *r);                            // acts by f->mode
void answer(struct fixture *f, struct bus_request *r);
void on_reply(void *arg, enum err e, const struct msg *reply, const char *text);
struct msg do_request(uint32_t n);      // answered with n + 1
struct msg wait_request(uint64_t n);    // answered with n + 1

#endif

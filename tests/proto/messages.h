// messages.h: messages for the tests: one fixed example of each type (the golden files hold their
// bytes) and random ones.
#ifndef CARAVAN_TESTS_PROTO_MESSAGES_H
#define CARAVAN_TESTS_PROTO_MESSAGES_H

#include "proto/msg.h"

// The example of a type: static memory, every array filled. Request id 7.
struct msg messages_example(enum msg_type type);

// A valid message of the type with random values and lengths; msg_free when done. Equal seeds give
// equal messages.
struct msg messages_random(enum msg_type type, uint64_t seed);

#endif

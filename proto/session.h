// session.h: what an actor or a verifier keeps about its learner: who it is itself, which run it
// works for, how often it reports. The conversation is its service's business.
#ifndef CARAVAN_PROTO_SESSION_H
#define CARAVAN_PROTO_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/bus.h"
#include "proto/limits.h"

struct session {
    struct msg_incarnation incarnation;
    char *token;                          // NULL = none; owned
    char run_id[LIMIT_NAME_BYTES + 1];    // "" before the first WELCOME
    bool greeted;                         // the learner knows us; the owner clears it
    uint32_t heartbeat_ms;
    uint64_t next_heartbeat_ms;
    uint64_t waits_since_ms;    // 0 = nothing is waited for
};

// A fresh incarnation. The name is checked (1 to LIMIT_NAME_BYTES bytes), the token file read ("" =
// none).
MUST_CHECK enum err session_init(struct session *s, const char *name, const char *token_file,
                                 struct why *why);
void session_fini(struct session *s);    // fine on a zeroed struct
// Takes a WELCOME over: wait endpoint, heartbeat interval; greeted = true. ERR_MISMATCH: the learner
// serves another run than the one that we hold work of.
MUST_CHECK enum err session_welcome(struct session *s, struct bus_client *c,
                                    const struct msg_welcome *w, struct why *why);
// What is waited for from now on ("" = nothing), since the last time this was something else.
void session_waits(struct session *s, const char *what, uint64_t now_ms);
// Fills what every heartbeat says of itself (incarnation, waits_for, waits_ms) and plans the next.
// `what` must live until the message is sent.
void session_heartbeat(struct session *s, const char *what, uint64_t now_ms,
                       struct msg_heartbeat *m);

#endif

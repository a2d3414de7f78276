// session.c: the part of an actor's and a verifier's life that is the same.
#include "proto/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"

enum { HEARTBEAT_MS = 1000, HEARTBEAT_MIN_MS = 50 };

enum err session_init(struct session *s, const char *name, const char *token_file, struct why *why)
{
    char *token = NULL;
    size_t len = strlen(name);
    if (len == 0 || len > LIMIT_NAME_BYTES) {
        return why_set(why, ERR_INVALID, "name: %zu bytes, expected 1..%d", len, LIMIT_NAME_BYTES);
    }
    enum err e = token_file[0] ? fs_read_token(token_file, &token, why) : ERR_OK;
    if (!e) {
        *s = (struct session){
            .incarnation = msg_incarnation_random(), .token = token, .heartbeat_ms = HEARTBEAT_MS};
    }
    return e;
}

void session_fini(struct session *s)
{
    free(s->token);
    *s = (struct session){0};
}

enum err session_welcome(struct session *s, struct bus_client *c, const struct msg_welcome *w,
                         struct why *why)
{
    if (s->run_id[0] && strcmp(s->run_id, w->run_id.data) != 0) {
        return why_set(why, ERR_MISMATCH, "learner: run %s is gone, %s answers now", s->run_id,
                       w->run_id.data);
    }
    enum err e = bus_client_set_wait(c, w->wait_address.data, why);
    if (e) {
        return why_prefix(why, e, "the learner's wait endpoint");
    }
    (void)snprintf(s->run_id, sizeof s->run_id, "%s", w->run_id.data);
    s->heartbeat_ms = MAX(w->heartbeat_ms, (uint32_t)HEARTBEAT_MIN_MS);
    s->greeted = true;
    return ERR_OK;
}

void session_waits(struct session *s, const char *what, uint64_t now_ms)
{
    if (!*what) {
        s->waits_since_ms = 0;
    } else if (!s->waits_since_ms) {
        s->waits_since_ms = now_ms;
    }
}

void session_heartbeat(struct session *s, const char *what, uint64_t now_ms,
                       struct msg_heartbeat *m)
{
    session_waits(s, what, now_ms);
    m->incarnation = s->incarnation;
    m->waits_for = msg_text_of(what);
    m->waits_ms = s->waits_since_ms ? (uint32_t)(now_ms - s->waits_since_ms) : 0;
    s->next_heartbeat_ms = now_ms + s->heartbeat_ms;
}

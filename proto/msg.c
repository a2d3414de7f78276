// msg.c: the few operations that messages have apart from their encoding.
//
// The arena of a decoded message is a chain of blocks, newest first, made by pack.c; freeing the
// chain frees every array and text of the message at once, so no message needs a destructor of its
// own.
//
// msg_sample_hash is what makes a repeated submit recognisable: the same sample sent twice (a lost
// acknowledgement, a restarted actor process) hashes equal, two different completions of one sample
// id do not. It is a hash of hashes with lengths in front, so that no two samples share a byte
// string:
//   XXH3-128( sample_id | n | H(tokens) | n | H(log-prob bits) | n | H(segments) | finish )
// with integers little-endian and a segment as 12 bytes (version, end). The ledger stores the
// value: changing its definition orphans every stored payload hash.
#include "proto/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/pack_arena.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire and hashes assume little-endian");

void msg_free(struct msg *m)
{
    pack_arena_free(m->arena);
    memset(m, 0, sizeof *m);
}

const char *msg_type_name(enum msg_type t)
{
    static const char *const names[MSG_TYPE_COUNT] = {
        [MSG_NONE] = "NONE",
        [MSG_HELLO] = "HELLO",
        [MSG_WELCOME] = "WELCOME",
        [MSG_FAULT] = "FAULT",
        [MSG_LEASE_GENERATE] = "LEASE_GENERATE",
        [MSG_GENERATE_WORK] = "GENERATE_WORK",
        [MSG_SUBMIT_SAMPLE] = "SUBMIT_SAMPLE",
        [MSG_ACK] = "ACK",
        [MSG_LEASE_SCORE] = "LEASE_SCORE",
        [MSG_SCORE_WORK] = "SCORE_WORK",
        [MSG_SUBMIT_VERDICT] = "SUBMIT_VERDICT",
        [MSG_HEARTBEAT] = "HEARTBEAT",
        [MSG_HEARTBEAT_REPLY] = "HEARTBEAT_REPLY",
        [MSG_FETCH_WEIGHTS] = "FETCH_WEIGHTS",
        [MSG_WEIGHTS_CHUNK] = "WEIGHTS_CHUNK",
        [MSG_WAIT_VERSION] = "WAIT_VERSION",
        [MSG_VERSION] = "VERSION",
        [MSG_FIND_WEIGHTS] = "FIND_WEIGHTS",
        [MSG_WEIGHTS_FOUND] = "WEIGHTS_FOUND",
    };
    return (unsigned)t < MSG_TYPE_COUNT ? names[t] : "UNKNOWN";
}

enum msg_type msg_reply_type(enum msg_type request)
{
    static const enum msg_type replies[MSG_TYPE_COUNT] = {
        [MSG_HELLO] = MSG_WELCOME,
        [MSG_LEASE_GENERATE] = MSG_GENERATE_WORK,
        [MSG_SUBMIT_SAMPLE] = MSG_ACK,
        [MSG_LEASE_SCORE] = MSG_SCORE_WORK,
        [MSG_SUBMIT_VERDICT] = MSG_ACK,
        [MSG_HEARTBEAT] = MSG_HEARTBEAT_REPLY,
        [MSG_FETCH_WEIGHTS] = MSG_WEIGHTS_CHUNK,
        [MSG_WAIT_VERSION] = MSG_VERSION,
        [MSG_FIND_WEIGHTS] = MSG_WEIGHTS_FOUND,
    };
    return (unsigned)request < MSG_TYPE_COUNT ? replies[request] : MSG_NONE;
}

bool msg_waits(enum msg_type request)
{
    return request == MSG_LEASE_GENERATE || request == MSG_LEASE_SCORE ||
           request == MSG_WAIT_VERSION;
}

struct msg_text msg_text_of(const char *s)
{
    return s == NULL ? (struct msg_text){"", 0} : (struct msg_text){s, strlen(s)};
}

bool msg_incarnation_equal(struct msg_incarnation a, struct msg_incarnation b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

struct msg_incarnation msg_incarnation_random(void)
{
    struct msg_incarnation n;
    ssize_t got;
    do {    // 16 bytes are never delivered in part (getrandom(2)); only a signal can interrupt
        got = getrandom(n.bytes, sizeof n.bytes, 0);
    } while (got < 0 && errno == EINTR);
    CHECK(got == (ssize_t)sizeof n.bytes);
    return n;
}

// Segments have padding in memory, so they are hashed as a chain: h = H(h | up to 64 segments of 12
// bytes).
static struct hash128 hash_segments(const struct msg_segment *s, size_t n)
{
    enum { BATCH = 64, SEGMENT = 12 };
    struct hash128 h = {{0}};
    uint8_t block[sizeof h + BATCH * SEGMENT];
    for (size_t i = 0; i < n;) {
        size_t len = sizeof h;
        memcpy(block, &h, sizeof h);
        for (size_t k = 0; k < BATCH && i < n; k++, i++) {
            memcpy(block + len, &s[i].version, 8);
            memcpy(block + len + 8, &s[i].end, 4);
            len += SEGMENT;
        }
        h = hash_bytes(block, len);
    }
    return h;
}

struct hash128 msg_sample_hash(const struct msg_submit_sample *s)
{
    uint64_t n_tokens = s->n_tokens, n_logprobs = s->n_logprobs, n_segments = s->n_segments;
    struct hash128 tokens = hash_bytes(s->tokens, s->n_tokens * sizeof *s->tokens);
    struct hash128 logprobs = hash_bytes(s->logprobs, s->n_logprobs * sizeof *s->logprobs);
    struct hash128 segments = hash_segments(s->segments, s->n_segments);
    uint8_t all[4 * 8 + 3 * 16 + 4], *p = all;
#define PUT(x) (memcpy(p, &(x), sizeof(x)), p += sizeof(x))
    PUT(s->sample_id);
    PUT(n_tokens);
    PUT(tokens);
    PUT(n_logprobs);
    PUT(logprobs);
    PUT(n_segments);
    PUT(segments);
    PUT(s->finish);
#undef PUT
    return hash_bytes(all, sizeof all);
}

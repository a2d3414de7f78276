// msg.h: every message between the daemons, as plain structs. pack.h turns them into msgpack and
// back.
//
// On the wire a message is a map with integer keys: 0 = wire version, 1 = message type, 2 = request
// id (chosen by the client's bus layer, echoed in the reply), 3… = the fields in the order of the
// struct below. Unknown keys are skipped (a later minor version may add some), a missing required
// field is an error. A decoded message and everything it points to lives in one arena owned by
// `struct msg` (msg_free). For encoding, pointers are borrowed.
//
//   client → learner                reply
//   "do" endpoint
//     HELLO                         WELCOME
//     SUBMIT_SAMPLE, _VERDICT       ACK
//     HEARTBEAT                     HEARTBEAT_REPLY
//     FETCH_WEIGHTS                 WEIGHTS_CHUNK
//     FIND_WEIGHTS                  WEIGHTS_FOUND
//   "wait" endpoint (parks ≤ 15 s)
//     LEASE_GENERATE                GENERATE_WORK (maybe empty)
//     LEASE_SCORE                   SCORE_WORK (maybe empty)
//     WAIT_VERSION                  VERSION
//   anything                              FAULT (enum err + text): the request was refused
#ifndef CARAVAN_PROTO_MSG_H
#define CARAVAN_PROTO_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"

enum msg_type {
    MSG_NONE,
    MSG_HELLO,
    MSG_WELCOME,
    MSG_FAULT,
    MSG_LEASE_GENERATE,
    MSG_GENERATE_WORK,
    MSG_SUBMIT_SAMPLE,
    MSG_ACK,
    MSG_LEASE_SCORE,
    MSG_SCORE_WORK,
    MSG_SUBMIT_VERDICT,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_REPLY,
    MSG_FETCH_WEIGHTS,
    MSG_WEIGHTS_CHUNK,
    MSG_WAIT_VERSION,
    MSG_VERSION,
    MSG_FIND_WEIGHTS,
    MSG_WEIGHTS_FOUND,
    MSG_TYPE_COUNT,
};

enum msg_role { MSG_ROLE_ACTOR = 1, MSG_ROLE_VERIFIER = 2 };
enum msg_finish { MSG_FINISH_STOP = 1, MSG_FINISH_LENGTH = 2 };
// ZERO: checked, and the reward is 0.
enum msg_outcome { MSG_OUTCOME_SCORE = 1, MSG_OUTCOME_ZERO = 2, MSG_OUTCOME_UNSCORED = 3 };
enum msg_ack { MSG_ACK_OK = 1, MSG_ACK_DUPLICATE = 2, MSG_ACK_SUPERSEDED = 3, MSG_ACK_UNKNOWN = 4 };

// Text is bytes with a length; decoded text is also NUL-terminated past len.
struct msg_text {
    const char *data;
    size_t len;
};

// A random 128-bit name for one start of one process; leases belong to it.
struct msg_incarnation {
    uint8_t bytes[16];
};

struct msg_check {
    struct msg_text name, version;
};

struct msg_hello {
    uint32_t role;    // enum msg_role
    struct msg_incarnation incarnation;
    struct msg_text name;              // for people: "actor-0"
    struct msg_text numerics_id;       // actors: kernel family and revision
    struct msg_text token;             // content of the token file, or empty
    const struct msg_check *checks;    // verifiers: what they can score
    size_t n_checks;
    struct msg_text detail;    // verifiers: sandbox level; actors: ISA
};

struct msg_welcome {
    struct msg_text run_id;
    struct msg_text wait_address;    // the second endpoint
    struct msg_text model_config;    // config.json text, actors build their model from it
    struct hash128 model_hash;       // of the initial weights blob
    uint32_t dtype;                  // enum conf_dtype of published weights
    uint64_t newest_version;
    uint64_t seed;
    uint32_t heartbeat_ms;
};

struct msg_fault {
    uint32_t code;    // enum err
    struct msg_text text;
};

struct msg_lease_generate {
    struct msg_incarnation incarnation;
    uint32_t max_samples;    // free slots; 0 is refused
    uint64_t have_version;
    uint32_t timeout_ms;
};

struct msg_sampling {
    uint32_t max_tokens;    // of the completion, EOS included
    float temperature;      // 0 = greedy
    float top_p;            // 1 = off
    uint32_t top_k;         // 0 = off
    float min_p;            // 0 = off
};

struct msg_group {
    uint64_t group_id;
    const uint32_t *prompt;    // token ids
    size_t n_prompt;
    const uint64_t *sample_ids;    // samples of the group to generate now; all share the prompt
    size_t n_samples;
    uint32_t attempt;
    struct msg_sampling sampling;
    // 0 = the newest, swapped in flight; else exactly this one (evaluation).
    uint64_t pinned_version;
    uint32_t lease_ms;
};

struct msg_generate_work {
    const struct msg_group *groups;    // empty: nothing yet, ask again
    size_t n_groups;
    const uint32_t *stop_ids;
    size_t n_stop_ids;
    uint64_t newest_version;
};

// Positions [previous end, end) ran under `version`; position 0 is the first prompt token. A
// token's version is that of the position before it.
struct msg_segment {
    uint64_t version;
    uint32_t end;
};

struct msg_submit_sample {
    struct msg_incarnation incarnation;
    uint64_t sample_id;
    uint32_t attempt;
    const uint32_t *tokens;    // the completion, EOS included when sampled
    size_t n_tokens;
    // Behaviour log-prob of each, at the sampling temperature before truncation; bits preserved.
    const float *logprobs;
    size_t n_logprobs;
    // The last end is n_prompt + n_tokens - 1 (the last token is never a forward position).
    const struct msg_segment *segments;
    size_t n_segments;
    uint32_t finish;            // enum msg_finish
    uint64_t pinned_version;    // as leased
    struct hash128 payload;     // msg_sample_hash of the fields above
};

struct msg_ack_reply {
    uint32_t status;    // enum msg_ack
    uint64_t newest_version;
};

struct msg_lease_score {
    struct msg_incarnation incarnation;
    uint32_t max_jobs;
    uint32_t timeout_ms;
};

// What is needed to score one response. `dataset`, `checks` and `ground_truth` are JSON texts as
// they stand in the data row (dataset: string or list; checks: list of {"id","kwargs"}, or empty
// text when the row has none). `reward` is the run's reward policy as JSON, or empty.
struct msg_score_job {
    uint64_t sample_id;
    uint32_t attempt;
    struct msg_text dataset, checks, ground_truth;
    struct msg_text prompt, response;
    uint32_t finish;
    uint32_t deadline_ms;
    uint32_t lease_ms;
    struct msg_text reward;
};

struct msg_score_work {
    const struct msg_score_job *jobs;
    size_t n_jobs;
    uint64_t newest_version;
};

struct msg_component {
    struct msg_text id, version;    // check and its version
    double value;                   // 0 … 1
    double weight;                  // its factor in the reward
};

struct msg_submit_verdict {
    struct msg_incarnation incarnation;
    uint64_t sample_id;
    uint32_t attempt;
    uint32_t outcome;    // enum msg_outcome
    double reward;
    struct msg_text cause;    // why unscored, or empty
    const struct msg_component *components;
    size_t n_components;
    uint32_t elapsed_us;
};

// A named number, for /status and /metrics of the learner: "decode_tokens_total", "slots_busy",
// "kv_rows_used", …
struct msg_stat {
    struct msg_text name;
    double value;
};

struct msg_heartbeat {
    struct msg_incarnation incarnation;
    // Sample ids this process still works on (actors: generating; verifiers: scoring).
    const uint64_t *held;
    size_t n_held;
    const struct msg_stat *stats;
    size_t n_stats;
    struct msg_text waits_for;    // name of what it waits for, empty when working
    uint32_t waits_ms;
};

struct msg_heartbeat_reply {
    uint64_t newest_version;
    bool unknown;               // the learner does not know this incarnation: say hello again
    const uint64_t *abandon;    // leases that are void: stop working on them
    size_t n_abandon;
};

struct msg_fetch_weights {
    struct msg_incarnation incarnation;
    uint64_t version;    // 0 = newest
    uint64_t offset;     // into the weights blob
    uint32_t max_bytes;
};

struct msg_weights_chunk {
    uint64_t version;
    uint64_t total_bytes;
    uint64_t offset;
    struct msg_text bytes;
    struct hash128 chunk_hash;      // of bytes
    struct hash128 weights_hash;    // of the whole blob
};

struct msg_wait_version {
    struct msg_incarnation incarnation;
    // Answered when a newer one exists, or at timeout with the newest.
    uint64_t have_version;
    uint32_t timeout_ms;
};

struct msg_version {
    uint64_t newest_version;
};

// Where the weights of a version are: always in chunks, and perhaps in a slab for actors on the
// learner's machine (model/weightslab.h).
struct msg_find_weights {
    struct msg_incarnation incarnation;
    uint64_t version;
};

struct msg_weights_found {
    uint64_t version;
    struct hash128 weights_hash;
    // Unix time in microseconds at which the optimiser was done with it; 0 = not known. For figures.
    uint64_t updated_us;
    uint64_t slab_pid;    // of the learner, as it sees itself; 0 = there is no slab
    uint32_t slab_fd;
    struct hash128 slab_owner;    // what the slab says of its writer
};

struct msg {
    enum msg_type type;
    uint64_t request_id;
    union {
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_fault fault;
        struct msg_lease_generate lease_generate;
        struct msg_generate_work generate_work;
        struct msg_submit_sample submit_sample;
        struct msg_ack_reply ack;
        struct msg_lease_score lease_score;
        struct msg_score_work score_work;
        struct msg_submit_verdict submit_verdict;
        struct msg_heartbeat heartbeat;
        struct msg_heartbeat_reply heartbeat_reply;
        struct msg_fetch_weights fetch_weights;
        struct msg_weights_chunk weights_chunk;
        struct msg_wait_version wait_version;
        struct msg_version version;
        struct msg_find_weights find_weights;
        struct msg_weights_found weights_found;
    };
    void *arena;    // decoded messages only
};

// Frees what a decoded message owns and zeroes it; fine on a zeroed or hand-filled message.
void msg_free(struct msg *m);
const char *msg_type_name(enum msg_type t);             // "SUBMIT_SAMPLE"; never NULL
enum msg_type msg_reply_type(enum msg_type request);    // of a request, MSG_NONE for anything else
bool msg_waits(enum msg_type request);         // a long poll, at home on the "wait" endpoint
struct msg_text msg_text_of(const char *s);    // NULL gives an empty text
bool msg_incarnation_equal(struct msg_incarnation a, struct msg_incarnation b);
struct msg_incarnation msg_incarnation_random(void);    // from getrandom(2)
// Canonical hash of a submitted sample's content: id, tokens, log-prob bits, segments, finish; not
// the incarnation, not the attempt.
struct hash128 msg_sample_hash(const struct msg_submit_sample *s);

#endif

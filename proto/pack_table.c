// pack_table.c: keys, kinds, limits and ranges of every field of every message.
//
// This file is the wire format: a row is (key, member, kind, rule, limit). Keys are never reused or
// renumbered; a new field takes the next free key of its map. Offsets are computed by the compiler,
// and a member whose size does not fit its kind fails to compile (AT below). Cross-field claims
// that a receiver may rely on (as many log-probs as tokens, segments that ascend) stand in the
// check functions; what needs the ledger to judge (does the last segment end at the prompt's
// length?) is the learner's.
#include "proto/pack_table.h"

#include "common/conf.h"
#include "proto/limits.h"

#define AT(S, m, bytes)                                                                            \
    (uint16_t)(offsetof(struct S, m) +                                                             \
               0 * sizeof(char[sizeof(((struct S *)0)->m) == (bytes) ? 1 : -1]))
#define PTR sizeof(void *)

#define U32(key, S, m, rule, max)                                                                  \
    {                                                                                              \
#m, key, PACK_U32, rule, AT(S, m, 4), 0, max, NULL                                         \
    }
#define U64(key, S, m)                                                                             \
    {                                                                                              \
#m, key, PACK_U64, PACK_ANY, AT(S, m, 8), 0, 0, NULL                                       \
    }
#define F32(key, S, m, rule)                                                                       \
    {                                                                                              \
#m, key, PACK_F32, rule, AT(S, m, 4), 0, 0, NULL                                           \
    }
#define F64(key, S, m, rule)                                                                       \
    {                                                                                              \
#m, key, PACK_F64, rule, AT(S, m, 8), 0, 0, NULL                                           \
    }
#define BOOL(key, S, m)                                                                            \
    {                                                                                              \
#m, key, PACK_BOOL, PACK_ANY, AT(S, m, sizeof(bool)), 0, 0, NULL                           \
    }
#define BYTES16(key, S, m)                                                                         \
    {                                                                                              \
#m, key, PACK_BYTES16, PACK_ANY, AT(S, m, 16), 0, 0, NULL                                  \
    }
#define NAME(key, S, m)                                                                            \
    {                                                                                              \
#m, key, PACK_TEXT, PACK_NO_NUL, AT(S, m, sizeof(struct msg_text)), 0, LIMIT_NAME_BYTES,   \
            NULL                                                                                   \
    }
#define TEXT(key, S, m, rule, max)                                                                 \
    {                                                                                              \
#m, key, PACK_TEXT, rule, AT(S, m, sizeof(struct msg_text)), 0, max, NULL                  \
    }
#define BLOB(key, S, m, max)                                                                       \
    {                                                                                              \
#m, key, PACK_BLOB, PACK_ANY, AT(S, m, sizeof(struct msg_text)), 0, max, NULL              \
    }
#define NUMBERS(key, S, m, kind, rule, max)                                                        \
    {                                                                                              \
#m, key, kind, rule, AT(S, m, PTR), AT(S, n_##m, sizeof(size_t)), max, NULL                \
    }
#define IDS(key, S, m, count, rule, max)                                                           \
    {                                                                                              \
#m, key, PACK_U64S, rule, AT(S, m, PTR), AT(S, count, sizeof(size_t)), max, NULL           \
    }
#define STRUCT(key, S, m, table)                                                                   \
    {                                                                                              \
#m, key, PACK_STRUCT, PACK_ANY, AT(S, m, sizeof(struct msg_##m)), 0, 0, table              \
    }
#define STRUCTS(key, S, m, table, rule, max)                                                       \
    {                                                                                              \
#m, key, PACK_STRUCTS, rule, AT(S, m, PTR), AT(S, n_##m, sizeof(size_t)), max, table       \
    }
#define TABLE(S, fields, check)                                                                    \
    {                                                                                              \
        sizeof(struct S), fields, ARRAY_LEN(fields), check                                         \
    }

// ---- parts ----
static const struct pack_field check_fields[] = {
    NAME(0, msg_check, name),
    NAME(1, msg_check, version),
};
static const struct pack_table check_table = TABLE(msg_check, check_fields, NULL);

static const struct pack_field sampling_fields[] = {
    U32(0, msg_sampling, max_tokens, PACK_SOME, LIMIT_COMPLETION_TOKENS),
    F32(1, msg_sampling, temperature, PACK_NOT_NEGATIVE),
    F32(2, msg_sampling, top_p, PACK_PROBABILITY),
    U32(3, msg_sampling, top_k, PACK_ANY, 0),
    F32(4, msg_sampling, min_p, PACK_UNIT),
};
static const struct pack_table sampling_table = TABLE(msg_sampling, sampling_fields, NULL);

static const struct pack_field group_fields[] = {
    U64(0, msg_group, group_id),
    NUMBERS(1, msg_group, prompt, PACK_U32S, PACK_SOME, LIMIT_PROMPT_TOKENS),
    IDS(2, msg_group, sample_ids, n_samples, PACK_SOME, LIMIT_SAMPLES_PER_GROUP),
    U32(3, msg_group, attempt, PACK_ANY, 0),
    STRUCT(4, msg_group, sampling, &sampling_table),
    U64(5, msg_group, pinned_version),
    U32(6, msg_group, lease_ms, PACK_ANY, 0),
};
static const struct pack_table group_table = TABLE(msg_group, group_fields, NULL);

static const struct pack_field segment_fields[] = {
    U64(0, msg_segment, version),
    U32(1, msg_segment, end, PACK_SOME, 0),
};
static const struct pack_table segment_table = TABLE(msg_segment, segment_fields, NULL);

static const struct pack_field job_fields[] = {
    U64(0, msg_score_job, sample_id),
    U32(1, msg_score_job, attempt, PACK_ANY, 0),
    TEXT(2, msg_score_job, dataset, PACK_NO_NUL, LIMIT_TEXT_BYTES),
    TEXT(3, msg_score_job, checks, PACK_NO_NUL, LIMIT_TEXT_BYTES),
    TEXT(4, msg_score_job, ground_truth, PACK_NO_NUL, LIMIT_TEXT_BYTES),
    TEXT(5, msg_score_job, prompt, PACK_ANY, LIMIT_TEXT_BYTES),
    TEXT(6, msg_score_job, response, PACK_ANY, LIMIT_TEXT_BYTES),
    U32(7, msg_score_job, finish, PACK_SOME, MSG_FINISH_LENGTH),
    U32(8, msg_score_job, deadline_ms, PACK_ANY, 0),
    U32(9, msg_score_job, lease_ms, PACK_ANY, 0),
    TEXT(10, msg_score_job, reward, PACK_NO_NUL, LIMIT_CONFIG_BYTES),
};
static const struct pack_table job_table = TABLE(msg_score_job, job_fields, NULL);

static const struct pack_field component_fields[] = {
    NAME(0, msg_component, id),
    NAME(1, msg_component, version),
    F64(2, msg_component, value, PACK_UNIT),
    F64(3, msg_component, weight, PACK_FINITE),
};
static const struct pack_table component_table = TABLE(msg_component, component_fields, NULL);

static const struct pack_field stat_fields[] = {
    NAME(0, msg_stat, name),
    F64(1, msg_stat, value, PACK_FINITE),
};
static const struct pack_table stat_table = TABLE(msg_stat, stat_fields, NULL);

// ---- messages ----
static const struct pack_field hello_fields[] = {
    U32(3, msg_hello, role, PACK_SOME, MSG_ROLE_VERIFIER),
    BYTES16(4, msg_hello, incarnation),
    NAME(5, msg_hello, name),
    NAME(6, msg_hello, numerics_id),
    NAME(7, msg_hello, token),
    STRUCTS(8, msg_hello, checks, &check_table, PACK_ANY, LIMIT_CHECKS),
    NAME(9, msg_hello, detail),
};

static const struct pack_field welcome_fields[] = {
    NAME(3, msg_welcome, run_id),
    NAME(4, msg_welcome, wait_address),
    TEXT(5, msg_welcome, model_config, PACK_NO_NUL, LIMIT_CONFIG_BYTES),
    BYTES16(6, msg_welcome, model_hash),
    U32(7, msg_welcome, dtype, PACK_ANY, CONF_DTYPE_F32),
    U64(8, msg_welcome, newest_version),
    U64(9, msg_welcome, seed),
    U32(10, msg_welcome, heartbeat_ms, PACK_SOME, 0),
};

static const struct pack_field fault_fields[] = {
    U32(3, msg_fault, code, PACK_SOME, ERR_FULL),
    TEXT(4, msg_fault, text, PACK_NO_NUL, LIMIT_FAULT_BYTES),
};

static const struct pack_field lease_generate_fields[] = {
    BYTES16(3, msg_lease_generate, incarnation),
    U32(4, msg_lease_generate, max_samples, PACK_SOME, 0),
    U64(5, msg_lease_generate, have_version),
    U32(6, msg_lease_generate, timeout_ms, PACK_ANY, 0),
};

static const struct pack_field generate_work_fields[] = {
    STRUCTS(3, msg_generate_work, groups, &group_table, PACK_ANY, LIMIT_GROUPS_PER_LEASE),
    NUMBERS(4, msg_generate_work, stop_ids, PACK_U32S, PACK_ANY, LIMIT_STOP_IDS),
    U64(5, msg_generate_work, newest_version),
};

static const struct pack_field submit_sample_fields[] = {
    BYTES16(3, msg_submit_sample, incarnation),
    U64(4, msg_submit_sample, sample_id),
    U32(5, msg_submit_sample, attempt, PACK_ANY, 0),
    NUMBERS(6, msg_submit_sample, tokens, PACK_U32S, PACK_SOME, LIMIT_COMPLETION_TOKENS),
    NUMBERS(7, msg_submit_sample, logprobs, PACK_F32S, PACK_SOME, LIMIT_COMPLETION_TOKENS),
    STRUCTS(8, msg_submit_sample, segments, &segment_table, PACK_SOME, LIMIT_SEGMENTS),
    U32(9, msg_submit_sample, finish, PACK_SOME, MSG_FINISH_LENGTH),
    U64(10, msg_submit_sample, pinned_version),
    BYTES16(11, msg_submit_sample, payload),
};

static const struct pack_field ack_fields[] = {
    U32(3, msg_ack_reply, status, PACK_SOME, MSG_ACK_UNKNOWN),
    U64(4, msg_ack_reply, newest_version),
};

static const struct pack_field lease_score_fields[] = {
    BYTES16(3, msg_lease_score, incarnation),
    U32(4, msg_lease_score, max_jobs, PACK_SOME, 0),
    U32(5, msg_lease_score, timeout_ms, PACK_ANY, 0),
};

static const struct pack_field score_work_fields[] = {
    STRUCTS(3, msg_score_work, jobs, &job_table, PACK_ANY, LIMIT_JOBS_PER_LEASE),
    U64(4, msg_score_work, newest_version),
};

static const struct pack_field submit_verdict_fields[] = {
    BYTES16(3, msg_submit_verdict, incarnation),
    U64(4, msg_submit_verdict, sample_id),
    U32(5, msg_submit_verdict, attempt, PACK_ANY, 0),
    U32(6, msg_submit_verdict, outcome, PACK_SOME, MSG_OUTCOME_UNSCORED),
    F64(7, msg_submit_verdict, reward, PACK_FINITE),
    NAME(8, msg_submit_verdict, cause),
    STRUCTS(9, msg_submit_verdict, components, &component_table, PACK_ANY, LIMIT_CHECKS),
    U32(10, msg_submit_verdict, elapsed_us, PACK_ANY, 0),
};

static const struct pack_field heartbeat_fields[] = {
    BYTES16(3, msg_heartbeat, incarnation),
    IDS(4, msg_heartbeat, held, n_held, PACK_ANY, LIMIT_HELD),
    STRUCTS(5, msg_heartbeat, stats, &stat_table, PACK_ANY, LIMIT_STATS),
    NAME(6, msg_heartbeat, waits_for),
    U32(7, msg_heartbeat, waits_ms, PACK_ANY, 0),
};

static const struct pack_field heartbeat_reply_fields[] = {
    U64(3, msg_heartbeat_reply, newest_version),
    BOOL(4, msg_heartbeat_reply, unknown),
    IDS(5, msg_heartbeat_reply, abandon, n_abandon, PACK_ANY, LIMIT_HELD),
};

static const struct pack_field fetch_weights_fields[] = {
    BYTES16(3, msg_fetch_weights, incarnation),
    U64(4, msg_fetch_weights, version),
    U64(5, msg_fetch_weights, offset),
    U32(6, msg_fetch_weights, max_bytes, PACK_SOME, 0),
};

static const struct pack_field weights_chunk_fields[] = {
    U64(3, msg_weights_chunk, version),        U64(4, msg_weights_chunk, total_bytes),
    U64(5, msg_weights_chunk, offset),         BLOB(6, msg_weights_chunk, bytes, LIMIT_CHUNK_BYTES),
    BYTES16(7, msg_weights_chunk, chunk_hash), BYTES16(8, msg_weights_chunk, weights_hash),
};

static const struct pack_field wait_version_fields[] = {
    BYTES16(3, msg_wait_version, incarnation),
    U64(4, msg_wait_version, have_version),
    U32(5, msg_wait_version, timeout_ms, PACK_ANY, 0),
};

static const struct pack_field version_fields[] = {
    U64(3, msg_version, newest_version),
};

static const struct pack_field find_weights_fields[] = {
    BYTES16(3, msg_find_weights, incarnation),
    U64(4, msg_find_weights, version),
};

static const struct pack_field weights_found_fields[] = {
    U64(3, msg_weights_found, version),
    BYTES16(4, msg_weights_found, weights_hash),
    U64(5, msg_weights_found, updated_us),
    U64(6, msg_weights_found, slab_pid),
    U32(7, msg_weights_found, slab_fd, PACK_ANY, INT32_MAX),
    BYTES16(8, msg_weights_found, slab_owner),
};

// ---- what no single field shows ----
static enum err sample_check(const void *p, struct why *why)
{
    const struct msg_submit_sample *s = p;
    if (s->n_logprobs != s->n_tokens) {
        return why_set(why, ERR_INVALID, "logprobs: %zu of them for %zu tokens", s->n_logprobs,
                       s->n_tokens);
    }
    for (size_t i = 1; i < s->n_segments; i++) {
        if (s->segments[i].end <= s->segments[i - 1].end) {
            return why_set(why, ERR_INVALID, "segments[%zu]: end %u does not follow %u", i,
                           s->segments[i].end, s->segments[i - 1].end);
        }
    }
    return ERR_OK;
}

static enum err verdict_check(const void *p, struct why *why)
{
    const struct msg_submit_verdict *v = p;
    if (v->outcome == MSG_OUTCOME_ZERO && v->reward != 0) {
        return why_set(why, ERR_INVALID, "reward: %g with outcome zero", v->reward);
    }
    if (v->outcome == MSG_OUTCOME_UNSCORED && v->cause.len == 0) {
        return why_set(why, ERR_INVALID, "cause: empty with outcome unscored");
    }
    return ERR_OK;
}

static enum err chunk_check(const void *p, struct why *why)
{
    const struct msg_weights_chunk *c = p;
    if (c->offset > c->total_bytes || c->bytes.len > c->total_bytes - c->offset) {
        return why_set(why, ERR_INVALID, "bytes: %zu at offset %llu pass the end at %llu",
                       c->bytes.len, (unsigned long long)c->offset,
                       (unsigned long long)c->total_bytes);
    }
    return ERR_OK;
}

const struct pack_table *pack_table_of(uint32_t type)
{
    static const struct pack_table tables[MSG_TYPE_COUNT] = {
        [MSG_HELLO] = TABLE(msg_hello, hello_fields, NULL),
        [MSG_WELCOME] = TABLE(msg_welcome, welcome_fields, NULL),
        [MSG_FAULT] = TABLE(msg_fault, fault_fields, NULL),
        [MSG_LEASE_GENERATE] = TABLE(msg_lease_generate, lease_generate_fields, NULL),
        [MSG_GENERATE_WORK] = TABLE(msg_generate_work, generate_work_fields, NULL),
        [MSG_SUBMIT_SAMPLE] = TABLE(msg_submit_sample, submit_sample_fields, sample_check),
        [MSG_ACK] = TABLE(msg_ack_reply, ack_fields, NULL),
        [MSG_LEASE_SCORE] = TABLE(msg_lease_score, lease_score_fields, NULL),
        [MSG_SCORE_WORK] = TABLE(msg_score_work, score_work_fields, NULL),
        [MSG_SUBMIT_VERDICT] = TABLE(msg_submit_verdict, submit_verdict_fields, verdict_check),
        [MSG_HEARTBEAT] = TABLE(msg_heartbeat, heartbeat_fields, NULL),
        [MSG_HEARTBEAT_REPLY] = TABLE(msg_heartbeat_reply, heartbeat_reply_fields, NULL),
        [MSG_FETCH_WEIGHTS] = TABLE(msg_fetch_weights, fetch_weights_fields, NULL),
        [MSG_WEIGHTS_CHUNK] = TABLE(msg_weights_chunk, weights_chunk_fields, chunk_check),
        [MSG_WAIT_VERSION] = TABLE(msg_wait_version, wait_version_fields, NULL),
        [MSG_VERSION] = TABLE(msg_version, version_fields, NULL),
        [MSG_FIND_WEIGHTS] = TABLE(msg_find_weights, find_weights_fields, NULL),
        [MSG_WEIGHTS_FOUND] = TABLE(msg_weights_found, weights_found_fields, NULL),
    };
    return type < MSG_TYPE_COUNT && tables[type].fields != NULL ? &tables[type] : NULL;
}

// jobframe.h: what travels on the two pipes between the pool and one worker.
//
// A frame is a little-endian u32 length and that many bytes of payload. Integers are little-endian,
// texts are a u32 length and bytes, doubles their IEEE bits as u64.
//   pool -> worker
//     JOB     u8 1, u64 job, u32 finish, u8 only_read, texts dataset checks ground_truth
//             reward prompt response
//   worker -> pool
//     READY   u8 2, u8 level (enum sandbox_level): once, after the sandbox is closed and before any
//             input is read
//     FAILED  u8 3, text: instead of READY: the step that failed and why
//     RESULT  u8 4, u64 job, u8 outcome, f64 reward, text cause, u32 n,
//             n x (text id, text version, f64 value, f64 weight)
//
// Both readers treat the other side as hostile: the worker because its input is a data row, the
// pool because a worker may be compromised.
#ifndef CARAVAN_VERIFIER_JOBFRAME_H
#define CARAVAN_VERIFIER_JOBFRAME_H

#include "common/buf.h"
#include "verifier/score.h"

#define JOBFRAME_HEAD_BYTES 4
#define JOBFRAME_JOB_MAX (6u * SCORE_TEXT_MAX + 64u)
#define JOBFRAME_REPLY_MAX (1u << 16)

enum jobframe_kind {
    JOBFRAME_JOB = 1,
    JOBFRAME_READY = 2,
    JOBFRAME_FAILED = 3,
    JOBFRAME_RESULT = 4
};

// Each writer appends a whole frame, length included. ERR_LIMIT when it would be over its maximum.
MUST_CHECK enum err jobframe_put_job(struct buf *out, uint64_t job,
                                     const struct score_request *req);
MUST_CHECK enum err jobframe_put_ready(struct buf *out, uint8_t level);
MUST_CHECK enum err jobframe_put_failed(struct buf *out, const char *text);
MUST_CHECK enum err jobframe_put_result(struct buf *out, uint64_t job,
                                        const struct score_result *result);

// The length in a frame's head; the reader compares it with its maximum before it makes room.
uint32_t jobframe_length(const uint8_t head[JOBFRAME_HEAD_BYTES]);

// Readers of a payload. ERR_CORRUPT: anything unexpected, bytes left over included.
// The request's texts point into data.
MUST_CHECK enum err jobframe_get_job(const uint8_t *data, size_t len, uint64_t *job,
                                     struct score_request *out);
// *kind says which of the outputs was set: READY level, FAILED text, RESULT job and result
// (score_result_fini).
struct jobframe_reply {
    enum jobframe_kind kind;
    uint8_t level;
    char text[SCORE_CAUSE_BYTES];
    uint64_t job;
    struct score_result result;
};
MUST_CHECK enum err jobframe_get_reply(const uint8_t *data, size_t len, struct jobframe_reply *out);

#endif

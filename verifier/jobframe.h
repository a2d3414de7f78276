// jobframe.h: what travels on the two pipes between the pool and one worker.
//
// A frame is a little-endian u32 length and that many bytes of payload. Integers are little-endian,
// texts are a u32 length and bytes, doubles their IEEE bits as u64.
//   pool -> worker
//     JOB     u8 1, u64 job, u32 finish, u8 flags (1 only_read, 2 may_ask), texts dataset checks
//             ground_truth reward answers prompt response
//     CALL    u8 6, u64 job, u8 stopped, texts check kwargs ground_truth prompt response: for
//             workers that host a plug-in
//   worker -> pool
//     READY   u8 2, u8 level (enum sandbox_level), u32 n, n x (text id, text version, text doc):
//             once, after the sandbox is closed and before any input is read; the checks are those
//             of the plug-in, if it hosts one
//     FAILED  u8 3, text: instead of READY: the step that failed and why; later: last words of a
//             worker that is about to end
//     RESULT  u8 4, u64 job, u8 outcome, f64 reward, text cause, u32 n,
//             n x (text id, text version, f64 value, f64 weight); after a CALL the reward is the
//             value and n is 0
//     ASK     u8 5, u64 job, u32 n, n x (text check, text kwargs, text ground_truth): instead of a
//             RESULT, by leave of may_ask: what plug-ins must answer first
//
// Jobs may be written ahead; replies come in their order. Both readers treat the other side as
// hostile: the worker because its input is a data row, the pool because a worker may be
// compromised.
#ifndef CARAVAN_VERIFIER_JOBFRAME_H
#define CARAVAN_VERIFIER_JOBFRAME_H

#include "common/buf.h"
#include "verifier/score.h"

#define JOBFRAME_HEAD_BYTES 4
#define JOBFRAME_JOB_MAX (7u * SCORE_TEXT_MAX + 64u)
#define JOBFRAME_REPLY_MAX (1u << 16)
#define JOBFRAME_MAX_CALLS 16     // questions in one ASK
#define JOBFRAME_MAX_CHECKS 64    // of one plug-in
#define JOBFRAME_DOC_BYTES 160

enum jobframe_kind {
    JOBFRAME_JOB = 1,
    JOBFRAME_READY = 2,
    JOBFRAME_FAILED = 3,
    JOBFRAME_RESULT = 4,
    JOBFRAME_ASK = 5,
    JOBFRAME_CALL = 6
};

// A check that a plug-in offers.
struct jobframe_check {
    char id[SCORE_ID_BYTES], version[SCORE_VERSION_BYTES], doc[JOBFRAME_DOC_BYTES];
};

// A question to a plug-in. Texts are borrowed.
struct jobframe_call {
    struct score_text check, kwargs, ground_truth;
};

// Each writer appends a whole frame, length included. ERR_LIMIT when it would be over its maximum;
// nothing is appended then.
MUST_CHECK enum err jobframe_put_job(struct buf *out, uint64_t job,
                                     const struct score_request *req);
MUST_CHECK enum err jobframe_put_call(struct buf *out, uint64_t job, struct score_text check,
                                      const struct score_plugin_input *in);
MUST_CHECK enum err jobframe_put_ready(struct buf *out, uint8_t level,
                                       const struct jobframe_check *checks, size_t n);
MUST_CHECK enum err jobframe_put_failed(struct buf *out, const char *text);
MUST_CHECK enum err jobframe_put_result(struct buf *out, uint64_t job,
                                        const struct score_result *result);
MUST_CHECK enum err jobframe_put_ask(struct buf *out, uint64_t job,
                                     const struct jobframe_call *calls, size_t n);
// Writes another number into a JOB or CALL frame that stands alone in b.
void jobframe_renumber(struct buf *b, uint64_t job);

// The length in a frame's head; the reader compares it with its maximum before it makes room.
uint32_t jobframe_length(const uint8_t head[JOBFRAME_HEAD_BYTES]);

// Readers of a payload. ERR_CORRUPT: anything unexpected, bytes left over included.
// Texts point into data.
MUST_CHECK enum err jobframe_get_job(const uint8_t *data, size_t len, uint64_t *job,
                                     struct score_request *out);
MUST_CHECK enum err jobframe_get_call(const uint8_t *data, size_t len, uint64_t *job,
                                      struct score_text *check, struct score_plugin_input *out);
// *kind says which of the outputs was set: READY level and checks, FAILED text, RESULT job and
// result, ASK job and calls (pointing into data).
struct jobframe_reply {
    enum jobframe_kind kind;
    uint8_t level;
    char text[SCORE_CAUSE_BYTES];
    uint64_t job;
    struct score_result result;
    struct jobframe_check *checks;
    size_t n_checks;
    struct jobframe_call calls[JOBFRAME_MAX_CALLS];
    size_t n_calls;
};
MUST_CHECK enum err jobframe_get_reply(const uint8_t *data, size_t len, struct jobframe_reply *out);
void jobframe_reply_fini(struct jobframe_reply *r);    // zeroed struct is fine

#endif

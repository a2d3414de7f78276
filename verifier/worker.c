// worker.c: the only code that meets a response outside the learner's ledger.
//
// A worker holds nothing of value: no descriptors but its two pipes, no environment, no files. What
// libraries fetch lazily is fetched before the walls close (jansson reads /dev/urandom for its hash
// seed at the first object), so a warm-up request runs first, on a text of our own. stdio is not
// used: its buffers would ask for system calls at odd moments. One thread.
#include "verifier/worker.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verifier/jobframe.h"
#include "verifier/sandbox.h"

#define KEEP_BYTES (1u << 20)    // an input buffer larger than this is given back after its job

enum { EXIT_INPUT = 2, EXIT_SANDBOX = 3 };

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9' || v == 0 || v > max) {
        return false;
    }
    *out = v;
    return true;
}

static bool parse_arguments(int argc, char **argv, struct sandbox *out)
{
    uint64_t mb, cpu;
    if (argc != 7 || strcmp(argv[1], "--sandbox") != 0 || strcmp(argv[3], "--memory-mb") != 0 ||
        strcmp(argv[5], "--cpu-s") != 0) {
        return false;
    }
    if (!sandbox_level_parse(argv[2], &out->level) || !parse_number(argv[4], 1u << 20, &mb) ||
        !parse_number(argv[6], UINT32_MAX, &cpu)) {
        return false;
    }
    out->memory_bytes = mb << 20;
    out->cpu_s = (uint32_t)cpu;
    return true;
}

static bool write_all(const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(1, data, len);
        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

// 1: filled; 0: the input ended before the first byte; -1: it ended inside or failed.
static int read_all(uint8_t *data, size_t len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(0, data + got, len - got);
        if (n <= 0) {
            return n == 0 && got == 0 ? 0 : -1;
        }
        got += (size_t)n;
    }
    return 1;
}

static void send_and_clear(struct buf *out, enum err e)
{
    if (e || !write_all(out->data, out->len)) {
        _exit(EXIT_INPUT);
    }
    buf_clear(out);
}

static void warm_up(void)
{
    static const char checks[] =
        "[{\"id\":\"keywords:existence\",\"kwargs\":{\"keywords\":[\"a\\\\w\"]}},{\"id\":"
        "\"detectable_format:json_format\",\"kwargs\":{}}]";
    struct score_request req = {.checks = {checks, sizeof checks - 1},
                                .response = {"[\"able\"]", 8}};
    struct score_result result;
    json_object_seed(0);
    score_request_run(&req, &result);
    score_result_fini(&result);
}

// Reads one job into `in`, scores it, answers. False at the end of input.
static bool serve_one(struct buf *in, struct buf *out, worker_score_fn *score)
{
    uint8_t head[JOBFRAME_HEAD_BYTES];
    int got = read_all(head, sizeof head);
    size_t len = got > 0 ? jobframe_length(head) : 0;
    if (got == 0) {
        return false;
    }
    buf_clear(in);
    if (got < 0 || len == 0 || len > JOBFRAME_JOB_MAX || buf_reserve(in, len) ||
        read_all(in->data, len) != 1) {
        _exit(EXIT_INPUT);
    }
    uint64_t job;
    struct score_request req;
    if (jobframe_get_job(in->data, len, &job, &req)) {
        _exit(EXIT_INPUT);
    }
    struct score_result result;
    score(&req, &result);
    send_and_clear(out, jobframe_put_result(out, job, &result));
    score_result_fini(&result);
    if (in->cap > KEEP_BYTES) {
        buf_fini(in);
        buf_init(in, JOBFRAME_JOB_MAX);
    }
    return true;
}

_Noreturn void worker_run(int argc, char **argv, worker_score_fn *score)
{
    struct sandbox sandbox = {0};
    struct buf in, out;
    struct why why = {{0}};
    if (!parse_arguments(argc, argv, &sandbox)) {
        _exit(EXIT_INPUT);
    }
    buf_init(&in, JOBFRAME_JOB_MAX);
    buf_init(&out, JOBFRAME_REPLY_MAX + JOBFRAME_HEAD_BYTES);
    warm_up();
    if (sandbox_enter(&sandbox, &why)) {
        send_and_clear(&out, jobframe_put_failed(&out, why.text));
        _exit(EXIT_SANDBOX);
    }
    send_and_clear(&out, jobframe_put_ready(&out, (uint8_t)sandbox.level));
    while (serve_one(&in, &out, score)) {
    }
    _exit(0);
}

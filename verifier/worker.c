// worker.c: the only code that meets a response outside the learner's ledger.
//
// A worker holds nothing of value: no descriptors but its two pipes, no environment, no files. What
// libraries fetch lazily is fetched before the walls close (jansson reads /dev/urandom for its hash
// seed at the first object), so a warm-up request runs first, on a text of our own. stdio is not
// used: its buffers would ask for system calls at odd moments. One thread.
//
// Input is read as it comes, many jobs at once when many wait. Replies are gathered while there is
// more input at hand and written when it is used up, when FLUSH_BYTES are full, or when FLUSH_NS of
// work have gone by since the last write: small jobs share a system call, and no verdict waits for
// a slow neighbour.
#include "verifier/worker.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "verifier/pluginhost.h"
#include "verifier/sandbox.h"

#define READ_BYTES (64u << 10)
#define KEEP_BYTES (1u << 20)    // an input buffer larger than this is given back when it is empty
#define FLUSH_BYTES (32u << 10)
#define FLUSH_NS 50000

enum { EXIT_INPUT = 2, EXIT_SANDBOX = 3, EXIT_PLUGIN = 4 };

struct worker {
    struct sandbox sandbox;
    const char *host;    // NULL, "object", "program"
    bool joins;          // a control group
    worker_score_fn *score;
    struct askbook book;
    struct pluginhost *plugin;
    struct buf in, out;
    size_t at;    // what of in has been taken
    uint64_t flushed_ns;
};

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

static bool parse_arguments(int argc, char **argv, struct worker *w)
{
    struct sandbox *out = &w->sandbox;
    uint64_t mb, cpu;
    if ((argc != 9 && argc != 11) || strcmp(argv[7], "--group") != 0 ||
        strcmp(argv[1], "--sandbox") != 0 || strcmp(argv[3], "--memory-mb") != 0 ||
        strcmp(argv[5], "--cpu-s") != 0) {
        return false;
    }
    if (!sandbox_level_parse(argv[2], &out->level) || !parse_number(argv[4], 1u << 20, &mb) ||
        !parse_number(argv[6], UINT32_MAX, &cpu)) {
        return false;
    }
    out->memory_bytes = mb << 20;
    out->cpu_s = (uint32_t)cpu;
    w->host = argc == 11 ? argv[10] : NULL;
    w->joins = strcmp(argv[8], "join") == 0;
    return argc == 9 || strcmp(argv[9], "--host") == 0;
}

static void flush(struct worker *w)
{
    const uint8_t *data = w->out.data;
    size_t len = w->out.len;
    while (len > 0) {
        ssize_t n = write(1, data, len);
        if (n <= 0) {
            _exit(EXIT_INPUT);
        }
        data += n;
        len -= (size_t)n;
    }
    buf_clear(&w->out);
    w->flushed_ns = clock_mono_ns();
}

static void must(enum err e)
{
    if (e) {
        _exit(EXIT_INPUT);
    }
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
    (void)clock_mono_ns();
}

static void answer_job(struct worker *w, const uint8_t *data, size_t len)
{
    uint64_t job;
    struct score_request req;
    struct score_result result;
    must(jobframe_get_job(data, len, &job, &req));
    w->score(&w->book, &req, &result);
    enum err asked = ERR_NOT_FOUND;
    if (w->book.n_calls > 0) {
        asked = jobframe_put_ask(&w->out, job, w->book.calls, w->book.n_calls);
        if (asked) {
            score_unscored(&result, "the questions to plug-ins are too long together");
        }
    }
    if (asked) {
        must(jobframe_put_result(&w->out, job, &result));
    }
    score_result_fini(&result);
}

static void answer_call(struct worker *w, const uint8_t *data, size_t len)
{
    uint64_t job;
    struct score_text check;
    struct score_plugin_input in;
    struct score_result result = {0};
    struct why why = {{0}};
    must(jobframe_get_call(data, len, &job, &check, &in));
    if (pluginhost_run(w->plugin, check, &in, &result, &why)) {
        must(jobframe_put_failed(&w->out, why.text));
        flush(w);
        _exit(EXIT_PLUGIN);
    }
    must(jobframe_put_result(&w->out, job, &result));
    score_result_fini(&result);
}

// Answers every whole frame of the input; returns the bytes that the next one still needs.
static size_t answer_input(struct worker *w)
{
    for (;;) {
        size_t left = w->in.len - w->at;
        if (left < JOBFRAME_HEAD_BYTES) {
            return JOBFRAME_HEAD_BYTES - left;
        }
        size_t len = jobframe_length(w->in.data + w->at);
        if (len == 0 || len > JOBFRAME_JOB_MAX) {
            _exit(EXIT_INPUT);
        }
        if (left < JOBFRAME_HEAD_BYTES + len) {
            return JOBFRAME_HEAD_BYTES + len - left;
        }
        const uint8_t *payload = w->in.data + w->at + JOBFRAME_HEAD_BYTES;
        w->at += JOBFRAME_HEAD_BYTES + len;
        if (w->plugin) {
            answer_call(w, payload, len);
        } else {
            answer_job(w, payload, len);
        }
        if (w->out.len >= FLUSH_BYTES || clock_mono_ns() - w->flushed_ns >= FLUSH_NS) {
            flush(w);
        }
    }
}

// Moves what is not yet taken to the front, with room for `needed` more bytes behind it.
static void make_room(struct worker *w, size_t needed)
{
    size_t left = w->in.len - w->at;
    if (left > 0) {
        memmove(w->in.data, w->in.data + w->at, left);
    }
    w->in.len = left;
    w->at = 0;
    if (left == 0 && w->in.cap > KEEP_BYTES) {
        buf_fini(&w->in);
        buf_init(&w->in, 2 * JOBFRAME_JOB_MAX);
    }
    must(buf_reserve(&w->in, MAX(needed, READ_BYTES)));
}

static void serve(struct worker *w)
{
    for (;;) {
        size_t needed = answer_input(w);
        flush(w);
        make_room(w, needed);
        ssize_t n = read(0, w->in.data + w->in.len, w->in.cap - w->in.len);
        if (n <= 0) {
            _exit(n == 0 && w->in.len == 0 ? 0 : EXIT_INPUT);
        }
        w->in.len += (size_t)n;
        w->flushed_ns = clock_mono_ns();
    }
}

_Noreturn void worker_run(int argc, char **argv, worker_score_fn *score)
{
    static struct worker worker;
    struct worker *w = &worker;
    struct why why = {{0}};
    if (!parse_arguments(argc, argv, w)) {
        _exit(EXIT_INPUT);
    }
    w->score = score;
    buf_init(&w->in, 2 * JOBFRAME_JOB_MAX);
    buf_init(&w->out, 2 * (JOBFRAME_REPLY_MAX + JOBFRAME_HEAD_BYTES));
    warm_up();
    if (w->joins && write(w->host ? 4 : 3, "0", 1) != 1) {
        must(jobframe_put_failed(&w->out, "the worker cannot join its control group"));
        flush(w);
        _exit(EXIT_SANDBOX);
    }
    enum err e = w->host ? pluginhost_enter(w->host, &w->sandbox, &w->plugin, &why)
                         : sandbox_enter(&w->sandbox, &why);
    if (e) {
        must(jobframe_put_failed(&w->out, why.text));
        flush(w);
        _exit(EXIT_SANDBOX);
    }
    size_t n_checks = 0;
    const struct jobframe_check *checks =
        w->plugin ? pluginhost_checks(w->plugin, &n_checks) : NULL;
    must(jobframe_put_ready(&w->out, (uint8_t)w->sandbox.level, checks, n_checks));
    flush(w);
    serve(w);
    _exit(0);
}

// bench_verify.c: `caravan bench verify`: how many verdicts the sandboxed pool gives, and how long
// one takes.
//
// The rows are those that `caravan verify` reads; they are read before the clock starts and then go
// round and round. In a turn the pool is first kept full: jobs a second, and the processor time of
// this process for each (the workers' own is what remains of the machine). Then it gets jobs at half
// that rate, evenly spaced or as many as are due every 50 us, and the figures are the time from
// submission to verdict.
//
// Thread: a libuv loop of its own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include "cli/bench.h"
#include "common/clock.h"
#include "common/json.h"
#include "verifier/workpool.h"

enum { MAX_ROWS = 100000, AHEAD = 512, MAX_TIMES = 4000000, TICK_NS = 50000 };

struct options {
    struct bench_options common;
    const char *rows, *sandbox;
    int64_t workers;
    double seconds;
};

static const struct arg args[] = {
    {"rows", ARG_TEXT, offsetof(struct options, rows), 0, 0, "FILE",
     "JSON lines as `caravan verify` reads them"},
    {"workers", ARG_INT, offsetof(struct options, workers), 1, 256, "N",
     "sandboxed worker processes (default 1)"},
    {"sandbox", ARG_TEXT, offsetof(struct options, sandbox), 0, 0, "LEVEL",
     "auto, full, seccomp or none (default auto: the best that works, never none)"},
    {"seconds", ARG_NUM, offsetof(struct options, seconds), 0.01, 600, "S",
     "of each half of a turn (default 3)"},
    BENCH_TURN_ARGS,
    {0},
};

enum figure { JOBS_PER_S, CPU_US, UNSCORED, P50_US, P99_US, MOST_US, OTHERS, FIGURES };

static const struct bench_figure figures[FIGURES] = {
    [JOBS_PER_S] = {"jobs_per_s", 0}, [CPU_US] = {"cpu_us_per_job", 2},
    [UNSCORED] = {"unscored", 0},     [P50_US] = {"half_p50_us", 0},
    [P99_US] = {"half_p99_us", 0},    [MOST_US] = {"half_most_us", 0},
    [OTHERS] = {"others", 3},
};

struct row {
    char *dataset, *checks, *truth;
    json_t *json;
    struct score_request req;
};

struct job {
    struct verify *verify;
    uint64_t since_ns;
    bool busy;
};

struct verify {
    const struct options *o;
    uv_loop_t loop;
    int clock;         // timerfd: libuv's own timers are as coarse as a millisecond
    uv_poll_t pace;    // on it
    struct workpool *pool;
    struct row *rows;
    size_t n_rows, next_row;
    struct job jobs[AHEAD];
    size_t in_flight;
    bool ready, feeding, full_load;
    enum err failed;
    struct why why;
    uint64_t gap_ns, next_ns, end_ns;
    float *times_us;    // (MAX_TIMES)
    size_t n_times, n_done, unscored;
    const char *level;
};

// ---- rows ----

static char *dump(const json_t *v)
{
    return v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("");
}

static struct score_text text_of(const char *s)
{
    return (struct score_text){s, s ? strlen(s) : 0};
}

static enum err add_row(struct verify *v, json_t *json, struct why *why)
{
    struct row *r = &v->rows[v->n_rows++];
    r->json = json;
    r->dataset = dump(json_object_get(json, "dataset"));
    r->checks = dump(json_object_get(json, "checks"));
    r->truth = dump(json_object_get(json, "ground_truth"));
    if (!r->dataset || !r->checks || !r->truth) {
        return why_set(why, ERR_NOMEM, "no memory for rows");
    }
    r->req = (struct score_request){
        .dataset = text_of(r->dataset),
        .checks = text_of(r->checks),
        .ground_truth = text_of(r->truth),
        .prompt = text_of(json_string_value(json_object_get(json, "prompt"))),
        .response = text_of(json_string_value(json_object_get(json, "response")))};
    return ERR_OK;
}

static enum err read_rows(struct verify *v, struct why *why)
{
    const char *path = v->o->rows;
    char *line = NULL, where[512];
    size_t cap = 0;
    ssize_t len;
    FILE *f = fopen(path, "re");
    if (!f) {
        return why_set(why, ERR_IO, "%s: %m", path);
    }
    v->rows = calloc(MAX_ROWS, sizeof *v->rows);
    enum err e = v->rows ? ERR_OK : why_set(why, ERR_NOMEM, "no memory for rows");
    while (!e && v->n_rows < MAX_ROWS && (len = getline(&line, &cap, f)) > 0) {
        json_t *json = NULL;
        snprintf(where, sizeof where, "%s:%zu", path, v->n_rows + 1);
        e = json_parse(line, (size_t)len, where, &json, why);
        e = e ? e : add_row(v, json, why);
    }
    free(line);
    fclose(f);
    return !e && v->n_rows == 0 ? why_set(why, ERR_INVALID, "%s: no rows", path) : e;
}

static void free_rows(struct verify *v)
{
    for (size_t i = 0; i < v->n_rows; i++) {
        json_decref(v->rows[i].json);
        free(v->rows[i].dataset);
        free(v->rows[i].checks);
        free(v->rows[i].truth);
    }
    free(v->rows);
}

// ---- jobs ----

static void feed(struct verify *v);

static void on_done(void *arg, const struct score_result *r, uint32_t us)
{
    struct job *j = arg;
    struct verify *v = j->verify;
    (void)us;
    j->busy = false;
    v->in_flight--;
    v->n_done++;
    v->unscored += r->outcome == SCORE_UNSCORED;
    if (v->n_times < MAX_TIMES) {
        v->times_us[v->n_times++] = (float)(clock_mono_ns() - j->since_ns) * 1e-3f;
    }
    if (v->full_load) {
        feed(v);
    }
}

// False: nothing more can be handed in now.
static bool submit(struct verify *v)
{
    size_t i = 0;
    while (i < AHEAD && v->jobs[i].busy) {
        i++;
    }
    if (i == AHEAD) {
        return false;
    }
    struct job *j = &v->jobs[i];
    *j = (struct job){.verify = v, .since_ns = clock_mono_ns(), .busy = true};
    struct score_request *req = &v->rows[v->next_row % v->n_rows].req;
    enum err e = workpool_submit(v->pool, req, 0, on_done, j, &v->why);
    if (e) {
        j->busy = false;
        v->failed = e == ERR_FULL ? ERR_OK : e;
        return false;
    }
    v->next_row++;
    v->in_flight++;
    return true;
}

static void feed(struct verify *v)
{
    uint64_t now = clock_mono_ns();
    if (!v->feeding) {
        return;
    }
    if (now >= v->end_ns || v->failed || atomic_load(bench_halt())) {
        v->feeding = false;
    } else if (v->full_load) {
        while (v->in_flight < AHEAD && submit(v)) {
        }
    } else {
        while (v->next_ns <= now && submit(v)) {
            v->next_ns += v->gap_ns;
        }
    }
}

static void set_pace(struct verify *v, uint64_t ns)
{
    struct timespec t = {.tv_nsec = (long)ns};
    struct itimerspec every = {.it_interval = t, .it_value = t};
    CHECK(timerfd_settime(v->clock, 0, &every, NULL) == 0);
}

static void on_pace(uv_poll_t *h, int status, int events)
{
    struct verify *v = h->data;
    uint64_t ticks;
    (void)status;
    (void)events;
    if (read(v->clock, &ticks, sizeof ticks) > 0) {
        feed(v);
    }
}

// Feeds for so long, and waits for what is under way.
static enum err run_for(struct verify *v, double seconds, struct why *why)
{
    v->n_times = v->n_done = v->unscored = 0;
    v->feeding = true;
    v->next_ns = clock_mono_ns();
    v->end_ns = v->next_ns + (uint64_t)(seconds * 1e9);
    feed(v);
    // At full load too: verdicts feed the pool, but none may come any more.
    set_pace(v, v->full_load ? TICK_NS * 20 : MIN(MAX(v->gap_ns, TICK_NS), 999999999));
    while (v->feeding || v->in_flight > 0) {
        uv_run(&v->loop, UV_RUN_ONCE);
    }
    set_pace(v, 0);
    if (v->failed) {
        *why = v->why;
    }
    return v->failed                   ? v->failed
           : atomic_load(bench_halt()) ? why_set(why, ERR_CANCELLED, "stopped")
           : v->n_done == 0            ? why_set(why, ERR_TIMEOUT, "no verdict in %g s", seconds)
                                       : ERR_OK;
}

// ---- turns ----

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static enum err turn(void *arg, double *row, struct why *why)
{
    struct verify *v = arg;
    struct bench_window w;
    v->full_load = true;
    bench_window_open(&w);
    enum err e = run_for(v, v->o->seconds, why);
    if (e) {
        return e;
    }
    struct bench_usage u = bench_window_close(&w);
    row[JOBS_PER_S] = (double)v->n_done / u.wall;
    row[CPU_US] = 1e6 * u.cpu / (double)v->n_done;
    row[UNSCORED] = (double)v->unscored;
    v->full_load = false;
    v->gap_ns = (uint64_t)(2e9 / row[JOBS_PER_S]);
    e = run_for(v, v->o->seconds, why);
    if (e) {
        return e;
    }
    qsort(v->times_us, v->n_times, sizeof *v->times_us, by_size);
    row[P50_US] = (double)v->times_us[v->n_times / 2];
    row[P99_US] = (double)v->times_us[v->n_times * 99 / 100];
    row[MOST_US] = (double)v->times_us[v->n_times - 1];
    row[OTHERS] = u.others;
    return ERR_OK;
}

// ---- the pool ----

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct verify *v = arg;
    v->ready = true;
    v->level = sandbox_level_name(level);
    v->failed = e ? why_set(&v->why, e, "%s", text) : ERR_OK;
}

static enum err open_pool(struct verify *v, enum conf_sandbox level, struct why *why)
{
    const struct workpool_config c = {.n_workers = (uint32_t)v->o->workers,
                                      .sandbox = level,
                                      .deadline_ms = 5000,
                                      .recycle_jobs = 1000000,
                                      .queue_max = AHEAD};
    v->times_us = malloc(MAX_TIMES * sizeof *v->times_us);
    if (!v->times_us) {
        return why_set(why, ERR_NOMEM, "no memory for %d times", MAX_TIMES);
    }
    v->clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(v->clock >= 0 && uv_poll_init(&v->loop, &v->pace, v->clock) == 0);
    v->pace.data = v;
    uv_poll_start(&v->pace, UV_READABLE, on_pace);
    enum err e = workpool_create(&v->loop, &c, on_ready, v, &v->pool, why);
    while (!e && !v->ready) {
        uv_run(&v->loop, UV_RUN_ONCE);
    }
    if (!e && v->failed) {
        *why = v->why;
        e = v->failed;
    }
    return e;
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void close_pool(struct verify *v)
{
    if (v->clock >= 0) {
        uv_close((uv_handle_t *)&v->pace, NULL);
    }
    if (v->pool) {
        workpool_close(v->pool, on_closed, NULL);
    }
    uv_run(&v->loop, UV_RUN_DEFAULT);
    workpool_destroy(v->pool);
    uv_loop_close(&v->loop);
    if (v->clock >= 0) {
        close(v->clock);
    }
    free(v->times_us);
}

static enum err measure(struct verify *v, struct why *why)
{
    const struct options *o = v->o;
    json_t *facts = bench_facts("verify", &o->common, NULL);
    if (!facts) {
        return why_set(why, ERR_NOMEM, "no memory for figures");
    }
    json_object_set_new(facts, "rows", json_integer((json_int_t)v->n_rows));
    json_object_set_new(facts, "workers", json_integer(o->workers));
    json_object_set_new(facts, "sandbox", json_string(v->level));
    return bench_turns("verify: verdicts of the sandboxed pool", facts, figures, FIGURES,
                       &o->common, turn, v, why);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.common = bench_defaults, .sandbox = "auto", .workers = 1, .seconds = 3};
    struct words words;
    struct why why = {""};
    enum conf_sandbox level;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.rows) {
        return cli_complain(self, "--rows: missing (a file of rows that `caravan verify` reads)");
    }
    if (!conf_sandbox_parse(o.sandbox, &level)) {
        return cli_complain(self, "--sandbox: '%s', expected auto, full, seccomp or none",
                            o.sandbox);
    }
    static struct verify v;
    v = (struct verify){.o = &o, .clock = -1};
    CHECK(uv_loop_init(&v.loop) == 0);
    bench_catch_signals();
    enum err e = read_rows(&v, &why);
    e = e ? e : open_pool(&v, level, &why);
    e = e ? e : measure(&v, &why);
    close_pool(&v);
    free_rows(&v);
    return bench_exit(self, e, &why);
}

const struct command bench_verify = {
    .name = "bench verify",
    .synopsis = "--rows FILE [--workers N] [--seconds S] [--sandbox LEVEL] [options]",
    .help = "verdicts a second of the sandboxed pool, and how long one takes",
    .more =
        "jobs_per_s is at full load; the times, from submission to verdict, are at half of that "
        "rate. cpu_us_per_job is of this process: the workers' share is not in it.",
    .args = args,
    .run = run,
};

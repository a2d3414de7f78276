// verify_bench: how many verdicts the sandboxed pool gives, and how long one takes.
//
//   verify_bench --rows FILE.jsonl [--workers N] [--seconds S] [--sandbox LEVEL]
//
// The rows are those that `caravan verify` reads; they are read before the clock starts and then
// go round and round. First the pool is kept full: jobs a second and the processor time of this
// process per job (the workers' own is what remains of the machine). Then it gets jobs at half that
// rate, evenly spaced or as many as are due every 50 us, and the table shows the time from submission to verdict.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "tests/bench/kit.h"
#include "verifier/workpool.h"

enum { MAX_ROWS = 100000, AHEAD = 512, MAX_TIMES = 4000000, TICK_NS = 50000 };

struct row {
    char *dataset, *checks, *truth;
    json_t *json;
    struct score_request req;
};

struct job {
    struct bench *bench;
    uint64_t since_ns;
    bool busy;
};

struct bench {
    uv_loop_t loop;
    int clock;         // timerfd: libuv's own timers are as coarse as a millisecond
    uv_poll_t pace;    // on it
    struct workpool *pool;
    struct row *rows;
    size_t n_rows, next_row;
    struct job jobs[AHEAD];
    size_t in_flight;
    bool ready, feeding, full_load;
    uint64_t gap_ns, next_ns, end_ns;
    float *times_us;
    size_t n_times, unscored;
};

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

// ---- rows ----

static char *dump(const json_t *v)
{
    return v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("");
}

static struct score_text text_of(const char *s)
{
    return (struct score_text){s, s ? strlen(s) : 0};
}

static void read_rows(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    if (!f) {
        perror(path);
        exit(2);
    }
    b->rows = calloc(MAX_ROWS, sizeof *b->rows);
    CHECK(b->rows);
    while (b->n_rows < MAX_ROWS && getline(&line, &cap, f) > 0) {
        struct row *r = &b->rows[b->n_rows];
        r->json = json_loads(line, 0, NULL);
        if (!r->json) {
            fprintf(stderr, "verify_bench: %s:%zu: no JSON\n", path, b->n_rows + 1);
            exit(2);
        }
        r->dataset = dump(json_object_get(r->json, "dataset"));
        r->checks = dump(json_object_get(r->json, "checks"));
        r->truth = dump(json_object_get(r->json, "ground_truth"));
        r->req = (struct score_request){
            .dataset = text_of(r->dataset),
            .checks = text_of(r->checks),
            .ground_truth = text_of(r->truth),
            .prompt = text_of(json_string_value(json_object_get(r->json, "prompt"))),
            .response = text_of(json_string_value(json_object_get(r->json, "response")))};
        b->n_rows++;
    }
    free(line);
    fclose(f);
    CHECK(b->n_rows > 0);
}

// ---- jobs ----

static void feed(struct bench *b);

static void on_done(void *arg, const struct score_result *r, uint32_t us)
{
    struct job *j = arg;
    struct bench *b = j->bench;
    (void)us;
    j->busy = false;
    b->in_flight--;
    b->unscored += r->outcome == SCORE_UNSCORED;
    if (b->n_times < MAX_TIMES) {
        b->times_us[b->n_times++] = (float)(clock_mono_ns() - j->since_ns) * 1e-3f;
    }
    if (b->full_load) {
        feed(b);
    }
}

static bool submit(struct bench *b)
{
    size_t i = 0;
    while (i < AHEAD && b->jobs[i].busy) {
        i++;
    }
    if (i == AHEAD) {
        return false;
    }
    struct job *j = &b->jobs[i];
    struct why why = {{0}};
    *j = (struct job){.bench = b, .since_ns = clock_mono_ns(), .busy = true};
    if (workpool_submit(b->pool, &b->rows[b->next_row % b->n_rows].req, 0, on_done, j, &why)) {
        j->busy = false;
        return false;
    }
    b->next_row++;
    b->in_flight++;
    return true;
}

static void feed(struct bench *b)
{
    uint64_t now = clock_mono_ns();
    if (!b->feeding) {
        return;
    }
    if (now >= b->end_ns) {
        b->feeding = false;
    } else if (b->full_load) {
        while (b->in_flight < AHEAD && submit(b)) {
        }
    } else {
        while (b->next_ns <= now && submit(b)) {
            b->next_ns += b->gap_ns;
        }
    }
}

static void on_pace(uv_poll_t *h, int status, int events)
{
    struct bench *b = h->data;
    uint64_t ticks;
    (void)status;
    (void)events;
    if (read(b->clock, &ticks, sizeof ticks) > 0) {
        feed(b);
    }
}

static void set_pace(struct bench *b, uint64_t ns)
{
    struct timespec t = {.tv_nsec = (long)ns};
    struct itimerspec every = {.it_interval = t, .it_value = t};
    CHECK(timerfd_settime(b->clock, 0, &every, NULL) == 0);
}

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct bench *b = arg;
    if (e) {
        fprintf(stderr, "verify_bench: %s\n", text);
        exit(1);
    }
    printf("sandbox %s\n", sandbox_level_name(level));
    b->ready = true;
}

static void run_for(struct bench *b, double seconds)
{
    b->n_times = b->unscored = 0;
    b->feeding = true;
    b->next_ns = clock_mono_ns();
    b->end_ns = b->next_ns + (uint64_t)(seconds * 1e9);
    feed(b);
    if (!b->full_load) {
        set_pace(b, MAX(b->gap_ns, TICK_NS));
    }
    while (b->feeding || b->in_flight > 0) {
        uv_run(&b->loop, UV_RUN_ONCE);
    }
    set_pace(b, 0);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void on_closed(void *arg)
{
    (void)arg;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct workpool_config c = {
        .n_workers = 1, .deadline_ms = 5000, .recycle_jobs = 1000000, .queue_max = AHEAD};
    const char *rows = NULL;
    long seconds = 5;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *o = argv[i];
        if (strcmp(o, "--rows") == 0) {
            rows = argv[i + 1];
        } else if (strcmp(o, "--workers") == 0) {
            c.n_workers = (uint32_t)kit_number(o, argv[i + 1], 1, 256);
        } else if (strcmp(o, "--seconds") == 0) {
            seconds = kit_number(o, argv[i + 1], 1, 600);
        } else if (strcmp(o, "--sandbox") != 0 || !conf_sandbox_parse(argv[i + 1], &c.sandbox)) {
            rows = NULL;
            break;
        }
    }
    if (!rows || argc % 2 == 0) {
        fprintf(stderr, "usage: verify_bench --rows FILE.jsonl [--workers N] [--seconds S] "
                        "[--sandbox LEVEL]\n");
        return 2;
    }
    struct why why = {{0}};
    read_rows(&b, rows);
    b.times_us = malloc(MAX_TIMES * sizeof *b.times_us);
    CHECK(b.times_us && uv_loop_init(&b.loop) == 0);
    b.clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(b.clock >= 0 && uv_poll_init(&b.loop, &b.pace, b.clock) == 0);
    b.pace.data = &b;
    uv_poll_start(&b.pace, UV_READABLE, on_pace);
    if (workpool_create(&b.loop, &c, on_ready, &b, &b.pool, &why)) {
        fprintf(stderr, "verify_bench: %s\n", why.text);
        return 1;
    }
    while (!b.ready) {
        uv_run(&b.loop, UV_RUN_ONCE);
    }
    b.full_load = true;
    run_for(&b, 1);    // to settle
    double cpu = cpu_s();
    uint64_t from = clock_mono_ns();
    run_for(&b, (double)seconds);
    double wall = 1e-9 * (double)(clock_mono_ns() - from), rate = (double)b.n_times / wall;
    printf("full  %10.0f jobs/s, %.2f us of this process each, %zu unscored\n", rate,
           1e6 * (cpu_s() - cpu) / (double)b.n_times, b.unscored);
    b.full_load = false;
    b.gap_ns = (uint64_t)(2e9 / rate);
    run_for(&b, (double)seconds);
    qsort(b.times_us, b.n_times, sizeof *b.times_us, by_size);
    printf("half  %10.0f jobs/s, p50 %.0f us, p99 %.0f us, most %.0f us\n",
           (double)b.n_times / (double)seconds, (double)b.times_us[b.n_times / 2],
           (double)b.times_us[b.n_times * 99 / 100], (double)b.times_us[b.n_times - 1]);
    uv_close((uv_handle_t *)&b.pace, NULL);
    workpool_close(b.pool, on_closed, NULL);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    workpool_destroy(b.pool);
    return 0;
}

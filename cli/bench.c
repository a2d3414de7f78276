// bench.c: turns, clocks and tables for all benches.
#include "cli/bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

const struct bench_options bench_defaults = {.device = "cpu", .dtype = "bf16", .repeats = 5};

// ---- clocks ----

struct bench_span bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct bench_span){clock_mono_s(), (double)t.tv_sec + (double)t.tv_nsec * 1e-9};
}

struct bench_span bench_since(struct bench_span from)
{
    struct bench_span now = bench_now();
    return (struct bench_span){now.wall - from.wall, now.cpu - from.cpu};
}

double bench_machine_busy(void)
{
    unsigned long long t[8] = {0};
    FILE *f = fopen("/proc/stat", "re");
    if (f) {
        int n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                       &t[4], &t[5], &t[6], &t[7]);
        (void)n;
        fclose(f);
    }
    // user, nice, system, (idle, waiting,) interrupts, stolen
    return (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) / (double)sysconf(_SC_CLK_TCK);
}

size_t bench_peak_bytes(void)
{
    char line[256];
    unsigned long long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %llu", &kb) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return (size_t)kb << 10;
}

// proc(5): 5 sets the peak of resident memory to what is resident now.
void bench_peak_restart(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (f) {
        (void)fputs("5", f);
        (void)fclose(f);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_spread bench_spread(const double *values, size_t n)
{
    double *v = malloc(n * sizeof *v);
    CHECK(v != NULL && n > 0);
    memcpy(v, values, n * sizeof *v);
    qsort(v, n, sizeof *v, by_value);
    struct bench_spread s = {v[0], (v[(n - 1) / 2] + v[n / 2]) / 2, v[n - 1]};
    free(v);
    return s;
}

double bench_others(double busy_before, double wall, double own_cpu)
{
    double capacity = wall * (double)sysconf(_SC_NPROCESSORS_ONLN);
    double used = bench_machine_busy() - busy_before - own_cpu;
    return capacity > 0 ? MIN(1, MAX(0, used / capacity)) : 0;
}

void bench_window_open(struct bench_window *w)
{
    w->busy = bench_machine_busy();
    w->from = bench_now();
}

struct bench_usage bench_window_close(const struct bench_window *w)
{
    struct bench_span s = bench_since(w->from);
    return (struct bench_usage){s.wall, s.cpu, bench_others(w->busy, s.wall, s.cpu)};
}

// ---- signals ----

static atomic_bool halt;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&halt, true);
}

void bench_catch_signals(void)
{
    // Without SA_RESTART: a turn that waits for a line on stdin is to end as well.
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

const atomic_bool *bench_halt(void)
{
    return &halt;
}

int bench_exit(const struct command *self, enum err e, const struct why *why)
{
    if (e == ERR_CANCELLED) {
        (void)cli_fail(self, why);
        return CLI_STOPPED;
    }
    return e ? cli_fail(self, why) : CLI_OK;
}

// ---- a model ----

enum err bench_open_model(const struct bench_options *o, struct localmodel *m, double *seconds,
                          struct why *why)
{
    enum dtype t;
    *m = (struct localmodel){0};
    if (!o->model) {
        return why_set(why, ERR_INVALID, "--model: missing (a GGUF file or a Hugging Face folder)");
    }
    enum err e = localmodel_dtype(o->dtype, &t, why);
    double from = clock_mono_s();
    e = e ? e : source_open(o->model, &m->source, why);
    e = e ? e : localmodel_load_on(m, o->device, t, (int)o->threads, why);
    *seconds = clock_mono_s() - from;
    return e;
}

// ---- figures ----

json_t *bench_facts(const char *name, const struct bench_options *o, const struct localmodel *m)
{
    json_t *facts = json_pack("{s:s}", "bench", name);
    if (facts && m) {
        json_object_set_new(facts, "model", json_string(o->model));
        json_object_set_new(facts, "dtype", json_string(o->dtype));
        json_object_set_new(facts, "isa", json_string(device_isa(m->device)));
        json_object_set_new(facts, "threads", json_integer(pool_threads(m->pool)));
    }
    return facts;
}

void bench_report_begin(struct bench_report *r, const char *title, json_t *facts,
                        const struct bench_figure *figures, size_t n_figures, bool json)
{
    CHECK(n_figures <= BENCH_FIGURES);
    *r = (struct bench_report){
        .title = title, .facts = facts, .figures = figures, .n_figures = n_figures, .json = json};
}

static void print_line(const struct bench_report *r, const double *figures)
{
    char *facts = json_dumps(r->facts, JSON_COMPACT);
    size_t len = facts ? strlen(facts) : 0;
    printf("%.*s,\"turn\":%zu", len ? (int)len - 1 : 1, len ? facts : "{", r->n + 1);
    for (size_t i = 0; i < r->n_figures; i++) {
        printf(",\"%s\":%.*f", r->figures[i].name, r->figures[i].decimals, figures[i]);
    }
    printf("}\n");
    fflush(stdout);
    free(facts);
}

enum err bench_report_add(struct bench_report *r, const double *figures, struct why *why)
{
    if (r->json) {
        print_line(r, figures);
        r->n++;
        return ERR_OK;
    }
    double *rows = realloc(r->rows, (r->n + 1) * r->n_figures * sizeof *rows);
    if (!rows) {
        return why_set(why, ERR_NOMEM, "no memory for figures");
    }
    r->rows = rows;
    memcpy(rows + r->n * r->n_figures, figures, r->n_figures * sizeof *rows);
    r->n++;
    return ERR_OK;
}

static void print_facts(const struct bench_report *r)
{
    const char *key, *between = "";
    json_t *value;
    json_object_foreach(r->facts, key, value)
    {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(4));
        const char *shown = json_is_string(value) ? json_string_value(value) : text;
        printf("%s%s %s", between, key, shown ? shown : "?");
        between = ", ";
        free(text);
    }
    printf("\n");
}

static void print_table(const struct bench_report *r)
{
    double *column = malloc(r->n * sizeof *column);
    CHECK(column != NULL);
    printf("%s; %zu turn%s\n", r->title, r->n, r->n == 1 ? "" : "s");
    print_facts(r);
    printf("\n  %-24s %12s %12s %12s\n", "figure", "median", "least", "most");
    for (size_t i = 0; i < r->n_figures; i++) {
        for (size_t k = 0; k < r->n; k++) {
            column[k] = r->rows[k * r->n_figures + i];
        }
        const struct bench_figure *f = &r->figures[i];
        struct bench_spread s = bench_spread(column, r->n);
        printf("  %-24s %12.*f %12.*f %12.*f\n", f->name, f->decimals, s.median, f->decimals,
               s.least, f->decimals, s.most);
    }
    free(column);
}

void bench_report_end(struct bench_report *r)
{
    if (!r->json && r->n) {
        print_table(r);
    }
    json_decref(r->facts);
    free(r->rows);
    *r = (struct bench_report){0};
}

// ---- turns ----

// False: no more lines.
static bool await_line(void)
{
    int c = getchar();
    while (c != EOF && c != '\n') {
        c = getchar();
    }
    return c == '\n';
}

static void say_ready(void)
{
    printf("{\"ready\":true}\n");
    fflush(stdout);
}

enum err bench_turns(const char *title, json_t *facts, const struct bench_figure *figures,
                     size_t n_figures, const struct bench_options *o, bench_turn_fn *fn, void *arg,
                     struct why *why)
{
    struct bench_report r;
    double row[BENCH_FIGURES] = {0};
    bench_report_begin(&r, title, facts, figures, n_figures, o->json || o->paced);
    enum err e = fn(arg, row, why);
    if (!e && o->paced) {
        say_ready();
    }
    for (int64_t i = 0; !e && i < o->repeats && !atomic_load(&halt); i++) {
        if (o->paced && !await_line()) {
            break;
        }
        e = fn(arg, row, why);
        e = e ? e : bench_report_add(&r, row, why);
    }
    bench_report_end(&r);
    if (e == ERR_CANCELLED || (!e && atomic_load(&halt))) {
        e = why_set(why, ERR_CANCELLED, "stopped");
    }
    return e;
}

// bench.h: what the parts of `caravan bench` share: options, clocks, turns, and how figures are
// shown.
//
// A bench is a command of its own (bench_decode.c …). It makes a thing ready, then bench_turns
// calls it once to touch its memory and `repeats` times to be measured. Every turn fills one row of
// figures; rows are printed as JSON lines as they come, or as a table of medians at the end.
//
// On a machine that others use as well, a single figure says little. Two remedies stand beside one
// another: medians over repeats with their spread, and `others`, the share of the machine that
// neither was idle nor worked for this process. With --paced every turn waits for a line on stdin,
// so that a script can let two programs take turns and compare neighbours in time.
//
// One thread. SIGINT and SIGTERM end a bench between two turns (bench_halt), so that what it put on
// disk is removed.
#ifndef CARAVAN_CLI_BENCH_H
#define CARAVAN_CLI_BENCH_H

#include <stdatomic.h>

#include "cli/args.h"
#include "cli/localmodel.h"

extern const struct command bench_decode, bench_prefill, bench_train, bench_step, bench_verify,
    bench_sync;

// ---- clocks ----

// Wall time and the processor time of all threads of this process, in seconds. The second says what
// the work cost even where other processes share the cores.
struct bench_span {
    double wall, cpu;
};
struct bench_span bench_now(void);
struct bench_span bench_since(struct bench_span from);
// Seconds that the cores of this machine were not idle since it started, time stolen by a
// hypervisor included.
double bench_machine_busy(void);
size_t bench_peak_bytes(void);    // VmHWM: most memory that this process held …
void bench_peak_restart(void);    // … since this was last called

struct bench_spread {
    double least, median, most;
};
struct bench_spread bench_spread(const double *values, size_t n);    // n >= 1

// A stretch of time, and who used the machine meanwhile.
struct bench_window {
    struct bench_span from;
    double busy;
};
struct bench_usage {
    double wall, cpu;    // seconds; cpu of this process
    double others;       // of the machine, 0..1: not idle, and not `cpu`
};
void bench_window_open(struct bench_window *w);
struct bench_usage bench_window_close(const struct bench_window *w);
// The share of the machine that was busy since busy_before for others than `own_cpu` seconds.
double bench_others(double busy_before, double wall, double own_cpu);

// ---- options ----

// First member of every bench's options; BENCH_ARGS are the rows for it.
struct bench_options {
    const char *model, *device, *dtype;
    int64_t threads, repeats;
    bool json, paced, roofline;
};
extern const struct bench_options bench_defaults;

#define BENCH_MODEL_ARGS                                                                           \
    {                                                                                              \
        "model",                                                                                   \
        ARG_TEXT,                                                                                  \
        offsetof(struct bench_options, model),                                                     \
        0,                                                                                         \
        0,                                                                                         \
        "M",                                                                                       \
        "GGUF file or HF folder"},                                                                 \
        {"dtype", ARG_TEXT, offsetof(struct bench_options, dtype), 0,                              \
         0,       "T",      "weights: bf16 or f32 (default bf16)"},                                \
        {"device",                                                                                 \
         ARG_TEXT,                                                                                 \
         offsetof(struct bench_options, device),                                                   \
         0,                                                                                        \
         0,                                                                                        \
         "KIND",                                                                                   \
         "cpu, cpu-portable, cpu-avx2, cpu-avx512 or cuda (default cpu: the best there is)"},      \
    {                                                                                              \
        "threads", ARG_INT, offsetof(struct bench_options, threads), 0, 256, "N",                  \
            "compute threads, 0 = cores (default 0)"                                               \
    }
#define BENCH_TURN_ARGS                                                                            \
    {"repeats",     ARG_INT, offsetof(struct bench_options, repeats), 1,                           \
     BENCH_REPEATS, "N",     "turns that are measured (default 5)"},                               \
        {"json",                                                                                   \
         ARG_FLAG,                                                                                 \
         offsetof(struct bench_options, json),                                                     \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "one JSON line for each turn instead of a table"},                                        \
    {                                                                                              \
        "paced", ARG_FLAG, offsetof(struct bench_options, paced), 0, 0, NULL,                      \
            "--json, and each turn waits for a line on stdin"                                      \
    }
#define BENCH_ROOFLINE_ARG                                                                         \
    {                                                                                              \
        "roofline", ARG_FLAG, offsetof(struct bench_options, roofline), 0, 0, NULL,                \
            "also run each turn's matrix products alone, and show their share"                     \
    }

// ---- a model ----

// Source, device, weights (not for training); localmodel_close(m), also after a failure. *seconds:
// how long reading and packing took.
MUST_CHECK enum err bench_open_model(const struct bench_options *o, struct localmodel *m,
                                     double *seconds, struct why *why);

// ---- turns and figures ----

enum { BENCH_REPEATS = 10000, BENCH_FIGURES = 16 };

struct bench_figure {
    const char *name;    // unit last: "tokens_per_s"
    int decimals;
};

struct bench_report {
    const char *title;    // of the table
    json_t *facts;        // object: what each JSON line begins with, and the table's second line
    const struct bench_figure *figures;
    size_t n_figures;    // at most BENCH_FIGURES
    double *rows;        // (n, n_figures)
    size_t n;
    bool json;
};

// Fills figures (n_figures).
typedef enum err bench_turn_fn(void *arg, double *figures, struct why *why);

// The bench's name, model, instruction set and threads, to which callers add; NULL when out of
// memory. m may be NULL.
json_t *bench_facts(const char *name, const struct bench_options *o, const struct localmodel *m);
// Takes `facts`. Runs a first turn that is not reported, then o->repeats of them, printing as it
// goes.
MUST_CHECK enum err bench_turns(const char *title, json_t *facts,
                                const struct bench_figure *figures, size_t n_figures,
                                const struct bench_options *o, bench_turn_fn *fn, void *arg,
                                struct why *why);

// The parts of bench_turns, for benches whose rows come otherwise. facts is taken; add prints a
// line or keeps the row; end prints the table and frees.
void bench_report_begin(struct bench_report *r, const char *title, json_t *facts,
                        const struct bench_figure *figures, size_t n_figures, bool json);
MUST_CHECK enum err bench_report_add(struct bench_report *r, const double *figures,
                                     struct why *why);
void bench_report_end(struct bench_report *r);

// Becomes true at SIGINT or SIGTERM, once bench_catch_signals has been called.
void bench_catch_signals(void);
const atomic_bool *bench_halt(void);
// The exit code of a bench that ended so; a failure is said on stderr.
int bench_exit(const struct command *self, enum err e, const struct why *why);

#endif

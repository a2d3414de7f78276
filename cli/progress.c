// progress.c: the two faces of a running run.
//
// Lines come from metrics.jsonl, which has every step, and not from /status, which has the newest:
// steps of a small model are faster than any sensible polling. The rest of a line (rates, queue
// fill) is the last /status seen.
#include "cli/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/statusview.h"
#include "common/fs.h"

enum { TREND = 60, LINE_SPARK = 20 };

struct progress {
    char *metrics_path;
    FILE *metrics;
    bool tty, show;
    unsigned drawn;    // lines of the block that stand on the screen
    json_t *trend, *status;
    struct buf partial;    // a line of metrics.jsonl that is not complete yet
};

enum err progress_create(const char *run_dir, bool tty, bool show, struct progress **out)
{
    struct progress *p = calloc(1, sizeof *p);
    if (!p || !(p->metrics_path = fs_path("%s/metrics.jsonl", run_dir)) ||
        !(p->trend = json_array())) {
        progress_destroy(p);
        return ERR_NOMEM;
    }
    p->tty = tty;
    p->show = show;
    buf_init(&p->partial, 1 << 20);
    p->metrics = fopen(p->metrics_path, "re");
    if (p->metrics) {
        fseek(p->metrics, 0, SEEK_END);
    }
    *out = p;
    return ERR_OK;
}

void progress_destroy(struct progress *p)
{
    if (!p) {
        return;
    }
    if (p->metrics) {
        fclose(p->metrics);
    }
    buf_fini(&p->partial);
    json_decref(p->trend);
    json_decref(p->status);
    free(p->metrics_path);
    free(p);
}

// ---- the block ----

static void erase(struct progress *p)
{
    if (p->drawn) {
        printf("\033[%uA\033[J", p->drawn);    // up, and clear to the end of the screen
        p->drawn = 0;
    }
}

static void draw(struct progress *p)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    enum err e =
        p->status ? status_print(&text, p->status, false) : buf_printf(&text, "starting…\n");
    erase(p);
    for (size_t i = 0; !e && i < text.len; i++) {
        p->drawn += text.data[i] == '\n';
    }
    if (!e) {
        fputs("\033[?7l", stdout);    // no wrapping: a line of the block is a line of the screen
        fwrite(text.data, 1, text.len, stdout);
        fputs("\033[?7h", stdout);
    }
    fflush(stdout);
    buf_fini(&text);
}

// ---- lines ----

static void print_step(struct progress *p, const json_t *row)
{
    char decode[STATUS_NUMBER_BYTES], train[STATUS_NUMBER_BYTES];
    struct buf spark;
    const json_t *s = p->status;
    if (json_array_size(p->trend) == TREND) {
        json_array_remove(p->trend, 0);
    }
    json_array_append_new(p->trend, json_real(status_num(row, "reward_mean")));
    buf_init(&spark, 1 << 12);
    if (spark_append(&spark, p->trend, LINE_SPARK) || buf_printf(&spark, "%s", "")) {
        buf_fini(&spark);
        return;
    }
    status_count(decode, status_num(s, "rates.decode_tokens_per_s"));
    status_count(train, status_num(s, "rates.train_tokens_per_s"));
    printf("step %-4.0f reward %.3f %s  tokens/s %s decoded, %s trained  staleness %.2f (max %.0f)"
           "  verdicts/s %.1f  groups %.0f/%.0f\n",
           status_num(row, "step"), status_num(row, "reward_mean"), (const char *)spark.data,
           decode, train, status_num(row, "staleness_mean"), status_num(row, "staleness_max"),
           status_num(s, "rates.verdicts_per_s"), status_num(s, "groups.live"),
           status_num(s, "groups.bound"));
    buf_fini(&spark);
}

static void take_line(struct progress *p)
{
    json_t *row = json_loadb((const char *)p->partial.data, p->partial.len, 0, NULL);
    const json_t *eval = json_object_get(row, "eval");
    if (eval) {
        printf("held-out tasks: %.3f on %.0f, version %.0f\n", status_num(eval, "reward_mean"),
               status_num(eval, "scored"), status_num(eval, "version"));
    } else if (json_object_get(row, "reward_mean")) {
        print_step(p, row);
    }
    json_decref(row);
    buf_clear(&p->partial);
}

static void follow_metrics(struct progress *p)
{
    int c;
    if (!p->metrics && !(p->metrics = fopen(p->metrics_path, "re"))) {
        return;
    }
    clearerr(p->metrics);    // an end seen before is not the end any more
    while ((c = getc_unlocked(p->metrics)) != EOF) {
        char byte = (char)c;
        if (byte == '\n') {
            take_line(p);
        } else if (buf_append(&p->partial, &byte, 1)) {
            buf_clear(&p->partial);
        }
    }
    fflush(stdout);
}

void progress_update(struct progress *p, const json_t *status)
{
    if (status) {
        json_decref(p->status);
        p->status = json_deep_copy(status);
    }
    if (!p->show) {
        return;
    }
    if (p->tty) {
        draw(p);
    } else {
        follow_metrics(p);
    }
}

void progress_note(struct progress *p, const char *fmt, ...)
{
    va_list ap;
    if (p->show && !p->tty) {
        follow_metrics(p);    // what happened before the note
    }
    erase(p);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    if (p->tty && p->show) {
        draw(p);
    }
    fflush(stdout);
}

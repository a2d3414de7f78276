// decontaminate.c: eval files into an index, the training file past it, then the report.
//
// A training row that hits is dropped at once: pairs are judged alone, so nothing that comes later
// can change the verdict and one pass is enough. Kept lines are copied byte by byte.
#include "cli/decontaminate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/jsonl.h"
#include "cli/ngrams.h"
#include "common/fs.h"

struct pair {
    size_t line;    // of the training file
    double share;
};

// What was found about one eval row.
struct found {
    size_t line;
    size_t n_pairs;    // all of them
    struct pair *listed;
    size_t n_listed, cap;
    double best;
};

struct work {
    const struct decontaminate_options *o;
    struct decontaminate_result result;
    struct ngrams *index;
    struct found *found;    // by row of the index
    size_t found_cap;
    struct wordhash words;
    size_t *eval_end;    // by eval file: its rows end before this row of the index
    size_t bad_evals;
    struct fs_writer *out;    // NULL: rows are not written
    size_t train_line;        // being matched
    bool hit;
};

// ---- rows ----

enum side { SIDE_EVAL, SIDE_TRAIN };

static enum err no_memory(const char *what, struct why *why)
{
    return why_set(why, ERR_NOMEM, "%s: out of memory", what);
}

static enum err add_text(struct wordhash *w, const json_t *text, const char *where, struct why *why)
{
    enum err e = wordhash_add(w, json_string_value(text), json_string_length(text));
    return e ? no_memory(where, why) : ERR_OK;
}

static enum err add_messages(struct wordhash *w, const json_t *list, enum side side,
                             const char *where, struct why *why)
{
    const json_t *item;
    size_t i;
    enum err e = ERR_OK;
    if (!json_is_array(list)) {
        return why_set(why, ERR_INVALID, "%s: messages: expected a list", where);
    }
    json_array_foreach(list, i, item)
    {
        const json_t *role = json_object_get(item, "role"),
                     *content = json_object_get(item, "content");
        if (!json_is_string(role) || !(json_is_string(content) || json_is_null(content))) {
            return why_set(
                why, ERR_INVALID,
                "%s: messages[%zu]: expected an object with the strings role and content", where,
                i);
        }
        bool counts = side == SIDE_TRAIN || strcmp(json_string_value(role), "user") == 0;
        if (counts && !json_is_null(content)) {
            e = e ? e : add_text(w, content, where, why);
        }
    }
    return e;
}

static enum err words_of(struct wordhash *w, const json_t *row, enum side side, const char *where,
                         struct why *why)
{
    static const char *const fields[] = {"messages", "prompt", "question", "text"};
    wordhash_clear(w);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *v = json_object_get(row, fields[i]);
        if (!v || json_is_null(v)) {
            continue;
        }
        if (i == 0) {
            return add_messages(w, v, side, where, why);
        }
        return json_is_string(v)
                   ? add_text(w, v, where, why)
                   : why_set(why, ERR_INVALID, "%s: %s: expected a string", where, fields[i]);
    }
    return why_set(why, ERR_INVALID, "%s: expected messages, prompt, question or text", where);
}

// Called for each row: ERR_OK with its words in w->words, or why it has none. Its error ends the
// file.
typedef enum err row_fn(struct work *w, const struct jsonl_reader *r, enum err e,
                        const struct why *row_why, struct why *why);

static enum err read_file(struct work *w, const char *path, enum side side, row_fn *fn,
                          struct why *why)
{
    FILE *in = fopen(path, "rbe");
    if (!in) {
        return why_set(why, ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    struct jsonl_reader r;
    struct why row_why;
    enum err e = ERR_OK;
    jsonl_reader_init(&r, in, path);
    r.line.max = DECONTAMINATE_LINE_MAX;
    while (!e) {
        json_t *row = NULL;
        char where[600];
        enum err row_e = jsonl_next(&r, &row, &row_why);
        if (row_e == ERR_CLOSED) {
            break;
        }
        snprintf(where, sizeof where, "%.560s:%zu", path, r.number);
        row_e = row_e ? row_e : words_of(&w->words, row, side, where, &row_why);
        json_decref(row);
        e = row_e == ERR_NOMEM ? why_set(why, row_e, "%s", row_why.text)
                               : fn(w, &r, row_e, &row_why, why);
    }
    if (!e && ferror(in)) {
        e = why_set(why, ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    }
    jsonl_reader_fini(&r);
    fclose(in);
    return e;
}

// ---- eval side ----

static enum err on_eval_row(struct work *w, const struct jsonl_reader *r, enum err e,
                            const struct why *row_why, struct why *why)
{
    if (e) {
        fprintf(w->o->complaints, "%s\n", row_why->text);
        w->bad_evals++;
        return ERR_OK;
    }
    size_t row = ngrams_rows(w->index);
    if (row == w->found_cap) {
        size_t cap = MAX(256, w->found_cap * 2);
        struct found *grown = realloc(w->found, cap * sizeof *grown);
        if (!grown) {
            return no_memory(r->name, why);
        }
        w->found = grown;
        w->found_cap = cap;
    }
    e = ngrams_add(w->index, &w->words);
    if (e) {
        return why_set(why, e, "%s:%zu: the eval rows: %s", r->name, r->number, err_text(e));
    }
    w->found[row] = (struct found){.line = r->number};
    return ERR_OK;
}

static enum err read_evals(struct work *w, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < w->o->n_evals && !e; i++) {
        e = read_file(w, w->o->evals[i], SIDE_EVAL, on_eval_row, why);
        w->eval_end[i] = ngrams_rows(w->index);
    }
    if (!e && w->bad_evals) {
        e = why_set(
            why, ERR_INVALID,
            "%zu eval rows cannot be used, so what they ask cannot be kept out of training; "
            "nothing was written",
            w->bad_evals);
    }
    if (!e && ngrams_seal(w->index)) {
        e = no_memory("the index of the eval rows", why);
    }
    return e;
}

// ---- training side ----

static enum err on_hit(void *arg, size_t row, double share)
{
    struct work *w = arg;
    struct found *f = &w->found[row];
    w->hit = true;
    f->n_pairs++;
    f->best = MAX(f->best, share);
    if (f->n_listed == DECONTAMINATE_LISTED_MAX) {
        return ERR_OK;
    }
    if (f->n_listed == f->cap) {
        size_t cap = MAX(4, f->cap * 2);
        struct pair *grown = realloc(f->listed, cap * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        f->listed = grown;
        f->cap = cap;
    }
    f->listed[f->n_listed++] = (struct pair){w->train_line, share};
    return ERR_OK;
}

static enum err on_train_row(struct work *w, const struct jsonl_reader *r, enum err e,
                             const struct why *row_why, struct why *why)
{
    w->result.train_rows++;
    if (e) {
        fprintf(w->o->complaints, "%s\n", row_why->text);
        w->result.unusable++;
        return ERR_OK;
    }
    w->hit = false;
    w->train_line = r->number;
    if (ngrams_match(w->index, &w->words, on_hit, w)) {
        return no_memory(r->name, why);
    }
    if (w->hit) {
        w->result.removed++;
        return ERR_OK;
    }
    e = w->out ? fs_writer_write(w->out, r->line.data, r->line.len, why) : ERR_OK;
    return w->out && !e ? fs_writer_write(w->out, "\n", 1, why) : e;
}

// ---- report ----

static bool above(const struct work *w, double share)
{
    return share > w->o->threshold;
}

static json_t *pairs_of(const struct found *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_listed; i++) {
        json_t *pair = json_pack("{s:I, s:f}", "line", (json_int_t)f->listed[i].line, "share",
                                 f->listed[i].share);
        if (!pair || json_array_append_new(list, pair)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static enum err report_row(const struct work *w, const char *path, size_t row,
                           struct fs_writer *out, struct why *why)
{
    const struct found *f = &w->found[row];
    json_t *share = f->n_pairs ? json_real(f->best) : json_null();
    json_t *v = json_pack("{s:s, s:I, s:I, s:b, s:o, s:f, s:I, s:o}", "eval", path, "line",
                          (json_int_t)f->line, "words", (json_int_t)ngrams_words(w->index, row),
                          "contaminated", f->n_pairs > 0, "share", share, "share_all",
                          ngrams_share(w->index, row), "train_rows", (json_int_t)f->n_pairs,
                          "train", pairs_of(f));
    char *line = v ? json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(4)) : NULL;
    json_decref(v);
    if (!line) {
        return why_set(why, ERR_INVALID, "%s: a row of the report cannot be written as JSON", path);
    }
    enum err e = fs_writer_write(out, line, strlen(line), why);
    free(line);
    return e ? e : fs_writer_write(out, "\n", 1, why);
}

// Counts each eval file's rows and reports those of which too much is covered, by one training row
// or by all. out may be NULL.
static enum err sum_up(struct work *w, struct fs_writer *out, struct why *why)
{
    size_t row = 0;
    for (size_t i = 0; i < w->o->n_evals; i++) {
        struct decontaminate_counts *c = &w->result.evals[i];
        for (; row < w->eval_end[i]; row++) {
            size_t n_words = ngrams_words(w->index, row);
            bool by_all = above(w, ngrams_share(w->index, row));
            c->rows++;
            c->wordless += n_words == 0;
            c->short_rows += n_words > 0 && n_words < w->o->n;
            c->contaminated += w->found[row].n_pairs > 0;
            c->contaminated_by_all += by_all;
            enum err e = by_all && out ? report_row(w, w->o->evals[i], row, out, why) : ERR_OK;
            if (e) {
                return e;
            }
        }
    }
    return ERR_OK;
}

// ---- the whole ----

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static enum err check_targets(const struct decontaminate_options *o, struct why *why)
{
    const char *targets[] = {o->out, o->report};
    for (size_t t = 0; t < ARRAY_LEN(targets); t++) {
        bool taken = targets[t] && same_file(targets[t], o->train);
        for (size_t i = 0; targets[t] && i < o->n_evals; i++) {
            taken = taken || same_file(targets[t], o->evals[i]);
        }
        if (taken) {
            return why_set(why, ERR_INVALID, "%s: is read, so it cannot be written as well",
                           targets[t]);
        }
    }
    if (o->out && o->report && same_file(o->out, o->report)) {
        return why_set(why, ERR_INVALID, "%s: named for the rows and for the report", o->out);
    }
    return ERR_OK;
}

static enum err work_run(struct work *w, struct why *why)
{
    struct fs_writer *report = NULL;
    enum err e = read_evals(w, why);
    if (!e && w->o->out) {
        e = fs_writer_open(w->o->out, &w->out, why);
    }
    if (!e && w->o->report) {
        e = fs_writer_open(w->o->report, &report, why);
    }
    e = e ? e : read_file(w, w->o->train, SIDE_TRAIN, on_train_row, why);
    e = e ? e : sum_up(w, report, why);
    // A commit frees its writer whether it works or not.
    if (!e && report) {
        e = fs_writer_commit(report, why);
        report = NULL;
    }
    if (!e && w->out) {
        e = fs_writer_commit(w->out, why);
        w->out = NULL;
    }
    fs_writer_abort(report);
    fs_writer_abort(w->out);
    return e;
}

enum err decontaminate_run(const struct decontaminate_options *o, struct decontaminate_result *out,
                           struct why *why)
{
    struct work w = {.o = o};
    enum err e = check_targets(o, why);
    if (e) {
        return e;
    }
    w.result.evals = calloc(o->n_evals + 1, sizeof *w.result.evals);
    w.eval_end = calloc(o->n_evals + 1, sizeof *w.eval_end);
    if (!w.result.evals || !w.eval_end || ngrams_create(o->n, o->threshold, &w.index)) {
        e = no_memory("decontamination", why);
    }
    e = e ? e : work_run(&w, why);
    for (size_t i = 0; w.index && i < ngrams_rows(w.index); i++) {
        free(w.found[i].listed);
    }
    free(w.found);
    free(w.eval_end);
    ngrams_destroy(w.index);
    wordhash_fini(&w.words);
    if (e) {
        decontaminate_result_fini(&w.result);
        return e;
    }
    *out = w.result;
    return ERR_OK;
}

void decontaminate_result_fini(struct decontaminate_result *r)
{
    free(r->evals);
    *r = (struct decontaminate_result){0};
}

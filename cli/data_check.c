// data_check.c: a window of rows on their way through the workers.
//
// A reader thread parses rows and waits, through a semaphore, while DATA_CHECK_WINDOW of them are
// not printed; the loop thread owns the pool and gets rows through a mailbox. A row has one job at a
// time: first one that reads what shall score it, then one that scores an answer.
// Rows stand in a ring at their place in the file, and leave it in that order.
#include "cli/data_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "cli/jsonl.h"
#include "common/mailbox.h"
#include "learner/tasks.h"
#include "proto/msg.h"

// Scored where a row has no reference answer: what a verifier only notices at work (a ground truth
// that is no mathematics, a paragraph number of 0) leaves any answer unscored, this one too.
static const char plain_answer[] = "This is a plain answer, in two short paragraphs.\n\nIts result "
                                   "stands here: \\boxed{7}";

struct check;

struct row {
    struct check *owner;
    bool end;    // no row: the file is over, why says so when it cannot be read
    bool done;
    enum err e;        // the problem
    struct why why;    // its text
    struct task task;
    char *reference;    // NULL: the row has none
    size_t reference_len;
    bool passed;     // the reference
    char *blamed;    // names of checks, separated by newlines; NULL: none
    char where[600];
};

struct check {
    const char *path;
    FILE *in, *out;
    uv_loop_t loop;
    uv_thread_t reader;
    uv_sem_t room;
    struct mailbox *box;
    struct workpool *pool;
    struct data_check_sums *sums;
    struct row *ring[DATA_CHECK_WINDOW];
    size_t taken, printed;
    bool read_all, closing;
    enum err e;    // of the whole
    struct why why;
};

static void row_free(struct row *r)
{
    tasks_row_fini(&r->task);
    free(r->reference);
    free(r->blamed);
    free(r);
}

// ---- reader thread ----

static enum err read_reference(struct row *r, const json_t *v)
{
    const json_t *text = json_object_get(v, "reference_answer");
    if (!text || json_is_null(text)) {
        return ERR_OK;
    }
    if (!json_is_string(text)) {
        return why_set(&r->why, ERR_INVALID, "%s: reference_answer: expected a string", r->where);
    }
    r->reference_len = json_string_length(text);
    r->reference = malloc(r->reference_len + 1);
    if (!r->reference) {
        return why_set(&r->why, ERR_NOMEM, "%s: out of memory", r->where);
    }
    memcpy(r->reference, json_string_value(text), r->reference_len + 1);
    return ERR_OK;
}

static void read_row(struct check *c, struct jsonl_reader *reader, struct row *r)
{
    json_t *v = NULL;
    r->e = jsonl_next(reader, &v, &r->why);
    if (r->e == ERR_CLOSED) {
        r->end = true;
        r->e = ferror(c->in)
                   ? why_set(&r->why, ERR_IO, "%s: cannot read: %s", c->path, strerror(errno))
                   : ERR_OK;
        return;
    }
    snprintf(r->where, sizeof r->where, "%.560s:%zu", c->path, reader->number);
    r->e = r->e ? r->e : tasks_read_row(v, r->where, &r->task, &r->why);
    r->e = r->e ? r->e : read_reference(r, v);
    json_decref(v);
}

// The box has room for the window and the end, so a send cannot fail while it is open.
static void read_rows(void *arg)
{
    struct check *c = arg;
    struct jsonl_reader reader;
    jsonl_reader_init(&reader, c->in, c->path);
    reader.line.max = TASKS_LINE_MAX;
    for (bool end = false; !end;) {
        uv_sem_wait(&c->room);
        struct row *r = calloc(1, sizeof *r);
        CHECK(r);
        r->owner = c;
        read_row(c, &reader, r);
        end = r->end;
        if (mailbox_send(c->box, r)) {
            row_free(r);
            break;
        }
    }
    jsonl_reader_fini(&reader);
}

// ---- problems ----

static const char *without_place(const struct row *r)
{
    size_t len = strlen(r->where);
    return strncmp(r->why.text, r->where, len) == 0 && r->why.text[len] == ':'
               ? r->why.text + len + 2
               : r->why.text;
}

static void tally_lines(struct tally *t, const char *lines)
{
    for (const char *end = lines; *lines; lines = *end ? end + 1 : end) {
        end = strchrnul(lines, '\n');
        tally_add(t, lines, (size_t)(end - lines));
    }
}

static bool names(const char *cause, const char *name, size_t len)
{
    for (; *cause; cause++) {
        if (strncmp(cause, name, len) == 0) {
            return true;
        }
    }
    return false;
}

// The check that a cause speaks of: the longest name of the row's that stands in it.
static void blame_named(struct row *r, const char *cause)
{
    const char *best = NULL;
    size_t best_len = 0;
    for (const char *at = r->task.needs, *end = at; *at; at = *end ? end + 1 : end) {
        end = strchrnul(at, '\n');
        size_t len = (size_t)(end - at);
        if (len > best_len && names(cause, at, len)) {
            best = at;
            best_len = len;
        }
    }
    r->blamed = best ? strndup(best, best_len) : NULL;
}

// A reward of 0 or less, with the checks that are not wholly met; a long list ends early.
static void blame_components(struct row *r, const struct score_result *s)
{
    struct buf list, lines;
    buf_init(&list, sizeof r->why.text / 4);
    buf_init(&lines, SCORE_MAX_COMPONENTS * (SCORE_ID_BYTES + 1));
    bool fits = true;
    for (size_t i = 0; i < s->n_components && fits; i++) {
        const struct score_component *c = &s->components[i];
        if (c->value < 1) {
            fits = buf_printf(&list, "%s%s %g", list.len ? ", " : "", c->id, c->value) == ERR_OK &&
                   buf_printf(&lines, "%s%s", lines.len ? "\n" : "", c->id) == ERR_OK;
        }
    }
    r->e =
        why_set(&r->why, ERR_MISMATCH, "%s: reference_answer: reward %g%s%s%s", r->where, s->reward,
                list.len ? " (" : "", list.len ? (const char *)list.data : "", list.len ? ")" : "");
    r->blamed = lines.len ? buf_take(&lines) : NULL;
    buf_fini(&list);
    buf_fini(&lines);
}

// ---- loop thread ----

static void on_closed(void *arg)
{
    struct check *c = arg;
    mailbox_close(c->box);
}

static void print_row(struct check *c, struct row *r)
{
    struct data_check_sums *s = c->sums;
    s->rows++;
    s->references += r->reference != NULL;
    s->references_passed += r->passed;
    if (!r->e) {
        return;
    }
    const char *cause = without_place(r);
    s->problems++;
    fprintf(c->out, "%s: %s\n", r->where, cause);
    tally_add(&s->causes, cause, strlen(cause));
    tally_lines(&s->checks, r->blamed ? r->blamed : "");
}

static void print_ready(struct check *c)
{
    struct row *r;
    while (c->printed < c->taken && (r = c->ring[c->printed % DATA_CHECK_WINDOW])->done) {
        // Once the workers are gone, what rows say is about them and not about the file.
        if (!c->e) {
            print_row(c, r);
        }
        row_free(r);
        c->printed++;
        uv_sem_post(&c->room);
    }
    if (c->read_all && c->printed == c->taken && !c->closing) {
        c->closing = true;
        workpool_close(c->pool, on_closed, c);
    }
}

static struct score_text text_of(const char *s)
{
    return (struct score_text){.data = s, .len = strlen(s)};
}

// False: the job is on its way; true: the row is done.
static bool submit(struct row *r, bool only_read, workpool_done_fn *fn)
{
    struct score_text response = text_of(only_read ? "" : plain_answer);
    if (!only_read && r->reference) {
        response = (struct score_text){.data = r->reference, .len = r->reference_len};
    }
    const struct score_request req = {
        .dataset = text_of(r->task.dataset),
        .checks = text_of(r->task.checks),
        .ground_truth = text_of(r->task.ground_truth),
        .reward = text_of(""),
        .prompt = text_of(r->task.prompt_text),
        .response = response,
        .finish = MSG_FINISH_STOP,
        .only_read = only_read,
    };
    struct why why = {{0}};
    enum err e = workpool_submit(r->owner->pool, &req, 0, fn, r, &why);
    if (!e) {
        return false;
    }
    if (e == ERR_LIMIT) {
        r->e = why_set(&r->why, e, "%s: %s: %s", r->where,
                       !only_read && r->reference ? "reference_answer" : "verifier", why.text);
    } else if (!r->owner->e) {
        r->owner->e = why_set(&r->owner->why, e, "%s", why.text[0] ? why.text : err_text(e));
    }
    return true;
}

static void end_row(struct row *r)
{
    r->done = true;
    print_ready(r->owner);
}

static void on_judged(void *arg, const struct score_result *s, uint32_t elapsed_us)
{
    struct row *r = arg;
    (void)elapsed_us;
    if (s->outcome == SCORE_UNSCORED) {
        r->e = why_set(&r->why, ERR_INVALID, "%s: %s: %s", r->where,
                       r->reference ? "reference_answer" : "verifier", s->cause);
        blame_named(r, s->cause);
    } else if (r->reference && s->reward > 0) {
        r->passed = true;
    } else if (r->reference) {
        blame_components(r, s);
    }
    end_row(r);
}

static void on_read(void *arg, const struct score_result *s, uint32_t elapsed_us)
{
    struct row *r = arg;
    (void)elapsed_us;
    if (s->outcome == SCORE_UNSCORED) {
        r->e = why_set(&r->why, ERR_INVALID, "%s: verifier: %s", r->where, s->cause);
        blame_named(r, s->cause);
    }
    if (r->e || submit(r, false, on_judged)) {
        end_row(r);
    }
}

static void on_rows(void *arg)
{
    struct check *c = arg;
    for (struct row *r; (r = mailbox_try_recv(c->box));) {
        if (!r->end) {
            c->ring[c->taken++ % DATA_CHECK_WINDOW] = r;
            r->done = r->e || submit(r, true, on_read);
            continue;
        }
        c->read_all = true;
        if (r->e && !c->e) {
            c->e = r->e;
            c->why = r->why;
        }
        row_free(r);
    }
    print_ready(c);
}

static void on_ready(void *arg, enum err e, enum sandbox_level level, const char *text)
{
    struct check *c = arg;
    if (e && !c->e) {
        c->e = why_set(&c->why, e, "%s", text);
    } else if (!e && level == SANDBOX_NONE) {
        fprintf(stderr, "caravan data check: WARNING: verifiers run without a sandbox\n");
    }
}

static enum err run_loop(struct check *c, const struct workpool_config *config, struct why *why)
{
    enum err e = mailbox_create_uv(DATA_CHECK_WINDOW + 1, &c->loop, on_rows, c, &c->box);
    if (e) {
        return why_set(why, e, "mailbox: %s", err_text(e));
    }
    e = workpool_create(&c->loop, config, on_ready, c, &c->pool, why);
    bool reading = !e && uv_thread_create(&c->reader, read_rows, c) == 0;
    if (!e && !reading) {
        e = why_set(why, ERR_NOMEM, "cannot start a thread");
        workpool_close(c->pool, on_closed, c);
    } else if (e) {
        mailbox_close(c->box);
    }
    uv_run(&c->loop, UV_RUN_DEFAULT);
    if (reading) {
        uv_thread_join(&c->reader);
        e = c->e ? why_set(why, c->e, "%s", c->why.text) : ERR_OK;
    }
    workpool_destroy(c->pool);
    mailbox_destroy(c->box);
    return e;
}

enum err data_check_run(const char *path, const struct workpool_config *config, FILE *out,
                        struct data_check_sums *sums, struct why *why)
{
    struct workpool_config c = *config;
    struct check check = {.path = path, .out = out, .sums = sums};
    *sums = (struct data_check_sums){0};
    c.queue_max = DATA_CHECK_WINDOW;
    check.in = fopen(path, "rbe");
    if (!check.in) {
        return why_set(why, ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    bool loop = uv_loop_init(&check.loop) == 0;
    bool room = loop && uv_sem_init(&check.room, DATA_CHECK_WINDOW) == 0;
    enum err e =
        room ? run_loop(&check, &c, why) : why_set(why, ERR_NOMEM, "cannot make an event loop");
    if (room) {
        uv_sem_destroy(&check.room);
    }
    if (loop) {
        uv_loop_close(&check.loop);
    }
    fclose(check.in);
    return e;
}

void data_check_sums_fini(struct data_check_sums *s)
{
    tally_fini(&s->causes);
    tally_fini(&s->checks);
}

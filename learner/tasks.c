// tasks.c: one row reader for files and for generated tasks, so that both go through the same
// checks.
//
// A file is read whole, line by line; blank lines are skipped. The verifiers' arguments are not
// judged here (a verifier does that, and says unscored): only that a row names what shall score it.
#include "learner/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/json.h"
#include "common/rng.h"
#include "proto/limits.h"

enum { MAX_MESSAGES = 256 };
#define MAX_FILE_BYTES ((size_t)4 << 30)
#define SHUFFLE_STREAM 0x7461736b73ull

struct tasks {
    struct task *rows;
    size_t n, cap, refused;
    struct hash_state *hash;
    uint32_t *order;    // permutation of order_epoch
    uint64_t order_epoch;
    bool has_order;
};

static void task_fini(struct task *t)
{
    free(t->prompt);
    free(t->prompt_text);
    free(t->dataset);
    free(t->checks);
    free(t->ground_truth);
    free(t->kind);
    free(t->needs);
}

void tasks_destroy(struct tasks *t)
{
    if (!t) {
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        task_fini(&t->rows[i]);
    }
    hash_destroy(t->hash);
    free(t->order);
    free(t->rows);
    free(t);
}

size_t tasks_count(const struct tasks *t)
{
    return t->n;
}

size_t tasks_refused(const struct tasks *t)
{
    return t->refused;
}

const struct task *tasks_get(const struct tasks *t, size_t row)
{
    CHECK(row < t->n);
    return &t->rows[row];
}

struct hash128 tasks_hash(const struct tasks *t)
{
    return hash_final(t->hash);
}

// ---- one row ----

static enum err read_messages(const json_t *row, const char *where, struct chat_message *m,
                              size_t *n, struct why *why)
{
    const json_t *list = json_object_get(row, "messages");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > MAX_MESSAGES) {
        return why_set(why, ERR_INVALID, "%s: messages: expected a list of 1..%d messages", where,
                       MAX_MESSAGES);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *role = json_object_get(item, "role"),
                     *content = json_object_get(item, "content");
        if (!json_is_string(role) || !json_is_string(content)) {
            return why_set(
                why, ERR_INVALID,
                "%s: messages[%zu]: expected an object with the strings role and content", where,
                i);
        }
        m[i] = (struct chat_message){.role = json_string_value(role),
                                     .content = json_string_value(content),
                                     .content_len = json_string_length(content)};
    }
    if (strcmp(m[count - 1].role, "user") != 0) {
        return why_set(why, ERR_INVALID,
                       "%s: messages: the last role is \"%s\", expected \"user\" (the model writes "
                       "the answer)",
                       where, m[count - 1].role);
    }
    *n = count;
    return ERR_OK;
}

static char *dump(const json_t *v)
{
    return v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("");
}

static enum err add_need(struct buf *needs, const char *name)
{
    return strchr(name, '\n') ? ERR_INVALID
                              : buf_printf(needs, "%s%s", needs->len ? "\n" : "", name);
}

// The ids in an "ifeval" ground truth: {"instruction_id": […]}, a list of one such object, or a
// JSON string holding either.
static enum err add_instruction_ids(struct buf *needs, const json_t *truth)
{
    json_t *parsed = NULL;
    if (json_is_string(truth)) {
        parsed = json_loadb(json_string_value(truth), json_string_length(truth), 0, NULL);
        truth = parsed;
    }
    const json_t *first = json_is_array(truth) ? json_array_get(truth, 0) : truth;
    const json_t *ids = json_object_get(first, "instruction_id"), *id;
    enum err e = ERR_OK;
    size_t i;
    json_array_foreach(ids, i, id)
    {
        if (!e && json_is_string(id)) {
            e = add_need(needs, json_string_value(id));
        }
    }
    json_decref(parsed);
    return e;
}

static enum err add_dataset(struct buf *needs, const json_t *name, const json_t *truth,
                            const char *where, struct why *why)
{
    if (!json_is_string(name)) {
        return why_set(why, ERR_INVALID, "%s: dataset: expected a string or a list of strings",
                       where);
    }
    enum err e = strcmp(json_string_value(name), "ifeval") == 0
                     ? add_instruction_ids(needs, truth)
                     : add_need(needs, json_string_value(name));
    return e ? why_set(why, e, "%s: dataset: %s", where, err_text(e)) : ERR_OK;
}

static enum err find_needs(const json_t *row, const char *where, struct buf *needs, struct why *why)
{
    const json_t *checks = json_object_get(row, "checks"),
                 *dataset = json_object_get(row, "dataset"), *item;
    const json_t *truth = json_object_get(row, "ground_truth");
    enum err e = ERR_OK;
    size_t i;
    if (checks) {
        if (!json_is_array(checks) || json_array_size(checks) == 0) {
            return why_set(why, ERR_INVALID, "%s: checks: expected a list of {\"id\", \"kwargs\"}",
                           where);
        }
        json_array_foreach(checks, i, item)
        {
            const json_t *id = json_object_get(item, "id");
            if (!json_is_string(id)) {
                return why_set(why, ERR_INVALID, "%s: checks[%zu].id: expected a string", where, i);
            }
            e = e ? e : add_need(needs, json_string_value(id));
        }
        return e ? why_set(why, e, "%s: checks: %s", where, err_text(e)) : ERR_OK;
    }
    if (!dataset) {
        return why_set(why, ERR_INVALID,
                       "%s: dataset: missing (the name of the verifier, or give checks)", where);
    }
    if (!truth || json_is_null(truth)) {
        return why_set(why, ERR_INVALID, "%s: ground_truth: missing", where);
    }
    if (!json_is_array(dataset)) {
        return add_dataset(needs, dataset, truth, where, why);
    }
    json_array_foreach(dataset, i, item)
    {
        e = e ? e : add_dataset(needs, item, truth, where, why);
    }
    return e;
}

static enum err fill_texts(struct task *t, const json_t *row, const char *where,
                           const struct chat_message *last, struct why *why)
{
    const json_t *dataset = json_object_get(row, "dataset");
    const char *kind = json_is_string(dataset) ? json_string_value(dataset) : "task";
    enum err e = json_opt_str(row, "kind", where, &kind, why);
    if (e) {
        return e;
    }
    struct buf needs;
    buf_init(&needs, LIMIT_TEXT_BYTES);
    e = find_needs(row, where, &needs, why);
    if (!e) {
        t->needs = buf_take(&needs);
        t->kind = strndup(kind, LIMIT_NAME_BYTES);
        t->prompt_text = strndup(last->content, last->content_len);
        t->dataset = dump(dataset);
        t->checks = dump(json_object_get(row, "checks"));
        t->ground_truth = dump(json_object_get(row, "ground_truth"));
        bool whole =
            t->needs && t->kind && t->prompt_text && t->dataset && t->checks && t->ground_truth;
        e = whole ? ERR_OK : why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    buf_fini(&needs);
    if (!e && (strlen(t->ground_truth) > LIMIT_TEXT_BYTES || strlen(t->checks) > LIMIT_TEXT_BYTES ||
               strlen(t->prompt_text) > LIMIT_TEXT_BYTES)) {
        e = why_set(why, ERR_LIMIT, "%s: a field is longer than %d bytes", where, LIMIT_TEXT_BYTES);
    }
    return e;
}

static enum err push(struct tasks *t, const struct task *row)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        struct task *grown = realloc(t->rows, cap * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        t->rows = grown;
        t->cap = cap;
    }
    t->rows[t->n++] = *row;
    return ERR_OK;
}

static enum err add_row(struct tasks *t, const json_t *row, const char *where,
                        const struct tokenizer *tok, const struct tasks_limits *l, struct why *why)
{
    struct chat_message m[MAX_MESSAGES];
    size_t n = 0;
    if (!json_is_object(row)) {
        return why_set(why, ERR_INVALID, "%s: expected an object", where);
    }
    enum err e = read_messages(row, where, m, &n, why);
    if (e) {
        return e;
    }
    struct task task = {0};
    struct token_ids ids = {0};
    e = fill_texts(&task, row, where, &m[n - 1], why);
    if (!e) {
        e = tokenizer_chat_ids(tok, m, n, true, &ids, why);
        if (e) {
            why_prefix(why, e, "%s", where);
        }
    }
    task.prompt = ids.ids;
    task.n_prompt = ids.n;
    if (!e && (ids.n == 0 || ids.n > MIN(l->max_prompt_tokens, (size_t)LIMIT_PROMPT_TOKENS))) {
        t->refused++;
        task_fini(&task);
        return ERR_OK;
    }
    if (!e && push(t, &task)) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    if (e) {
        task_fini(&task);
        return e;
    }
    hash_update(t->hash, task.prompt, task.n_prompt * sizeof *task.prompt);
    hash_update(t->hash, task.dataset, strlen(task.dataset) + 1);
    hash_update(t->hash, task.checks, strlen(task.checks) + 1);
    hash_update(t->hash, task.ground_truth, strlen(task.ground_truth) + 1);
    return ERR_OK;
}

static struct tasks *tasks_create(void)
{
    struct tasks *t = calloc(1, sizeof *t);
    if (t) {
        t->hash = hash_create();
    }
    if (t && !t->hash) {
        free(t);
        return NULL;
    }
    return t;
}

static enum err finish(struct tasks *t, const char *what, struct tasks **out, struct why *why)
{
    if (t->n == 0) {
        return why_set(why, ERR_INVALID, "%s: no usable row (%zu over the prompt limit)", what,
                       t->refused);
    }
    *out = t;
    return ERR_OK;
}

// ---- sources ----

static enum err add_line(struct tasks *t, const char *line, size_t len, const char *where,
                         const struct tokenizer *tok, const struct tasks_limits *l, struct why *why)
{
    if (strspn(line, " \t\r") >= len) {
        return ERR_OK;
    }
    json_t *row;
    enum err e = json_parse(line, len, where, &row, why);
    if (!e) {
        e = add_row(t, row, where, tok, l, why);
        json_decref(row);
    }
    return e;
}

enum err tasks_load(const char *path, const struct tokenizer *tok, const struct tasks_limits *l,
                    struct tasks **out, struct why *why)
{
    char *text;
    size_t len;
    enum err e = fs_read_file(path, MAX_FILE_BYTES, &text, &len, why);
    if (e) {
        return e;
    }
    struct tasks *t = tasks_create();
    if (!t) {
        free(text);
        return why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    char where[600];
    size_t line = 0;
    for (size_t at = 0; at < len && !e && (!l->max_rows || t->n < l->max_rows);) {
        char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - (text + at)) : len - at;
        text[at + n] = '\0';    // the buffer is NUL-terminated past len
        snprintf(where, sizeof where, "%.560s:%zu", path, ++line);
        e = add_line(t, text + at, n, where, tok, l, why);
        at += n + 1;
    }
    free(text);
    e = e ? e : finish(t, path, out, why);
    if (e) {
        tasks_destroy(t);
    }
    return e;
}

static bool seen_before(const struct tasks *t, const char *prompt)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->rows[i].prompt_text, prompt) == 0) {
            return true;
        }
    }
    return false;
}

static enum err add_generated(struct tasks *t, const struct taskgen_row *r,
                              const struct tokenizer *tok, const struct tasks_limits *l,
                              struct why *why)
{
    struct buf line;
    buf_init(&line, 1 << 16);
    enum err e = taskgen_print(r, &line);
    if (!e) {
        e = add_line(t, (const char *)line.data, line.len - 1, "generated task", tok, l, why);
    }
    buf_fini(&line);
    return e;
}

enum err tasks_generate(enum taskgen_kind kind, size_t n, uint64_t seed, bool held_out,
                        const struct tokenizer *tok, const struct tasks_limits *l,
                        struct tasks **out, struct why *why)
{
    struct tasks *t = tasks_create();
    if (!t) {
        return why_set(why, ERR_NOMEM, "tasks: out of memory");
    }
    enum err e = ERR_OK;
    for (uint64_t i = 0; t->n + t->refused < n && i < 16 * (uint64_t)n && !e; i++) {
        struct taskgen_row r;
        taskgen_make(kind, seed, i, held_out, &r);
        if (!held_out || !seen_before(t, r.prompt)) {
            e = add_generated(t, &r, tok, l, why);
        }
    }
    e = e ? e : finish(t, "generated tasks", out, why);
    if (e) {
        tasks_destroy(t);
    }
    return e;
}

// ---- order ----

size_t tasks_draw(struct tasks *t, bool shuffle, uint64_t seed, uint64_t ordinal, uint64_t *epoch)
{
    *epoch = ordinal / t->n;
    size_t at = (size_t)(ordinal % t->n);
    if (!shuffle) {
        return at;
    }
    if (!t->order) {
        t->order = calloc(t->n, sizeof *t->order);
        CHECK(t->order);
    }
    if (!t->has_order || t->order_epoch != *epoch) {
        struct rng r = rng_make(seed ^ SHUFFLE_STREAM, *epoch);
        for (size_t i = 0; i < t->n; i++) {
            t->order[i] = (uint32_t)i;
        }
        for (size_t i = t->n; i > 1; i--) {    // Fisher and Yates
            size_t j = rng_below(&r, (uint32_t)i);
            uint32_t swap = t->order[i - 1];
            t->order[i - 1] = t->order[j];
            t->order[j] = swap;
        }
        t->has_order = true;
        t->order_epoch = *epoch;
    }
    return t->order[at];
}

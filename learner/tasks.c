// tasks.c: one row reader for files and for generated tasks, so that both go through the same
// checks.
//
// A file is mapped and read line by line; blank lines are skipped. The verifiers' arguments are not
// judged here (a verifier does that, and says unscored): only that a row names what shall score it.
#include "learner/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/json.h"
#include "common/rng.h"
#include "proto/limits.h"

enum { MAX_MESSAGES = 256 };
#define SHUFFLE_STREAM 0x7461736b73ull

struct tasks {
    struct task *rows;
    size_t n, cap, refused;
    struct hash_state *hash;
    uint32_t *order;    // permutation of order_epoch under order_seed
    uint64_t order_epoch, order_seed;
    bool has_order;
};

void tasks_row_fini(struct task *t)
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
        tasks_row_fini(&t->rows[i]);
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

// A string that C functions see whole.
static bool is_text(const json_t *v)
{
    return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

// NULL also for null.
static const json_t *present(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_null(v) ? NULL : v;
}

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
        if (!is_text(role) || !is_text(content)) {
            return why_set(why, ERR_INVALID,
                           "%s: messages[%zu]: expected an object with the strings role and "
                           "content, without NUL characters",
                           where, i);
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

static enum err add_need(struct buf *needs, const json_t *name, const char *where,
                         const char *field, struct why *why)
{
    if (!is_text(name) || json_string_length(name) == 0 ||
        json_string_length(name) > LIMIT_NAME_BYTES || strchr(json_string_value(name), '\n')) {
        return why_set(why, ERR_INVALID,
                       "%s: %s: expected a string of 1..%d bytes on one line (the name of a check)",
                       where, field, LIMIT_NAME_BYTES);
    }
    enum err e = buf_printf(needs, "%s%s", needs->len ? "\n" : "", json_string_value(name));
    return e ? why_set(why, e, "%s: %s: %s", where, field, err_text(e)) : ERR_OK;
}

// The checks that an "ifeval" ground truth names, in the forms that are JSON: {"instruction_id":
// […]} or {"func_name": …}, alone, in a list of one, or in a string. A label in another form is the
// verifier's to read; such a row needs a verifier that knows the data set.
static enum err add_instruction_ids(struct buf *needs, const json_t *suite, const json_t *truth,
                                    const char *where, struct why *why)
{
    json_t *parsed = NULL;
    if (json_is_string(truth)) {
        const char *text = json_string_value(truth);
        if (text[strspn(text, " \t\n")] != '[' && text[strspn(text, " \t\n")] != '{') {
            return why_set(why, ERR_INVALID,
                           "%s: ground_truth: expected the instructions of dataset ifeval, an "
                           "object or list",
                           where);
        }
        parsed = json_loadb(text, json_string_length(truth), 0, NULL);
        truth = parsed;
    }
    const json_t *object = json_is_array(truth) ? json_array_get(truth, 0) : truth;
    const json_t *ids = json_object_get(object, "instruction_id"), *id,
                 *name = json_object_get(object, "func_name");
    enum err e = add_need(needs, suite, where, "dataset", why);
    if (truth && json_array_size(ids) == 0 && !name) {
        e = e ? e
              : why_set(why, ERR_INVALID,
                        "%s: ground_truth: expected an object with instruction_id or func_name",
                        where);
    }
    if (name) {
        e = e ? e : add_need(needs, name, where, "ground_truth.func_name", why);
    }
    size_t i;
    json_array_foreach(ids, i, id)
    {
        e = e ? e : add_need(needs, id, where, "ground_truth.instruction_id", why);
    }
    json_decref(parsed);
    return e;
}

static enum err add_dataset(struct buf *needs, const json_t *name, const json_t *truth,
                            const char *where, struct why *why)
{
    if (is_text(name) && strncmp(json_string_value(name), "ifeval", 6) == 0) {
        return add_instruction_ids(needs, name, truth, where, why);
    }
    return add_need(needs, name, where, "dataset", why);
}

// Several names go with a list of as many ground truths.
static enum err add_datasets(struct buf *needs, const json_t *list, const json_t *truth,
                             const char *where, struct why *why)
{
    size_t n = json_array_size(list);
    bool single = n == 1 && !json_is_array(truth);
    if (n == 0) {
        return why_set(why, ERR_INVALID, "%s: dataset: the list is empty, expected names", where);
    }
    if (!single && json_array_size(truth) != n) {
        return why_set(why, ERR_INVALID,
                       "%s: ground_truth: expected a list of %zu, one for each name in dataset",
                       where, n);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = add_dataset(needs, json_array_get(list, i), single ? truth : json_array_get(truth, i),
                        where, why);
    }
    return e;
}

static enum err add_checks(struct buf *needs, const json_t *checks, const char *where,
                           struct why *why)
{
    const json_t *item;
    size_t i;
    enum err e = ERR_OK;
    if (json_array_size(checks) == 0) {
        return why_set(why, ERR_INVALID,
                       "%s: checks: expected a list of {\"id\", \"kwargs\"}, at least one", where);
    }
    json_array_foreach(checks, i, item)
    {
        char field[48];
        snprintf(field, sizeof field, "checks[%zu].id", i);
        e = e ? e : add_need(needs, json_object_get(item, "id"), where, field, why);
    }
    return e;
}

static enum err find_needs(const json_t *row, const char *where, struct buf *needs, struct why *why)
{
    const json_t *checks = present(row, "checks"), *dataset = present(row, "dataset"),
                 *truth = present(row, "ground_truth");
    if (checks) {
        return add_checks(needs, checks, where, why);
    }
    if (!dataset) {
        return why_set(why, ERR_INVALID,
                       "%s: dataset: missing (the name of the verifier, or give checks)", where);
    }
    if (!truth) {
        return why_set(why, ERR_INVALID, "%s: ground_truth: missing", where);
    }
    return json_is_array(dataset) ? add_datasets(needs, dataset, truth, where, why)
                                  : add_dataset(needs, dataset, truth, where, why);
}

// Every text goes over the wire as it stands in the row.
static enum err check_lengths(const struct task *t, const char *where, struct why *why)
{
    const struct {
        const char *field, *text;
    } texts[] = {{"messages", t->prompt_text},
                 {"dataset", t->dataset},
                 {"checks", t->checks},
                 {"ground_truth", t->ground_truth}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size_t len = strlen(texts[i].text);
        if (len > LIMIT_TEXT_BYTES) {
            return why_set(why, ERR_LIMIT, "%s: %s: %zu bytes, at most %d", where, texts[i].field,
                           len, LIMIT_TEXT_BYTES);
        }
    }
    return ERR_OK;
}

static enum err fill_texts(struct task *t, const json_t *row, const char *where,
                           const struct chat_message *last, struct why *why)
{
    const json_t *dataset = present(row, "dataset");
    const char *kind = json_is_string(dataset) ? json_string_value(dataset) : "task";
    struct buf needs;
    buf_init(&needs, LIMIT_TEXT_BYTES);
    enum err e = find_needs(row, where, &needs, why);
    e = e ? e : json_opt_str(row, "kind", where, &kind, why);
    if (!e && strlen(kind) > LIMIT_NAME_BYTES) {
        e = why_set(why, ERR_LIMIT, "%s: kind: %zu bytes, at most %d", where, strlen(kind),
                    LIMIT_NAME_BYTES);
    }
    if (!e) {
        t->needs = buf_take(&needs);
        t->kind = strdup(kind);
        t->prompt_text = strndup(last->content, last->content_len);
        t->dataset = dump(dataset);
        t->checks = dump(present(row, "checks"));
        t->ground_truth = dump(json_object_get(row, "ground_truth"));
        bool whole =
            t->needs && t->kind && t->prompt_text && t->dataset && t->checks && t->ground_truth;
        e = whole ? check_lengths(t, where, why)
                  : why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    buf_fini(&needs);
    return e;
}

// The messages are views into row: MAX_MESSAGES places.
static enum err read_row(const json_t *row, const char *where, struct chat_message *m, size_t *n,
                         struct task *out, struct why *why)
{
    struct task task = {0};
    if (!json_is_object(row)) {
        return why_set(why, ERR_INVALID, "%s: expected an object", where);
    }
    enum err e = read_messages(row, where, m, n, why);
    e = e ? e : fill_texts(&task, row, where, &m[*n - 1], why);
    if (e) {
        tasks_row_fini(&task);
        return e;
    }
    *out = task;
    return ERR_OK;
}

enum err tasks_read_row(const json_t *row, const char *where, struct task *out, struct why *why)
{
    struct chat_message m[MAX_MESSAGES];
    size_t n = 0;
    return read_row(row, where, m, &n, out, why);
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
    struct task task = {0};
    struct token_ids ids = {0};
    enum err e = read_row(row, where, m, &n, &task, why);
    if (e) {
        return e;
    }
    e = tokenizer_chat_ids(tok, m, n, true, &ids, why);
    if (e) {
        why_prefix(why, e, "%s", where);
    }
    task.prompt = ids.ids;
    task.n_prompt = ids.n;
    if (!e && (ids.n == 0 || ids.n > MIN(l->max_prompt_tokens, (size_t)LIMIT_PROMPT_TOKENS))) {
        t->refused++;
        tasks_row_fini(&task);
        return ERR_OK;
    }
    if (!e && push(t, &task)) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", where);
    }
    if (e) {
        tasks_row_fini(&task);
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

static bool is_blank(const char *line, size_t len)
{
    size_t n = 0;
    while (n < len && (line[n] == ' ' || line[n] == '\t' || line[n] == '\r')) {
        n++;
    }
    return n == len;
}

static enum err add_line(struct tasks *t, const char *line, size_t len, const char *where,
                         const struct tokenizer *tok, const struct tasks_limits *l, struct why *why)
{
    if (is_blank(line, len)) {
        return ERR_OK;
    }
    if (len > TASKS_LINE_MAX) {
        return why_set(why, ERR_LIMIT, "%s: a line of %zu bytes, at most %zu", where, len,
                       TASKS_LINE_MAX);
    }
    json_t *row;
    enum err e = json_parse(line, len, where, &row, why);
    if (!e) {
        e = add_row(t, row, where, tok, l, why);
        json_decref(row);
    }
    return e;
}

static enum err add_lines(struct tasks *t, const char *text, size_t len, const char *path,
                          const struct tokenizer *tok, const struct tasks_limits *l,
                          struct why *why)
{
    char where[600];
    size_t line = 0;
    enum err e = ERR_OK;
    for (size_t at = 0; at < len && !e && (!l->max_rows || t->n < l->max_rows);) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - (text + at)) : len - at;
        snprintf(where, sizeof where, "%.560s:%zu", path, ++line);
        e = add_line(t, text + at, n, where, tok, l, why);
        at += n + 1;
    }
    return e;
}

enum err tasks_load(const char *path, const struct tokenizer *tok, const struct tasks_limits *l,
                    struct tasks **out, struct why *why)
{
    struct fs_map map = {0};
    struct tasks *t = NULL;
    enum err e = fs_map_open(path, &map, why);
    if (!e && !(t = tasks_create())) {
        e = why_set(why, ERR_NOMEM, "%s: out of memory", path);
    }
    e = e ? e : add_lines(t, (const char *)map.data, map.len, path, tok, l, why);
    e = e ? e : finish(t, path, out, why);
    fs_map_close(&map);
    if (e) {
        tasks_destroy(t);
    }
    return e;
}

// ---- generated tasks ----

// Prompts seen so far, by hash: a table of twice as many places as prompts can come.
struct seen {
    struct hash128 *slot;    // zero = free
    size_t mask;
};

static bool seen_init(struct seen *s, size_t n)
{
    size_t places = 2;
    while (places < 2 * n) {
        places *= 2;
    }
    s->mask = places - 1;
    s->slot = calloc(places, sizeof *s->slot);
    return s->slot != NULL;
}

// True: it was there already; otherwise it is now.
static bool seen_before(struct seen *s, const char *prompt)
{
    static const struct hash128 none;
    struct hash128 h = hash_bytes(prompt, strlen(prompt));
    size_t at = 0;
    memcpy(&at, h.bytes, sizeof at);
    for (at &= s->mask; !hash_equal(s->slot[at], none); at = (at + 1) & s->mask) {
        if (hash_equal(s->slot[at], h)) {
            return true;
        }
    }
    s->slot[at] = h;
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
    struct seen seen = {0};
    if (!t || !seen_init(&seen, n)) {
        tasks_destroy(t);
        return why_set(why, ERR_NOMEM, "tasks: out of memory");
    }
    enum err e = ERR_OK;
    for (uint64_t i = 0; t->n + t->refused < n && i < 16 * (uint64_t)n && !e; i++) {
        struct taskgen_row r;
        taskgen_make(kind, seed, i, held_out, &r);
        if (!held_out || !seen_before(&seen, r.prompt)) {
            e = add_generated(t, &r, tok, l, why);
        }
    }
    free(seen.slot);
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
    if (!t->has_order || t->order_epoch != *epoch || t->order_seed != seed) {
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
        t->order_seed = seed;
    }
    return t->order[at];
}

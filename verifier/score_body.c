// score_body.c: one pass over the bytes to bound what parsing them can cost, one parse, one copy.
//
// The parsed tree is many times the size of the texts in it and would live as long as the request
// waits. So each item's texts are copied into one block of their own and the tree is given back.
#include "verifier/score_body.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "proto/msg.h"

enum field { DATASET, CHECKS, GROUND_TRUTH, REWARD, PROMPT, RESPONSE, FINISH, N_FIELDS };

enum form { AS_JSON, AS_TEXT, AS_FINISH };

static const struct {
    const char *name;
    enum form form;
    const char *expected;    // AS_JSON: beside any value; NULL: any value will do
} fields[N_FIELDS] = {
    [DATASET] = {"dataset", AS_JSON, "a string or a list of strings"},
    [CHECKS] = {"checks", AS_JSON, "a list of objects"},
    [GROUND_TRUTH] = {"ground_truth", AS_JSON, NULL},
    [REWARD] = {"reward", AS_JSON, "an object"},
    [PROMPT] = {"prompt", AS_TEXT, "a string"},
    [RESPONSE] = {"response", AS_TEXT, "a string"},
    [FINISH] = {"finish", AS_FINISH, "\"stop\" or \"length\""},
};

// The texts of one item before they are copied.
struct draft {
    const char *text[N_FIELDS];    // NULL: absent
    size_t len[N_FIELDS];
    char *dumped[N_FIELDS];    // owned
    uint32_t finish;
};

// Each value but the outermost stands after one of [ { , : and there may be an empty list or object.
static enum err check_values(const char *text, size_t len, struct why *why)
{
    size_t n = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else {
            in_string = c == '"';
            n += c == '[' || c == '{' || c == ',' || c == ':';
        }
    }
    return n <= SCORE_BODY_VALUES
               ? ERR_OK
               : why_set(why, ERR_LIMIT, "body: over %u JSON values", SCORE_BODY_VALUES);
}

static const char *kind_of(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return v == NULL ? "missing" : names[json_typeof(v)];
}

static enum err wrong(size_t i, enum field f, const json_t *v, struct why *why)
{
    return why_set(why, ERR_INVALID, "items[%zu].%s: %s, expected %s", i, fields[f].name,
                   kind_of(v), fields[f].expected);
}

static bool all_are(const json_t *list, json_type type)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_typeof(json_array_get(list, i)) != type) {
            return false;
        }
    }
    return true;
}

static bool fits(enum field f, const json_t *v)
{
    switch (f) {
    case DATASET:
        return json_is_string(v) || (json_is_array(v) && all_are(v, JSON_STRING));
    case CHECKS:
        return json_is_array(v) && all_are(v, JSON_OBJECT);
    case REWARD:
        return json_is_object(v);
    case PROMPT:
    case RESPONSE:
        return json_is_string(v);
    case FINISH:
        return json_is_string(v) && (strcmp(json_string_value(v), "stop") == 0 ||
                                     strcmp(json_string_value(v), "length") == 0);
    case GROUND_TRUTH:
    case N_FIELDS:
        break;
    }
    return true;
}

static enum err read_field(size_t i, enum field f, const json_t *v, struct draft *d,
                           struct why *why)
{
    if (!fits(f, v)) {
        return wrong(i, f, v, why);
    }
    if (fields[f].form == AS_FINISH) {
        d->finish =
            strcmp(json_string_value(v), "length") == 0 ? MSG_FINISH_LENGTH : MSG_FINISH_STOP;
        return ERR_OK;
    }
    if (fields[f].form == AS_TEXT) {
        d->text[f] = json_string_value(v);
        d->len[f] = json_string_length(v);
    } else {
        d->dumped[f] = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        if (d->dumped[f] == NULL) {
            return why_set(why, ERR_NOMEM, "items[%zu].%s: out of memory", i, fields[f].name);
        }
        d->text[f] = d->dumped[f];
        d->len[f] = strlen(d->dumped[f]);
    }
    if (d->len[f] > SCORE_TEXT_MAX) {
        return why_set(why, ERR_LIMIT, "items[%zu].%s: %zu bytes, at most %u", i, fields[f].name,
                       d->len[f], SCORE_TEXT_MAX);
    }
    return ERR_OK;
}

static enum field field_of(const char *key)
{
    enum field f = 0;
    while (f < N_FIELDS && strcmp(fields[f].name, key) != 0) {
        f++;
    }
    return f;
}

static enum err read_fields(size_t i, json_t *item, struct draft *d, struct why *why)
{
    if (!json_is_object(item)) {
        return why_set(why, ERR_INVALID, "items[%zu]: %s, expected an object", i, kind_of(item));
    }
    const char *key;
    json_t *v;
    json_object_foreach(item, key, v)
    {
        enum field f = field_of(key);
        if (f == N_FIELDS) {
            return why_set(why, ERR_INVALID,
                           "items[%zu].%.40s: no such field, expected dataset, checks, "
                           "ground_truth, response, prompt, finish or reward",
                           i, key);
        }
        enum err e = json_is_null(v) ? ERR_OK : read_field(i, f, v, d, why);
        if (e) {
            return e;
        }
    }
    if (d->text[RESPONSE] == NULL) {
        return wrong(i, RESPONSE, json_object_get(item, "response"), why);
    }
    if (d->text[DATASET] == NULL && d->text[CHECKS] == NULL) {
        return why_set(why, ERR_INVALID, "items[%zu].dataset: missing, and so is checks", i);
    }
    return ERR_OK;
}

static enum err copy_item(size_t i, const struct draft *d, struct score_body *b, struct why *why)
{
    struct score_body_item *item = &b->items[i];
    size_t len = 0;
    for (size_t f = 0; f < N_FIELDS; f++) {
        len += d->len[f];
    }
    char *at = malloc(len + 1);
    if (at == NULL) {
        return why_set(why, ERR_NOMEM, "items[%zu]: out of memory", i);
    }
    struct score_text texts[N_FIELDS] = {{0}};
    item->memory = at;
    for (size_t f = 0; f < N_FIELDS; f++) {
        if (d->text[f] != NULL) {
            memcpy(at, d->text[f], d->len[f]);
            texts[f] = (struct score_text){at, d->len[f]};
            at += d->len[f];
        }
    }
    item->request = (struct score_request){.dataset = texts[DATASET],
                                           .checks = texts[CHECKS],
                                           .ground_truth = texts[GROUND_TRUTH],
                                           .reward = texts[REWARD],
                                           .prompt = texts[PROMPT],
                                           .response = texts[RESPONSE],
                                           .finish = d->finish};
    b->len_bytes += len;
    return ERR_OK;
}

static enum err read_item(size_t i, json_t *item, struct score_body *b, struct why *why)
{
    struct draft d = {.finish = MSG_FINISH_STOP};
    enum err e = read_fields(i, item, &d, why);
    if (!e) {
        e = copy_item(i, &d, b, why);
    }
    for (size_t f = 0; f < N_FIELDS; f++) {
        free(d.dumped[f]);
    }
    return e;
}

static enum err find_items(json_t *root, json_t **out, struct why *why)
{
    json_t *items = root;
    if (json_is_object(root)) {
        items = json_object_get(root, "items");
        if (items != NULL && json_object_size(root) > 1) {
            return why_set(why, ERR_INVALID, "body: expected no key but \"items\"");
        }
    }
    if (!json_is_array(items)) {
        return why_set(why, ERR_INVALID, "%s: %s, expected a list of items",
                       json_is_object(root) ? "items" : "body", kind_of(items));
    }
    if (json_array_size(items) > SCORE_BODY_ITEMS) {
        return why_set(why, ERR_LIMIT, "items[%d]: %zu items, at most %d", SCORE_BODY_ITEMS,
                       json_array_size(items), SCORE_BODY_ITEMS);
    }
    *out = items;
    return ERR_OK;
}

static enum err read_items(json_t *root, struct score_body *b, struct why *why)
{
    json_t *items = NULL;
    enum err e = find_items(root, &items, why);
    if (e) {
        return e;
    }
    size_t n = json_array_size(items);
    b->items = calloc(n + 1, sizeof *b->items);
    if (b->items == NULL) {
        return why_set(why, ERR_NOMEM, "body: out of memory");
    }
    b->n = n;
    for (size_t i = 0; i < n && !e; i++) {
        e = read_item(i, json_array_get(items, i), b, why);
    }
    return e;
}

enum err score_body_parse(const char *text, size_t len, struct score_body *out, struct why *why)
{
    json_t *root = NULL;
    enum err e = check_values(text, len, why);
    if (!e) {
        e = json_parse(text, len, "body", &root, why);
    }
    struct score_body b = {0};
    if (!e) {
        e = read_items(root, &b, why);
    }
    json_decref(root);
    if (e) {
        score_body_fini(&b);
        return e;
    }
    *out = b;
    return ERR_OK;
}

void score_body_fini_item(struct score_body_item *i)
{
    free(i->memory);
    *i = (struct score_body_item){0};
}

void score_body_fini(struct score_body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        score_body_fini_item(&b->items[i]);
    }
    free(b->items);
    *b = (struct score_body){0};
}

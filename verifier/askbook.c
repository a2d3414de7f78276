// askbook.c: a resolver that first collects questions and then hands out their answers.
//
// The rubric is the same both times, so questions and answers meet by their order; the id is
// compared all the same, and a list that does not fit makes the verdict unscored.
#include "verifier/askbook.h"

#include <string.h>

static bool is_name(const char *id, size_t len)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@:./-";
    if (len == 0 || len >= SCORE_ID_BYTES) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (id[i] == 0 || !strchr(letters, id[i])) {
            return false;
        }
    }
    return true;
}

static const char *text_in(const json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(answer, key));
    return text ? text : "";
}

static bool find_answered(struct askbook *b, const char *id, size_t len, size_t *index,
                          const char **out_id, const char **out_version)
{
    for (size_t i = 0; i < json_array_size(b->answers); i++) {
        const json_t *answer = json_array_get(b->answers, i);
        const char *name = text_in(answer, "id");
        if (strlen(name) == len && memcmp(name, id, len) == 0) {
            *index = i;
            *out_id = name;
            *out_version = text_in(answer, "version");
            return !json_is_true(json_object_get(answer, "unknown"));
        }
    }
    return false;
}

static void ask(struct askbook *b, const char *name, struct score_text kwargs,
                struct score_text truth)
{
    b->calls[b->n_calls++] = (struct jobframe_call){
        .check = {name, strlen(name)}, .kwargs = kwargs, .ground_truth = truth};
}

// A check too many is not found: an unknown check, and so an unscored row.
static bool find(void *arg, const char *id, size_t len, size_t *index, const char **out_id,
                 const char **out_version)
{
    struct askbook *b = arg;
    if (b->answers) {
        return find_answered(b, id, len, index, out_id, out_version);
    }
    if (!is_name(id, len) || b->n_names == JOBFRAME_MAX_CALLS) {
        return false;
    }
    *index = b->n_names;
    char *name = b->names[b->n_names++];
    memcpy(name, id, len);
    name[len] = 0;
    *out_id = name;
    *out_version = "";
    if (b->only_read) {
        ask(b, name, (struct score_text){"", 0}, (struct score_text){"", 0});
    }
    return true;
}

static enum err hand_out(struct askbook *b, size_t index, double *value, struct why *why)
{
    const json_t *answer = json_array_get(b->answers, b->next++);
    const json_t *known = json_array_get(b->answers, index);
    const json_t *v = json_object_get(answer, "value");
    if (strcmp(text_in(answer, "id"), text_in(known, "id")) != 0) {
        return why_set(why, ERR_CORRUPT, "the plug-in's answer belongs to another check");
    }
    if (!json_is_number(v)) {
        return why_set(why, ERR_INVALID, "%s", text_in(answer, "undecided"));
    }
    *value = json_number_value(v);
    return ERR_OK;
}

// kwargs and ground truth of a task live in the scratch until the request ends, and the calls are
// written out after it: they are copied.
static enum err keep_text(struct askbook *b, struct score_text from, struct score_text *to)
{
    json_t *copy = json_stringn_nocheck(from.data, from.len);
    b->kept = b->kept ? b->kept : json_array();
    if (json_array_append_new(b->kept, copy) != 0) {
        return ERR_NOMEM;
    }
    *to = (struct score_text){json_string_value(copy), from.len};
    return ERR_OK;
}

static enum err run(void *arg, size_t index, const struct score_plugin_input *in, double *value,
                    struct why *why)
{
    struct askbook *b = arg;
    struct score_text kwargs, truth;
    if (b->answers) {
        return hand_out(b, index, value, why);
    }
    if (in->kwargs.len + in->ground_truth.len > JOBFRAME_REPLY_MAX / 2) {
        return why_set(why, ERR_LIMIT,
                       "arguments and ground truth of a plug-in's check: over %u bytes",
                       JOBFRAME_REPLY_MAX / 2);
    }
    enum err e = keep_text(b, in->kwargs, &kwargs);
    e = e ? e : keep_text(b, in->ground_truth, &truth);
    if (!e) {
        ask(b, b->names[index], kwargs, truth);
    }
    *value = 0;
    return e;
}

void askbook_run(struct askbook *book, const struct score_request *req, struct score_result *out)
{
    json_decref(book->answers);
    json_decref(book->kept);
    *book = (struct askbook){.only_read = req->only_read,
                             .resolver = {.arg = book, .find = find, .run = run}};
    if (req->answers.len > 0) {
        book->answers = json_loadb(req->answers.data, req->answers.len, 0, NULL);
        if (!json_is_array(book->answers)) {
            *out = (struct score_result){0};
            score_unscored(out, "malformed answers of plug-ins");
            return;
        }
    }
    bool alone = !req->may_ask && !book->answers;
    score_request_resolve(req, alone ? NULL : &book->resolver, out);
    if (out->outcome == SCORE_UNSCORED) {
        book->n_calls = 0;    // whatever the plug-ins would say
    }
}

// pluginline.c: jansson on both sides, and checks of everything the program says.
//
// Nesting is limited by jansson (2048 levels), lengths by the caller's line buffer. Unknown keys
// are passed over, so that the protocol can grow.
#include "verifier/pluginline.h"

#include <jansson.h>
#include <string.h>
#include <utf8proc.h>

#define DECLARED_MAX 22    // of a version: the pool adds "+" and eight digits of the file's hash

static bool is_name(const char *id)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@:./-";
    return id[0] != 0 && strspn(id, letters) == strlen(id);
}

static bool is_line(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            return false;
        }
    }
    return true;
}

enum err pluginline_check(const struct jobframe_check *checks, size_t n, struct why *why)
{
    if (n == 0 || n > JOBFRAME_MAX_CHECKS) {
        return why_set(why, ERR_INVALID, "it offers %zu checks, expected 1 to %d", n,
                       JOBFRAME_MAX_CHECKS);
    }
    for (size_t i = 0; i < n; i++) {
        const struct jobframe_check *c = &checks[i];
        if (!is_name(c->id)) {
            return why_set(why, ERR_INVALID,
                           "check %zu: id: expected letters, digits and _ @ : . / -", i);
        }
        size_t version = strlen(c->version);
        if (version == 0 || version > DECLARED_MAX || !is_line(c->version)) {
            return why_set(why, ERR_INVALID, "%s: version: expected 1 to %d characters", c->id,
                           DECLARED_MAX);
        }
        if (!is_line(c->doc)) {
            return why_set(why, ERR_INVALID, "%s: doc: expected one line", c->id);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(checks[k].id, c->id) == 0) {
                return why_set(why, ERR_INVALID, "%s: offered twice", c->id);
            }
        }
    }
    return ERR_OK;
}

// Copies a string member; false when it is missing, no string, too long or has a NUL inside.
static bool get_string(const json_t *in, const char *key, char *out, size_t cap)
{
    const json_t *v = json_object_get(in, key);
    size_t len = json_string_length(v);
    if (!json_is_string(v) || len >= cap || strlen(json_string_value(v)) != len) {
        return false;
    }
    memcpy(out, json_string_value(v), len + 1);
    return true;
}

static json_t *load(const char *line, size_t len, struct why *why)
{
    json_error_t error;
    json_t *v = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(v)) {
        (void)why_set(why, ERR_CORRUPT, "%s", v ? "not a JSON object" : error.text);
        json_decref(v);
        return NULL;
    }
    return v;
}

static enum err read_hello(const json_t *hello, struct jobframe_check *out, size_t *n,
                           struct why *why)
{
    const json_t *list = json_object_get(hello, "checks");
    if (json_integer_value(json_object_get(hello, "caravan_plugin")) != 1) {
        return why_set(why, ERR_CORRUPT, "caravan_plugin: expected 1");
    }
    if (!json_is_array(list) || json_array_size(list) > JOBFRAME_MAX_CHECKS) {
        return why_set(why, ERR_CORRUPT, "checks: expected a list of 1 to %d", JOBFRAME_MAX_CHECKS);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        struct jobframe_check *c = &out[i];
        memset(c, 0, sizeof *c);
        if (!get_string(item, "id", c->id, sizeof c->id) ||
            !get_string(item, "version", c->version, sizeof c->version)) {
            return why_set(why, ERR_CORRUPT, "check %zu: expected id and version, short strings",
                           i);
        }
        if (json_object_get(item, "doc") && !get_string(item, "doc", c->doc, sizeof c->doc)) {
            return why_set(why, ERR_CORRUPT, "%s: doc: expected a string of up to %zu bytes", c->id,
                           sizeof c->doc - 1);
        }
    }
    *n = json_array_size(list);
    return ERR_OK;
}

enum err pluginline_get_hello(const char *line, size_t len, struct jobframe_check *out, size_t *n,
                              struct why *why)
{
    json_t *hello = load(line, len, why);
    if (!hello) {
        return ERR_CORRUPT;
    }
    enum err e = read_hello(hello, out, n, why);
    json_decref(hello);
    return e ? e : pluginline_check(out, *n, why);
}

// A JSON string of bytes that may not be UTF-8.
static json_t *clean_text(struct score_text t)
{
    json_t *whole = json_stringn(t.data, t.len);
    if (whole) {
        return whole;
    }
    struct buf b;
    buf_init(&b, 3 * (size_t)SCORE_TEXT_MAX + 1);
    enum err e = ERR_OK;
    for (size_t at = 0; at < t.len && !e;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used =
            utf8proc_iterate((const uint8_t *)t.data + at, (utf8proc_ssize_t)(t.len - at), &c);
        e = used > 0 ? buf_append(&b, t.data + at, (size_t)used)
                     : buf_append(&b, "\xEF\xBF\xBD", 3);
        at += used > 0 ? (size_t)used : 1;
    }
    if (!e) {
        whole = json_stringn((const char *)b.data, b.len);
    }
    buf_fini(&b);
    return whole;
}

static json_t *value_of(struct score_text t)
{
    json_t *v = t.len > 0 ? json_loadb(t.data, t.len, JSON_DECODE_ANY, NULL) : NULL;
    return v ? v : json_null();
}

static int append_chunk(const char *data, size_t len, void *arg)
{
    return buf_append(arg, data, len) == ERR_OK ? 0 : -1;
}

enum err pluginline_put_request(struct buf *out, uint64_t job, struct score_text check,
                                const struct score_plugin_input *in)
{
    size_t before = out->len;
    json_t *v = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "job", (json_int_t)job, "check",
                          clean_text(check), "kwargs", value_of(in->kwargs), "ground_truth",
                          value_of(in->ground_truth), "prompt", clean_text(in->prompt), "response",
                          clean_text(in->response), "stopped", in->stopped);
    bool ok = v && json_dump_callback(v, append_chunk, out, JSON_COMPACT) == 0 &&
              buf_append(out, "\n", 1) == ERR_OK;
    json_decref(v);
    if (!ok) {
        out->len = before;
        return ERR_NOMEM;
    }
    return ERR_OK;
}

static enum err read_reply(const json_t *reply, uint64_t job, double *value, struct why *why)
{
    const json_t *number = json_object_get(reply, "job");
    const json_t *v = json_object_get(reply, "value");
    const json_t *undecided = json_object_get(reply, "undecided");
    if (!json_is_integer(number) || json_integer_value(number) != (json_int_t)job) {
        return why_set(why, ERR_CORRUPT, "job: expected %llu", (unsigned long long)job);
    }
    if (json_is_string(undecided) && !v) {
        const char *text = json_string_value(undecided);
        return why_set(why, ERR_UNSUPPORTED, "%.*s", PLUGINLINE_CAUSE_BYTES,
                       text[0] ? text : "undecided");
    }
    double got = json_is_number(v) ? json_number_value(v) : -1;
    if (!(got >= 0 && got <= 1) || undecided) {
        return why_set(why, ERR_CORRUPT, "expected either value, 0 to 1, or undecided, a string");
    }
    *value = got;
    return ERR_OK;
}

enum err pluginline_get_reply(const char *line, size_t len, uint64_t job, double *value,
                              struct why *why)
{
    json_t *reply = load(line, len, why);
    if (!reply) {
        return ERR_CORRUPT;
    }
    enum err e = read_reply(reply, job, value, why);
    json_decref(reply);
    return e;
}

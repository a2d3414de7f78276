// localmodel.c: source, tokenizer, device and weights put together.
//
// Tensors go from disk to packed weights a few MiB at a time, so that the peak is the packed model and
// little more. Scratch for scoring grows with the longest sequence asked for.
#include "cli/localmodel.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

enum { MAX_MESSAGES = 256, FIRST_ROWS = 256 };

enum err localmodel_dtype(const char *text, enum dtype *out, struct why *why)
{
    if (strcmp(text, "bf16") == 0) {
        *out = DTYPE_BF16;
    } else if (strcmp(text, "f32") == 0) {
        *out = DTYPE_F32;
    } else {
        return why_set(why, ERR_INVALID, "--dtype: '%s', expected bf16 or f32", text);
    }
    return ERR_OK;
}

enum err localmodel_open(const char *path, struct localmodel *out, struct why *why)
{
    struct localmodel m = {0};
    enum err e = source_open(path, &m.source, why);
    e = e ? e : source_tokenizer(m.source, &m.tokenizer, why);
    if (e) {
        localmodel_close(&m);
        return e;
    }
    *out = m;
    return ERR_OK;
}

enum err localmodel_template(struct localmodel *m, const char *name_or_path, struct why *why)
{
    struct tokenizer *with = NULL;
    if (name_or_path == NULL) {
        return ERR_OK;
    }
    enum err e = source_set_template(m->source, name_or_path, why);
    e = e ? e : source_tokenizer(m->source, &with, why);
    if (e) {
        return e;
    }
    tokenizer_destroy(m->tokenizer);
    m->tokenizer = with;
    return ERR_OK;
}

void localmodel_close(struct localmodel *m)
{
    model_destroy(m->model);
    weights_destroy(m->weights);
    device_close(m->device);
    pool_destroy(m->pool);
    tokenizer_destroy(m->tokenizer);
    source_close(m->source);
    *m = (struct localmodel){0};
}

static enum err feed(void *weights, const void *bytes, size_t len, struct why *why)
{
    return weights_feed(weights, bytes, len, why);
}

enum err localmodel_load(struct localmodel *m, enum dtype t, int threads, struct why *why)
{
    return localmodel_load_on(m, "cpu", t, threads, why);
}

enum err localmodel_load_on(struct localmodel *m, const char *device_kind, enum dtype t,
                            int threads, struct why *why)
{
    enum err e = pool_create(threads ? threads : pool_cores(), &m->pool, why);
    e = e ? e : device_open(device_kind, m->pool, &m->device, why);
    e = e ? e : weights_create(m->device, source_config(m->source), t, &m->weights, why);
    struct hash128 hash;
    if (!e) {
        weights_begin(m->weights);
        e = source_stream(m->source, t, m->pool, feed, m->weights, why);
    }
    return e ? e : weights_end(m->weights, &hash, why);
}

static enum err reserve_rows(struct localmodel *m, size_t rows, struct why *why)
{
    const struct model_config *c = source_config(m->source);
    if (rows <= m->max_rows) {
        return ERR_OK;
    }
    size_t context = (size_t)c->max_positions, more = MAX(m->max_rows, (size_t)FIRST_ROWS);
    while (more < rows) {
        more *= 2;
    }
    more = MIN(more, context);
    struct model_limits l = {
        .max_rows = more, .max_index = more * 2, .max_outs = more, .max_context = context};
    struct model *grown;
    enum err e = model_create(m->device, c, &l, &grown, why);
    if (!e) {
        model_destroy(m->model);
        m->model = grown;
        m->max_rows = more;
    }
    return e;
}

enum err localmodel_score(struct localmodel *m, const uint32_t *ids, size_t n, float temperature,
                          float *logp, struct why *why)
{
    size_t context = (size_t)source_config(m->source)->max_positions;
    if (n > context) {
        return why_set(why, ERR_LIMIT, "%zu tokens, the model's context is %zu", n, context);
    }
    if (n < 2) {
        return ERR_OK;
    }
    enum err e = reserve_rows(m, n, why);
    if (e) {
        return e;
    }
    struct batch b;
    batch_init(&b);
    struct batch_completion rest = {.tokens = ids + 1, .n = n - 1};
    e = batch_add_group(&b, ids, 1, &rest, 1);
    e = e ? why_set(why, e, "%s", err_text(e))
          : model_score(m->model, m->weights, &b, temperature, logp, NULL, NULL, why);
    batch_fini(&b);
    return e;
}

static enum err read_messages(const json_t *list, const char *where, struct chat_message *m,
                              size_t *n, struct why *why)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > MAX_MESSAGES) {
        return why_set(why, ERR_INVALID, "%s: messages: expected a list of 1..%d messages", where,
                       MAX_MESSAGES);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *content = json_object_get(item, "content");
        const json_t *role = json_object_get(item, "role");
        if (!json_is_string(content) || !json_is_string(role)) {
            return why_set(why, ERR_INVALID,
                           "%s: messages[%zu]: expected {\"role\": text, \"content\": text}", where,
                           i);
        }
        m[i] = (struct chat_message){.role = json_string_value(role),
                                     .content = json_string_value(content),
                                     .content_len = json_string_length(content)};
    }
    *n = count;
    return ERR_OK;
}

enum err localmodel_prompt(const struct localmodel *m, const json_t *in, const char *where,
                           bool add_generation_prompt, struct token_ids *out, struct why *why)
{
    const json_t *messages = json_object_get(in, "messages");
    if (!messages) {
        return why_set(why, ERR_INVALID, "%s: messages: missing", where);
    }
    struct chat_message chat[MAX_MESSAGES];
    size_t n = 0;
    enum err e = read_messages(messages, where, chat, &n, why);
    if (e) {
        return e;
    }
    e = tokenizer_chat_ids(m->tokenizer, chat, n, add_generation_prompt, out, why);
    return e ? why_prefix(why, e, "%s", where) : ERR_OK;
}

// chat.c: messages as the variables of a template, and what a template says about the end of an
// answer.

#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

#include "model/jinja.h"

struct chat_template {
    struct jinja_template *jinja;
    json_t *tokens;    // object: bos_token …, those that exist
    char *name, *end_of_turn;
};

// Friday, 26 July 2024.
static const struct tm today = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_wday = 5, .tm_yday = 207};

// ---- variables ----

static enum err add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0 ? ERR_OK : ERR_NOMEM;
}

// Bytes that are not UTF-8 pass: jansson is only the vessel here.
static json_t *text(const char *bytes, size_t len)
{
    return json_stringn_nocheck(bytes, len);
}

static json_t *message(const struct chat_message *m)
{
    json_t *object = json_object();
    enum err e = add(object, "role", text(m->role, strlen(m->role)));
    e = e == ERR_OK ? add(object, "content", text(m->content, m->content_len)) : e;
    if (e != ERR_OK) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *variables(const struct chat_template *c, const struct chat_message *m, size_t n,
                         bool prompt)
{
    json_t *vars = json_copy(c->tokens), *list = json_array();
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        e = json_array_append_new(list, message(&m[i])) == 0 ? ERR_OK : ERR_NOMEM;
    }
    enum err added = add(vars, "messages", list);    // takes the list in any case
    e = e == ERR_OK ? added : e;
    e = e == ERR_OK ? add(vars, "add_generation_prompt", json_boolean(prompt)) : e;
    e = e == ERR_OK ? add(vars, "tools", json_null()) : e;
    e = e == ERR_OK ? add(vars, "documents", json_null()) : e;
    if (e != ERR_OK) {
        json_decref(vars);
        return NULL;
    }
    return vars;
}

enum err chat_template_render(const struct chat_template *c, const struct chat_message *m, size_t n,
                              bool add_generation_prompt, struct buf *out, struct why *why)
{
    json_t *vars = variables(c, m, n, add_generation_prompt);
    if (vars == NULL) {
        return why_set(why, ERR_NOMEM, "%s: %zu messages: out of memory", c->name, n);
    }
    enum err e = jinja_render(c->jinja, vars, &today, &jinja_limits_default, out, why);
    json_decref(vars);
    return e;
}

// ---- creation ----

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// Renders a question and an answer and looks at what stands behind the answer. Every failure means
// only that the end is not known.
static enum err find_end(struct chat_template *c)
{
    static const char answer[] = "caravan answers here";
    const struct chat_message m[] = {{"user", "caravan asks here", 17},
                                     {"assistant", answer, sizeof answer - 1}};
    struct buf out;
    struct why why;
    buf_init(&out, 0);
    enum err e = chat_template_render(c, m, 2, false, &out, &why);
    const char *end = NULL, *p = NULL;
    if (e == ERR_OK && out.len > 0) {
        end = (const char *)out.data + out.len;
        p = memmem(out.data, out.len, answer, sizeof answer - 1);
    }
    if (p != NULL) {
        p += sizeof answer - 1;
        for (; p < end && is_blank(*p); p++) {
        }
        for (; end > p && is_blank(end[-1]); end--) {
        }
        if (end > p && memchr(p, '\0', (size_t)(end - p)) == NULL) {
            c->end_of_turn = strndup(p, (size_t)(end - p));
            e = c->end_of_turn == NULL ? ERR_NOMEM : ERR_OK;
        }
    }
    buf_fini(&out);
    return e == ERR_NOMEM ? e : ERR_OK;
}

static enum err add_tokens(struct chat_template *c, const struct chat_tokens *t)
{
    const struct {
        const char *name, *text;
    } tokens[] = {
        {"bos_token", t->bos}, {"eos_token", t->eos}, {"pad_token", t->pad}, {"unk_token", t->unk}};
    enum err e = (c->tokens = json_object()) == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(tokens); i++) {
        if (tokens[i].text != NULL) {
            e = add(c->tokens, tokens[i].name, text(tokens[i].text, strlen(tokens[i].text)));
        }
    }
    return e;
}

enum err chat_template_create(const char *source, size_t len, const char *name,
                              const struct chat_tokens *tokens, struct chat_template **out,
                              struct why *why)
{
    struct chat_template *c = calloc(1, sizeof *c);
    enum err e = c == NULL || (c->name = strdup(name)) == NULL ? ERR_NOMEM : add_tokens(c, tokens);
    if (e != ERR_OK) {
        e = why_set(why, e, "%s: %s", name, err_text(e));
    } else {
        e = jinja_parse(source, len, name, &c->jinja, why);
    }
    if (e == ERR_OK && (e = find_end(c)) != ERR_OK) {
        e = why_set(why, e, "%s: %s", name, err_text(e));
    }
    if (e != ERR_OK) {
        chat_template_destroy(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void chat_template_destroy(struct chat_template *c)
{
    if (c != NULL) {
        jinja_destroy(c->jinja);
        json_decref(c->tokens);
        free(c->name);
        free(c->end_of_turn);
        free(c);
    }
}

const char *chat_template_end_of_turn(const struct chat_template *c)
{
    return c->end_of_turn;
}

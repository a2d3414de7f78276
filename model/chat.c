// chat.c: three templates and how they are recognised.
//
// The same template travels in several spellings: with "\n" as an escape or as a newline, as one
// line or indented, with message.role or message['role']. Before comparing, both sides are reduced:
// text outside tags loses what trim_blocks, lstrip_blocks and "-" markers remove, tags lose blanks
// that separate nothing, strings are unescaped and bracketed by the bytes 01 and 02, attributes
// become subscripts. So what compares equal renders equal; what does not is refused, never guessed,
// since a model that is prompted in another format than it was trained on fails quietly.

#include "model/chat.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct chat_row {
    const char *name;
    const char *source;
    // Written when the first message is not a system message; NULL = nothing.
    const char *default_system;
    const char *end_of_turn;
    enum err (*render)(const struct chat_template *c, const struct chat_message *m, size_t n,
                       bool prompt, struct buf *out);
};

struct chat_template {
    const struct chat_row *row;
    char *eos;
};

// ---- renderers ----

static enum err put(struct buf *out, const char *text)
{
    return buf_append(out, text, strlen(text));
}

static enum err put_turn(struct buf *out, const char *role, const char *content, size_t len)
{
    enum err e = put(out, "<|im_start|>");
    if (e == ERR_OK) {
        e = put(out, role);
    }
    if (e == ERR_OK) {
        e = put(out, "\n");
    }
    if (e == ERR_OK) {
        e = buf_append(out, content, len);
    }
    return e == ERR_OK ? put(out, "<|im_end|>\n") : e;
}

static enum err render_chatml(const struct chat_template *c, const struct chat_message *m, size_t n,
                              bool prompt, struct buf *out)
{
    enum err e = ERR_OK;
    const char *system = c->row->default_system;
    if (system != NULL && n > 0 && strcmp(m[0].role, "system") != 0) {
        e = put_turn(out, "system", system, strlen(system));
    }
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        e = put_turn(out, m[i].role, m[i].content, m[i].content_len);
    }
    return e == ERR_OK && prompt ? put(out, "<|im_start|>assistant\n") : e;
}

// <|role|>, the content, and EOS after answers; roles other than system, user and assistant are
// left out.
static enum err render_tulu(const struct chat_template *c, const struct chat_message *m, size_t n,
                            bool prompt, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        bool answer = strcmp(m[i].role, "assistant") == 0;
        if (answer || strcmp(m[i].role, "system") == 0 || strcmp(m[i].role, "user") == 0) {
            e = buf_printf(out, "<|%s|>\n", m[i].role);
            if (e == ERR_OK) {
                e = buf_append(out, m[i].content, m[i].content_len);
            }
            if (e == ERR_OK && answer && c->eos != NULL) {
                e = put(out, c->eos);
            }
            if (e == ERR_OK && !(answer && i + 1 == n)) {
                e = put(out, "\n");
            }
        }
    }
    return e == ERR_OK && prompt && n > 0 ? put(out, "<|assistant|>\n") : e;
}

#define CHATML_TURN                                                                                \
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
#define CHATML_PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

static const struct chat_row rows[] = {
    {"smollm2",
     "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
     "{{ '<|im_start|>system\n" SMOLLM2_SYSTEM "<|im_end|>\n' }}{% endif %}" CHATML_TURN
     "{% endfor %}" CHATML_PROMPT,
     SMOLLM2_SYSTEM, "<|im_end|>", render_chatml},
    {"chatml", "{% for message in messages %}" CHATML_TURN "{% endfor %}" CHATML_PROMPT, NULL,
     "<|im_end|>", render_chatml},
    {"chatml",
     "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif "
     "%}"
     "{% for message in messages %}" CHATML_TURN "{% endfor %}" CHATML_PROMPT,
     NULL, "<|im_end|>", render_chatml},
    {"tulu",
     "{% for message in messages %}"
     "{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}"
     "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
     "{% elif message['role'] == 'assistant' %}"
     "{% if not loop.last %}{{ '<|assistant|>\n' + message['content'] + eos_token + '\n' }}"
     "{% else %}{{ '<|assistant|>\n' + message['content'] + eos_token }}{% endif %}{% endif %}"
     "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}",
     NULL, NULL, render_tulu},
};

// ---- normalising ----

struct scan {
    const char *p, *end;
    struct buf *out;
    size_t text_start;    // in out: where the text since the last tag begins
    bool line_start;      // and whether a line of the source begins there
    enum err e;
};

static void emit(struct scan *s, const char *bytes, size_t n)
{
    if (s->e == ERR_OK) {
        s->e = buf_append(s->out, bytes, n);
    }
}

static void emit_char(struct scan *s, char c)
{
    emit(s, &c, 1);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void scan_string(struct scan *s)
{
    char quote = *s->p++;
    emit_char(s, '\x01');
    while (s->p < s->end && *s->p != quote) {
        char c = *s->p++;
        if (c == '\\' && s->p < s->end) {
            c = *s->p++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        emit_char(s, c);
    }
    s->p += s->p < s->end;
    emit_char(s, '\x02');
}

// Is there an attribute at p (".name" after a value)? Numbers with a point are not.
static bool at_attribute(const struct scan *s)
{
    return s->end - s->p >= 2 && s->p[0] == '.' &&
           (isalpha((unsigned char)s->p[1]) || s->p[1] == '_');
}

static void scan_tag(struct scan *s, const char *close)
{
    bool blank = false;
    for (;;) {
        if (s->p >= s->end || (s->end - s->p >= 2 && memcmp(s->p, close, 2) == 0) ||
            (s->end - s->p >= 3 && *s->p == '-' && memcmp(s->p + 1, close, 2) == 0)) {
            return;
        }
        if (isspace((unsigned char)*s->p)) {
            blank = true;
            s->p++;
            continue;
        }
        char before = s->out->len > 0 ? (char)s->out->data[s->out->len - 1] : '\0';
        if (blank && is_word(before) && is_word(*s->p)) {
            emit_char(s, ' ');
        }
        blank = false;
        if (*s->p == '\'' || *s->p == '"') {
            scan_string(s);
        } else if (at_attribute(s)) {
            s->p++;
            emit(s, "[\x01", 2);
            while (s->p < s->end && is_word(*s->p)) {
                emit_char(s, *s->p++);
            }
            emit(s, "\x02]", 2);
        } else {
            emit_char(s, *s->p++);
        }
    }
}

// Removes blanks at the end of the text before a tag: all of them ("-"), or those since the start
// of a line.
static void trim_before(struct scan *s, bool all)
{
    size_t n = s->out->len;
    const uint8_t *d = s->out->data;
    while (n > s->text_start &&
           (d[n - 1] == ' ' || d[n - 1] == '\t' || (all && isspace(d[n - 1])))) {
        n--;
    }
    if (all || (n == s->text_start ? s->line_start : d[n - 1] == '\n')) {
        s->out->len = n;
    }
}

static void scan_close(struct scan *s, bool block)
{
    bool trim = s->p < s->end && *s->p == '-';
    s->p += trim;
    s->p += MIN(s->end - s->p, 2);
    if (trim) {
        while (s->p < s->end && isspace((unsigned char)*s->p)) {
            s->p++;
        }
    } else if (block && s->p < s->end && *s->p == '\n') {
        s->p++;
    }
}

static void scan_open(struct scan *s)
{
    char kind = s->p[1];
    char close[2] = {kind == '{' ? '}' : kind, '}'};
    s->p += 2;
    bool trim = s->p < s->end && *s->p == '-';
    s->p += trim;
    if (trim || kind != '{') {
        trim_before(s, trim);
    }
    if (kind == '#') {
        while (s->end - s->p >= 2 && memcmp(s->p, "#}", 2) != 0 && memcmp(s->p, "-#", 2) != 0) {
            s->p++;
        }
    } else {
        emit_char(s, '\x03');
        emit_char(s, kind);
        scan_tag(s, close);
        emit_char(s, '\x04');
    }
    scan_close(s, kind != '{');
    s->text_start = s->out->len;
    s->line_start = s->p[-1] == '\n';
}

static enum err normalise(const char *source, size_t len, struct buf *out)
{
    struct scan s = {.p = source, .end = source + len, .out = out, .line_start = true};
    for (size_t i = 0; i < len; i++) {
        if (source[i] >= 0 && source[i] <= 4) {
            return ERR_UNSUPPORTED;    // our own brackets
        }
    }
    while (s.p < s.end && s.e == ERR_OK) {
        if (*s.p == '{' && s.end - s.p >= 2 && (s.p[1] == '{' || s.p[1] == '%' || s.p[1] == '#')) {
            scan_open(&s);
        } else {
            emit_char(&s, *s.p++);
        }
    }
    if (s.e == ERR_OK && out->len > s.text_start && out->data[out->len - 1] == '\n') {
        out->len--;    // Jinja drops one newline at the end of a template
    }
    return s.e;
}

// ---- the template ----

static enum err find_row(const char *source, size_t len, const struct chat_row **out,
                         struct why *why)
{
    struct buf given, known;
    buf_init(&given, 0);
    buf_init(&known, 0);
    enum err e = normalise(source, len, &given);
    const struct chat_row *found = NULL;
    for (size_t i = 0; e == ERR_OK && found == NULL && i < ARRAY_LEN(rows); i++) {
        buf_clear(&known);
        e = normalise(rows[i].source, strlen(rows[i].source), &known);
        if (e == ERR_OK && given.len == known.len &&
            memcmp(given.data, known.data, given.len) == 0) {
            found = &rows[i];
        }
    }
    buf_fini(&given);
    buf_fini(&known);
    if (e != ERR_OK) {
        return why_set(why, e, "chat template: %s", err_text(e));
    }
    if (found == NULL) {
        return why_set(
            why, ERR_UNSUPPORTED,
            "chat template: not recognised (it starts \"%.*s\"); supported are the templates of "
            "SmolLM2, plain ChatML and Tulu",
            (int)MIN(len, (size_t)60), source);
    }
    *out = found;
    return ERR_OK;
}

enum err chat_template_create(const char *source, size_t len, const char *eos,
                              struct chat_template **out, struct why *why)
{
    const struct chat_row *row = NULL;
    enum err e = find_row(source, len, &row, why);
    if (e != ERR_OK) {
        return e;
    }
    struct chat_template *c = calloc(1, sizeof *c);
    if (c == NULL || (eos != NULL && (c->eos = strdup(eos)) == NULL)) {
        free(c);
        return why_set(why, ERR_NOMEM, "chat template: out of memory");
    }
    c->row = row;
    *out = c;
    return ERR_OK;
}

void chat_template_destroy(struct chat_template *c)
{
    if (c != NULL) {
        free(c->eos);
        free(c);
    }
}

const char *chat_template_name(const struct chat_template *c)
{
    return c->row->name;
}

const char *chat_template_end_of_turn(const struct chat_template *c)
{
    return c->row->end_of_turn;
}

enum err chat_template_render(const struct chat_template *c, const struct chat_message *m, size_t n,
                              bool add_generation_prompt, struct buf *out, struct why *why)
{
    size_t before = out->len;
    enum err e = c->row->render(c, m, n, add_generation_prompt, out);
    if (e != ERR_OK) {
        out->len = before;
        return why_set(why, e, "chat template %s: %zu messages: %s", c->row->name, n, err_text(e));
    }
    return ERR_OK;
}

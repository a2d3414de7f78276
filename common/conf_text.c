// conf_text.c: the configuration on its way out: manual, printed file, single values, differences.
//
// The manual is an ordinary config file in which every key has its default, with what there is to
// know about it in comments. It is printed from the table, so it cannot fall behind the code, and a
// test reads it back.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/conf_table.h"

#define WRAP_COLUMNS 96

enum err conf_get(const struct conf *c, const char *key, char *out, size_t cap)
{
    const struct conf_row *row = conf_row_find(key);
    return row == NULL ? ERR_NOT_FOUND : conf_row_write(row, c, out, cap);
}

void conf_diff(const struct conf *was, const struct conf *now, conf_diff_fn *fn, void *arg)
{
    for (size_t i = 0; i < conf_n_rows; i++) {
        char a[CONF_VALUE_BYTES], b[CONF_VALUE_BYTES];
        const struct conf_row *row = &conf_rows[i];
        CHECK(conf_row_write(row, was, a, sizeof a) == ERR_OK);
        CHECK(conf_row_write(row, now, b, sizeof b) == ERR_OK);
        if (strcmp(a, b) != 0) {
            fn(arg, row->key, a, b, row->frozen);
        }
    }
}

static size_t section_len(const char *key)
{
    const char *dot = strchr(key, '.');
    return dot != NULL ? (size_t)(dot - key) : 0;
}

static enum err put_value(struct buf *b, const struct conf_row *row, const char *value)
{
    if (row->type != CONF_TYPE_TEXT) {
        return buf_printf(b, "%s\n", value);
    }
    enum err e = buf_append(b, "\"", 1);
    for (const char *p = value; e == ERR_OK && *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            e = buf_append(b, "\\", 1);
        }
        if (e == ERR_OK) {
            e = buf_append(b, p, 1);
        }
    }
    return e == ERR_OK ? buf_append(b, "\"\n", 2) : e;
}

// Text as comment lines, broken at blanks.
static enum err put_comment(struct buf *b, const char *indent, const char *text)
{
    size_t room = WRAP_COLUMNS - strlen(indent) - 2;
    enum err e = ERR_OK;
    while (e == ERR_OK && *text != '\0') {
        size_t len = strlen(text);
        if (len > room) {
            len = room;
            while (len > 0 && text[len] != ' ') {
                len--;
            }
            len = len > 0 ? len : room;
        }
        e = buf_printf(b, "%s# %.*s\n", indent, (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
    return e;
}

// "[an integer in 2..1024 (samples); fixed once the run has begun]"
static enum err put_facts(struct buf *b, const char *indent, const struct conf_row *row)
{
    char expected[CONF_EXPECTED_BYTES] = "text";    // its limits are only news to who meets them
    if (row->type != CONF_TYPE_TEXT) {
        conf_row_expected(row, expected);
    }
    return buf_printf(b, "%s# [%s%s]\n", indent, expected,
                      row->frozen ? "; fixed once the run has begun" : "");
}

static enum err put_row(struct buf *b, const struct conf_row *row, const struct conf *c,
                        bool with_help)
{
    char value[CONF_VALUE_BYTES];
    enum err e = conf_row_write(row, c, value, sizeof value);
    const char *indent = section_len(row->key) > 0 ? "  " : "";
    const char *name = row->key + (section_len(row->key) > 0 ? section_len(row->key) + 1 : 0);
    if (e == ERR_OK && with_help) {
        e = buf_printf(b, "\n");
        e = e == ERR_OK ? put_comment(b, indent, row->help) : e;
        e = e == ERR_OK ? put_facts(b, indent, row) : e;
    }
    e = e == ERR_OK ? buf_printf(b, "%s%s: ", indent, name) : e;
    return e == ERR_OK ? put_value(b, row, value) : e;
}

static enum err put_section(struct buf *b, const struct conf_row *row, bool with_help)
{
    size_t len = section_len(row->key);
    enum err e = ERR_OK;
    if (with_help) {
        e = buf_printf(b, "\n");
        for (size_t i = 0; e == ERR_OK && i < conf_n_sections; i++) {
            const struct conf_section *s = &conf_sections[i];
            if (strlen(s->name) == len && strncmp(s->name, row->key, len) == 0) {
                e = put_comment(b, "", s->help);
            }
        }
    }
    return e == ERR_OK && len > 0 ? buf_printf(b, "%.*s:\n", (int)len, row->key) : e;
}

static char *print(const struct conf *c, bool with_help)
{
    struct buf b;
    buf_init(&b, 0);
    enum err e = ERR_OK;
    if (with_help) {
        e = buf_printf(
            &b,
            "# Every option of a Caravan run, with its default. A file needs only the lines that\n"
            "# differ, and at least model.path. Values are strict and unknown keys are errors, so "
            "a\n"
            "# typing mistake is found before the run begins: caravan run --check FILE.\n");
    }
    for (size_t i = 0; e == ERR_OK && i < conf_n_rows; i++) {
        const struct conf_row *row = &conf_rows[i];
        size_t len = section_len(row->key);
        bool first =
            i == 0 || section_len(row[-1].key) != len || strncmp(row[-1].key, row->key, len) != 0;
        e = first ? put_section(&b, row, with_help) : ERR_OK;
        e = e == ERR_OK ? put_row(&b, row, c, with_help) : e;
    }
    char *text = e == ERR_OK ? buf_take(&b) : NULL;
    buf_fini(&b);
    return text;
}

char *conf_manual(void)
{
    struct conf c;
    conf_defaults(&c);
    return print(&c, true);
}

char *conf_print(const struct conf *c)
{
    return print(c, false);
}

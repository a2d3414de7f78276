// ifbench_format.c: IFBench (Pyatkin et al., "Generalizing Verifiable Instruction Following",
// 2025): nesting, lists, lines and templates.
//
// Each function decides as the original checker does, oddities included: apostrophes open quotes, a
// hyphenated word is two list items, a stray bracket resets the nesting. What needs sentences or
// word tokens is in ifbench_sentences.c.
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"
#include "verifier/textbag.h"

#include <string.h>

static uint32_t opener_of(uint32_t closer)
{
    return closer == ')' ? '(' : closer == ']' ? '[' : closer == '}' ? '{' : 0;
}

// One matching closer behind five open levels is enough; a wrong or surplus one starts all over.
static bool parentheses(const struct check *c)
{
    struct pyspan s = c->response;
    uint32_t *open = scratch_array(c->scratch, s.n + 1, sizeof *open);
    size_t n = 0, deepest = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint32_t opener = opener_of(s.cp[i]);
        if (s.cp[i] == '(' || s.cp[i] == '[' || s.cp[i] == '{') {
            open[n++] = s.cp[i];
            deepest = MAX(deepest, n);
        } else if (opener && n > 0 && open[n - 1] == opener) {
            n--;
            if (deepest >= 5) {
                return true;
            }
        } else if (opener) {
            n = deepest = 0;
        }
    }
    return false;
}

// A quote like the innermost open one closes it, any other opens a level.
static bool quotes(const struct check *c)
{
    struct pyspan s = c->response;
    uint32_t *open = scratch_array(c->scratch, s.n + 1, sizeof *open);
    size_t n = 0, deepest = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (n > 0 && s.cp[i] == open[n - 1]) {
            n--;
            if (deepest - n >= 3) {
                return true;
            }
        } else if (s.cp[i] == '"' || s.cp[i] == '\'') {
            open[n++] = s.cp[i];
            deepest = MAX(deepest, n);
        }
    }
    return false;
}

// Options that begin with the letters a, b and c, only marks and blanks between, are taken exactly.
static bool is_lettered(struct pyspan options)
{
    static const char letters[] = "abc";
    size_t n = 0;
    for (size_t i = 0; i < options.n && n < 3; i++) {
        if (options.cp[i] == (uint32_t)letters[n] || options.cp[i] == (uint32_t)letters[n] - 32) {
            n++;
        } else if (py_isword(options.cp[i])) {
            return false;
        }
    }
    return n == 3;
}

// "or" separates wherever the two letters stand, so that "more or less" has three options.
static struct pylist split_options(struct scratch *a, struct pyspan options)
{
    static const char *const separators[] = {"/", "or"};
    for (size_t i = 0; i < ARRAY_LEN(separators); i++) {
        if (pyspan_search_for(options, separators[i], 0) != PYSPAN_NONE) {
            return pytext_split_by(a, options, separators[i]);
        }
    }
    return pytext_split_by(a, options, ",");
}

static bool options(const struct check *c)
{
    struct pyspan text = ifbench_filled(c, 0, "options");
    struct pylist list = split_options(c->scratch, text);
    bool exact = is_lettered(text), found = false;
    struct pyspan reply = pytext_lower(c->scratch, ifbench_strip_edges(c->response));
    for (size_t i = 0; i < list.n && !found; i++) {
        struct pyspan option = pyspan_strip(list.v[i]);
        found = exact ? pyspan_equal(option, c->response)
                      : pyspan_equal(pytext_lower(c->scratch, ifbench_strip_edges(option)), reply);
    }
    return found;
}

// A line of blanks counts as a line, an empty one does not.
static bool newline(const struct check *c)
{
    struct pyspan s = pyspan_strip(ifbench_depunct(c->scratch, c->response));
    struct pylist lines = pytext_split_by(c->scratch, s, "\n");
    size_t n = 0;
    for (size_t i = 0; i < lines.n; i++) {
        n += lines.v[i].n > 0;
    }
    return n == pytext_split(c->scratch, s).n;
}

static size_t indent_of(struct pyspan line)
{
    size_t n = 0;
    while (n < line.n && line.cp[n] == ' ') {
        n++;
    }
    return n;
}

// The original removes blank lines from the list that it walks through. So each removal skips the
// next line, and takes out the first line with the same text, which may be an earlier one that was
// skipped. First come the numbers of removals by text, then the first so many of each are left out.
static bool line_indent(const struct check *c)
{
    struct pylist lines = pytext_split_by(c->scratch, c->response, "\n");
    struct textbag removed = {.scratch = c->scratch};
    for (size_t i = 0; i < lines.n; i++) {
        if (pyspan_blank(lines.v[i])) {
            ++*textbag_at(&removed, lines.v[i++]);
        }
    }
    bool grows = true, first = true;
    size_t last = 0;
    for (size_t i = 0; i < lines.n && grows; i++) {
        size_t *left = pyspan_blank(lines.v[i]) ? textbag_at(&removed, lines.v[i]) : NULL;
        if (left && *left > 0) {
            --*left;
            continue;
        }
        size_t indent = indent_of(lines.v[i]);
        grows = first || indent > last;
        first = false;
        last = indent;
    }
    return grows;
}

static bool is_outer_mark(uint32_t c)
{
    return (c >= '0' && c <= '9') || (py_ispunct(c) && c != '"');
}

// No quote follows another but for blanks, and none ends the text but for digits and marks.
static bool quote_unquote(const struct check *c)
{
    struct pyspan s = pytext_replace(c->scratch, c->response, pytext_literal(c->scratch, "'\"'"),
                                     (struct pyspan){0});
    s = pytext_without_class(c->scratch, s, py_isspace);
    if (pyspan_search_for(s, "\"\"", 0) != PYSPAN_NONE) {
        return false;
    }
    return !pyspan_ends_with(pyspan_strip_class(s, is_outer_mark), "\"");
}

static bool list(const struct check *c)
{
    return pyspan_count(c->response, ifbench_filled(c, 0, "sep")) >= 2;
}

// The first of two spellings that occurs at all.
static size_t search_either(struct pyspan s, const char *first, const char *second, size_t from)
{
    size_t at = pyspan_search_for(s, first, from);
    return at != PYSPAN_NONE ? at : pyspan_search_for(s, second, from);
}

// Lengths are those of <i> and </i>: of longer tags a '>' is left over, which is text.
static bool thesis(const struct check *c)
{
    struct pyspan s = c->response;
    size_t open = search_either(s, "<i>", "<em>", 0);
    size_t close = open == PYSPAN_NONE ? PYSPAN_NONE : search_either(s, "</i>", "</em>", open);
    return close != PYSPAN_NONE && !pyspan_blank(pyspan_slice(s, open + 3, close)) &&
           !pyspan_blank(pyspan_slice(s, close + 4, s.n));
}

static bool sub_bullets(const struct check *c)
{
    struct pylist bullets = pytext_split_by(c->scratch, c->response, "*");
    bool all = true;
    for (size_t i = 1; i < bullets.n && all; i++) {
        all = pyspan_find(bullets.v[i], '-', 0) < bullets.v[i].n;
    }
    return all;
}

static bool output_template(const struct check *c)
{
    static const char *const parts[] = {"My Answer:", "My Conclusion:", "Future Outlook:"};
    bool all = true;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        all = all && pyspan_search_for(c->response, parts[i], 0) != PYSPAN_NONE;
    }
    return all;
}

static bool no_whitespace(const struct check *c)
{
    size_t i = 0;
    while (i < c->response.n && !py_isspace(c->response.cp[i])) {
        i++;
    }
    return i == c->response.n;
}

const struct check_row checks_ifbench_format[] = {
    CHECK_INSTRUCTION_ROW("format:parentheses", "1", parentheses,
                          "( [ and { nest five levels deep before one of them is closed",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:quotes", "1", quotes,
                          "quotes nest three levels deep, \" and ' in turn", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:options", "1", options,
                          "the response is one of the options, separated by /, or, or a comma",
                          CHECK_STR("options")),
    CHECK_INSTRUCTION_ROW("format:newline", "1", newline, "each word stands on its own line",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:line_indent", "1", line_indent,
                          "each line is indented deeper than the one before", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:quote_unquote", "1", quote_unquote,
                          "text that is not quoted follows every quote", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:list", "1", list, "sep occurs at least twice", CHECK_STR("sep")),
    CHECK_INSTRUCTION_ROW("format:thesis", "1", thesis, "text in <i> or <em>, and text behind it",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:sub-bullets", "1", sub_bullets,
                          "a - follows every * before the next one", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:output_template", "1", output_template,
                          "\"My Answer:\", \"My Conclusion:\" and \"Future Outlook:\" occur",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("format:no_whitespace", "1", no_whitespace, "there is no whitespace",
                          CHECK_NO_ARGS),
    {0},
};

// ifeval.c: verifiable instructions of IFEval (Zhou et al., "Instruction-Following Evaluation for
// Large Language Models", 2023).
//
// Each function decides as the original checker does on the same text, oddities included, because
// published scores and training recipes rest on these verdicts: a keyword is a regular expression,
// "P.P.S." satisfies "P.S.", a title needs no space around it. All work is on code points under
// Python's rules (pytext.h). That a blank response fails every instruction, and the loose mode, are
// the caller's business (score.c).
#include "verifier/checks/tables.h"
#include "verifier/pyjson.h"
#include "verifier/pyregex.h"

#include <string.h>

static bool no_comma(const struct check *c)
{
    return pyspan_find(c->response, ',', 0) == c->response.n;
}

// Words are maximal runs of \w: "state-of-the" is three, "don't" two, unspaced Japanese one.
static bool number_words(const struct check *c)
{
    return check_related(pytext_words(c->scratch, c->response).n, &c->args[0], &c->args[1]);
}

static bool existence(const struct check *c)
{
    bool all = true;
    for (size_t i = 0; i < c->args[0].list.n && all; i++) {
        all = pyregex_search(c->scratch, c->args[0].list.v[i], PYREGEX_IGNORECASE, c->response);
    }
    return all;
}

static bool quotation(const struct check *c)
{
    struct pyspan s = pyspan_strip(c->response);
    return s.n > 1 && s.cp[0] == '"' && s.cp[s.n - 1] == '"';
}

// Quotes are stripped from the response only, so a phrase that ends in one is never found.
static bool end_checker(const struct check *c)
{
    struct pyspan reply = pyspan_strip_char(pyspan_strip(c->response), '"');
    struct pyspan phrase = pyspan_strip(c->args[0].text);
    return pyspan_ends(pytext_lower(c->scratch, reply), pytext_lower(c->scratch, phrase));
}

static bool json_format(const struct check *c)
{
    static const char *const fences[] = {"```json", "```Json", "```JSON", "```"};
    struct pyspan s = pyspan_strip(c->response);
    for (size_t i = 0; i < ARRAY_LEN(fences); i++) {
        if (pyspan_starts_with(s, fences[i])) {
            s = pyspan_slice(s, strlen(fences[i]), s.n);
        }
    }
    if (pyspan_ends_with(s, "```")) {
        s = pyspan_slice(s, 0, s.n - 3);
    }
    return pyjson_valid(pyspan_strip(s));
}

// The pattern of a marker: two markers have their own, any other is a pattern itself. Case is
// removed by lower() on both sides. Upstream puts \s* in front of each; it may match nothing, so it
// is left out (a long run of blanks would cost quadratic time), except where the marker begins with
// a repeat sign and would change its meaning.
static struct pyspan postscript_pattern(struct scratch *a, struct pyspan marker)
{
    if (pyspan_is(marker, "P.S.")) {
        return pytext_literal(a, "p\\.\\s?s\\.");
    }
    if (pyspan_is(marker, "P.P.S")) {
        return pytext_literal(a, "p\\.\\s?p\\.\\s?s");
    }
    struct pyspan lower = pytext_lower(a, marker);
    bool repeat = lower.n > 0 && lower.cp[0] < 0x80 && strchr("*+?{", (int)lower.cp[0]);
    struct pyspan head = pytext_literal(a, repeat ? "\\s*" : "");
    return pytext_concat(a, pytext_concat(a, head, lower), pytext_literal(a, ".*$"));
}

static bool postscript(const struct check *c)
{
    struct pyspan pattern = postscript_pattern(c->scratch, pyspan_strip(c->args[0].text));
    return pyregex_search(c->scratch, pattern, PYREGEX_MULTILINE,
                          pytext_lower(c->scratch, c->response));
}

static struct pyspan strip_title(struct pyspan s)
{
    size_t from = 0, to = s.n;
    while (from < to && s.cp[from] == '<') {
        from++;
    }
    while (to > from && s.cp[to - 1] == '>') {
        to--;
    }
    return pyspan_slice(s, from, to);
}

// On one line: from the first "<<" to the last ">>" with at least one character between them.
static bool line_has_title(struct pyspan line)
{
    size_t open = 0;
    while (open + 1 < line.n && !(line.cp[open] == '<' && line.cp[open + 1] == '<')) {
        open++;
    }
    for (size_t close = line.n; close >= open + 5; close--) {
        if (line.cp[close - 1] == '>' && line.cp[close - 2] == '>') {
            return !pyspan_blank(strip_title(pyspan_slice(line, open, close)));
        }
    }
    return false;
}

static bool title(const struct check *c)
{
    bool found = false;
    for (size_t at = 0; at <= c->response.n && !found;) {
        size_t end = pyspan_find(c->response, '\n', at);
        found = line_has_title(pyspan_slice(c->response, at, end));
        at = end + 1;
    }
    return found;
}

const struct check_row checks_ifeval[] = {
    {.id = "punctuation:no_comma",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = no_comma,
     .doc = "the response has no U+002C comma"},
    {.id = "length_constraints:number_words",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = number_words,
     .args = {{"num_words", CHECK_ARG_INT, NULL}, {"relation", CHECK_ARG_RELATION, NULL}},
     .doc = "the number of words (runs of \\w) is less than, or at least, num_words"},
    {.id = "keywords:existence",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = existence,
     .args = {{"keywords", CHECK_ARG_STR_LIST, NULL}},
     .doc = "every keyword, a regular expression, is found anywhere, whatever its case"},
    {.id = "startend:quotation",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = quotation,
     .doc = "the stripped response begins and ends with a double quote"},
    {.id = "startend:end_checker",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = end_checker,
     .args = {{"end_phrase", CHECK_ARG_STR, NULL}},
     .doc = "the response ends with end_phrase, whatever its case and outer quotes"},
    {.id = "detectable_format:json_format",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = json_format,
     .doc = "the response, without a code fence, is JSON as Python reads it"},
    {.id = "detectable_content:postscript",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = postscript,
     .args = {{"postscript_marker", CHECK_ARG_STR, NULL}},
     .doc = "the response holds the postscript marker"},
    {.id = "detectable_format:title",
     .version = "1",
     .kind = CHECK_INSTRUCTION,
     .holds = title,
     .doc = "one line holds a title in <<double angular brackets>>"},
    {0},
};

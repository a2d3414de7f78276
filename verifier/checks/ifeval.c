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

#include <stdlib.h>
#include <string.h>

static enum err no_comma(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    *pass = pyspan_find(in->response, ',', 0) == in->response.n;
    return ERR_OK;
}

// Words are maximal runs of \w: "state-of-the" is three, "don't" two, unspaced Japanese one.
static enum err number_words(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    int64_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < in->response.n; i++) {
        bool word = py_isword(in->response.cp[i]);
        words += word && !inside;
        inside = word;
    }
    int64_t limit = in->args[0].integer;
    *pass = in->args[1].relation == CHECK_LESS_THAN ? words < limit : words >= limit;
    return ERR_OK;
}

static enum err existence(const struct check_input *in, bool *pass, struct why *why)
{
    bool all = true;
    for (size_t i = 0; i < in->args[0].n_list && all; i++) {
        enum err e = pyregex_search(pytext_span(&in->args[0].list[i]), PYREGEX_IGNORECASE,
                                    in->response, &all, why);
        if (e) {
            return why_prefix(why, e, "keywords[%zu]", i);
        }
    }
    *pass = all;
    return ERR_OK;
}

static enum err quotation(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    struct pyspan s = pyspan_strip(in->response);
    *pass = s.n > 1 && s.cp[0] == '"' && s.cp[s.n - 1] == '"';
    return ERR_OK;
}

// Quotes are stripped from the response only, so a phrase that ends in one is never found.
static enum err end_checker(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    struct pytext reply = {0}, phrase = {0};
    enum err e = pytext_lower(pyspan_strip_char(pyspan_strip(in->response), '"'), &reply);
    e = e ? e : pytext_lower(pyspan_strip(pytext_span(&in->args[0].text)), &phrase);
    if (!e) {
        *pass = pyspan_ends(pytext_span(&reply), pytext_span(&phrase));
    }
    pytext_fini(&reply);
    pytext_fini(&phrase);
    return e;
}

static bool starts_with_ascii(struct pyspan s, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < n; i++) {
        if (i >= s.n || s.cp[i] != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

static enum err json_format(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    static const char *const fences[] = {"```json", "```Json", "```JSON", "```"};
    struct pyspan s = pyspan_strip(in->response);
    for (size_t i = 0; i < ARRAY_LEN(fences); i++) {
        if (starts_with_ascii(s, fences[i])) {
            s = pyspan_slice(s, strlen(fences[i]), s.n);
        }
    }
    if (s.n >= 3 && starts_with_ascii(pyspan_slice(s, s.n - 3, s.n), "```")) {
        s = pyspan_slice(s, 0, s.n - 3);
    }
    *pass = pyjson_valid(pyspan_strip(s));
    return ERR_OK;
}

static bool is_ascii(struct pyspan s, const char *word)
{
    return s.n == strlen(word) && starts_with_ascii(s, word);
}

// The pattern of a marker: two markers have their own, any other is a pattern itself. Case is
// removed by lower() on both sides. Upstream puts \s* in front of each; it may match nothing, so it
// is left out (a long run of blanks would cost quadratic time), except where the marker begins with
// a repeat sign and would change its meaning.
static enum err postscript_pattern(struct pyspan marker, struct pytext *out)
{
    static const char one[] = "p\\.\\s?s\\.", two[] = "p\\.\\s?p\\.\\s?s";
    if (is_ascii(marker, "P.S.") || is_ascii(marker, "P.P.S")) {
        const char *pattern = marker.n == 4 ? one : two;
        return pytext_decode(pattern, strlen(pattern), out);
    }
    struct pytext lower = {0};
    enum err e = pytext_lower(marker, &lower);
    uint32_t *cp = e ? NULL : malloc((lower.n + 6) * sizeof *cp);
    if (cp) {
        const uint32_t head[] = {'\\', 's', '*'}, tail[] = {'.', '*', '$'};
        bool repeat = lower.n > 0 && lower.cp[0] < 0x80 && strchr("*+?{", (int)lower.cp[0]);
        size_t n = repeat ? 3 : 0;
        memcpy(cp, head, n * sizeof *cp);
        memcpy(cp + n, lower.cp, lower.n * sizeof *cp);
        memcpy(cp + n + lower.n, tail, sizeof tail);
        *out = (struct pytext){cp, n + lower.n + 3};
    }
    pytext_fini(&lower);
    return cp ? ERR_OK : ERR_NOMEM;
}

static enum err postscript(const struct check_input *in, bool *pass, struct why *why)
{
    struct pytext pattern = {0}, reply = {0};
    enum err e = postscript_pattern(pyspan_strip(pytext_span(&in->args[0].text)), &pattern);
    e = e ? e : pytext_lower(in->response, &reply);
    e = e ? e
          : pyregex_search(pytext_span(&pattern), PYREGEX_MULTILINE, pytext_span(&reply), pass,
                           why);
    pytext_fini(&pattern);
    pytext_fini(&reply);
    return e;
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

static enum err title(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    *pass = false;
    for (size_t at = 0; at <= in->response.n && !*pass;) {
        size_t end = pyspan_find(in->response, '\n', at);
        *pass = line_has_title(pyspan_slice(in->response, at, end));
        at = end + 1;
    }
    return ERR_OK;
}

const struct check_row checks_ifeval[] = {
    {"punctuation:no_comma",
     "1",
     CHECK_INSTRUCTION,
     no_comma,
     {{0}},
     "the response has no U+002C comma"},
    {"length_constraints:number_words",
     "1",
     CHECK_INSTRUCTION,
     number_words,
     {{"num_words", CHECK_ARG_INT, NULL}, {"relation", CHECK_ARG_RELATION, NULL}},
     "the number of words (runs of \\w) is less than, or at least, num_words"},
    {"keywords:existence",
     "1",
     CHECK_INSTRUCTION,
     existence,
     {{"keywords", CHECK_ARG_STR_LIST, NULL}},
     "every keyword, a regular expression, is found anywhere, whatever its case"},
    {"startend:quotation",
     "1",
     CHECK_INSTRUCTION,
     quotation,
     {{0}},
     "the stripped response begins and ends with a double quote"},
    {"startend:end_checker",
     "1",
     CHECK_INSTRUCTION,
     end_checker,
     {{"end_phrase", CHECK_ARG_STR, NULL}},
     "the response ends with end_phrase, whatever its case and outer quotes"},
    {"detectable_format:json_format",
     "1",
     CHECK_INSTRUCTION,
     json_format,
     {{0}},
     "the response, without a code fence, is JSON as Python reads it"},
    {"detectable_content:postscript",
     "1",
     CHECK_INSTRUCTION,
     postscript,
     {{"postscript_marker", CHECK_ARG_STR, NULL}},
     "the response holds the postscript marker"},
    {"detectable_format:title",
     "1",
     CHECK_INSTRUCTION,
     title,
     {{0}},
     "one line holds a title in <<double angular brackets>>"},
    {0},
};

// answers.c: checks that compare the response with the ground truth of its row.
//
// gsm8k follows the later version of the open-instruct verifier (no cut at a chat marker, integers
// keep a sign): commas between digits go in one left-to-right pass, the last number is taken, or
// the whole text when there is none, and its lower-case form must equal the label's. Nothing is
// numeric: 18.00 is not 18.
#include "verifier/checks/tables.h"

#include <stdlib.h>

// One pass of s/(\d),(\d)/\1\2/: both digits are consumed, so 1,2,3 becomes 12,3.
static enum err drop_commas(struct pyspan s, struct pytext *out)
{
    uint32_t *cp = malloc((s.n + 1) * sizeof *cp);
    if (!cp) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        if (i + 2 < s.n && s.cp[i + 1] == ',' && py_isdigit(s.cp[i]) && py_isdigit(s.cp[i + 2])) {
            cp[n++] = s.cp[i];
            cp[n++] = s.cp[i + 2];
            i += 3;
        } else {
            cp[n++] = s.cp[i++];
        }
    }
    *out = (struct pytext){cp, n};
    return ERR_OK;
}

static size_t digits_end(struct pyspan s, size_t at)
{
    while (at < s.n && py_isdigit(s.cp[at])) {
        at++;
    }
    return at;
}

// End of a match of [-+]?\d*\.\d+|[-+]?\d+ that starts at `at`, or `at` itself.
static size_t number_end(struct pyspan s, size_t at)
{
    size_t start = at + (s.cp[at] == '-' || s.cp[at] == '+');
    size_t whole = digits_end(s, start);
    if (whole < s.n && s.cp[whole] == '.') {
        size_t end = digits_end(s, whole + 1);
        if (end > whole + 1) {
            return end;
        }
    }
    return whole > start ? whole : at;
}

static struct pyspan last_number(struct pyspan s)
{
    struct pyspan found = s;
    for (size_t i = 0; i < s.n;) {
        size_t end = number_end(s, i);
        if (end > i) {
            found = pyspan_slice(s, i, end);
            i = end;
        } else {
            i++;
        }
    }
    return found;
}

static enum err gsm8k(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    struct pytext plain = {0}, answer = {0}, label = {0};
    enum err e = drop_commas(in->response, &plain);
    e = e ? e : pytext_lower(last_number(pytext_span(&plain)), &answer);
    e = e ? e : pytext_lower(in->truth, &label);
    if (!e) {
        *pass = pyspan_equal(pytext_span(&answer), pytext_span(&label));
    }
    pytext_fini(&plain);
    pytext_fini(&answer);
    pytext_fini(&label);
    return e;
}

static enum err string_equality(const struct check_input *in, bool *pass, struct why *why)
{
    (void)why;
    *pass = pyspan_equal(pyspan_strip(in->response), pyspan_strip(in->truth));
    return ERR_OK;
}

const struct check_row checks_answers[] = {
    {"gsm8k",
     "2",
     CHECK_TRUTH,
     gsm8k,
     {{0}},
     "the last number of the response equals the ground truth, as text"},
    {"string_equality",
     "1",
     CHECK_TRUTH,
     string_equality,
     {{0}},
     "response and ground truth are equal after stripping outer whitespace"},
    {0},
};

// answers.c: checks that compare the response with the ground truth of its row.
//
// gsm8k follows the later version of the open-instruct verifier (no cut at a chat marker, integers
// keep a sign): commas between digits go in one left-to-right pass, the last number is taken, or
// the whole text when there is none, and its lower-case form must equal the label's. Nothing is
// numeric: 18.00 is not 18.
#include "verifier/checks/tables.h"

// One pass of s/(\d),(\d)/\1\2/: both digits are consumed, so 1,2,3 becomes 12,3.
static struct pyspan drop_commas(struct scratch *a, struct pyspan s)
{
    uint32_t *cp = scratch_array(a, s.n + 1, sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        if (i + 2 < s.n && s.cp[i + 1] == ',' && py_isdecimal(s.cp[i]) &&
            py_isdecimal(s.cp[i + 2])) {
            cp[n++] = s.cp[i];
            cp[n++] = s.cp[i + 2];
            i += 3;
        } else {
            cp[n++] = s.cp[i++];
        }
    }
    return (struct pyspan){cp, n};
}

static size_t digits_end(struct pyspan s, size_t at)
{
    while (at < s.n && py_isdecimal(s.cp[at])) {
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

static bool gsm8k(const struct check *c)
{
    struct pyspan number = last_number(drop_commas(c->scratch, c->response));
    return pyspan_equal(pytext_lower(c->scratch, number), pytext_lower(c->scratch, c->truth));
}

static bool string_equality(const struct check *c)
{
    return pyspan_equal(pyspan_strip(c->response), pyspan_strip(c->truth));
}

const struct check_row checks_answers[] = {
    {.id = "gsm8k",
     .version = "2",
     .kind = CHECK_TRUTH,
     .holds = gsm8k,
     .doc = "the last number of the response equals the ground truth, as text"},
    {.id = "string_equality",
     .version = "1",
     .kind = CHECK_TRUTH,
     .holds = string_equality,
     .doc = "response and ground truth are equal after stripping outer whitespace"},
    {0},
};

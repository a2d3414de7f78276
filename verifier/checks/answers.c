// answers.c: checks that compare the response with the ground truth of its row.
//
// gsm8k takes the last number, or the whole text when there is none, and its lower-case form must
// equal the label's. Commas between digits go first, in one left-to-right pass. Nothing is numeric:
// 18.00 is not 18. The two versions of the original differ in what they look at and in signs:
//   gsm8k           the response; a sign belongs to every number, so "5-3" ends in -3
//   gsm8k@tulu3     the response after the last "<|assistant|>" line, stripped; a sign belongs to a
//                   number with a point only, so "-3" ends in 3 and "-3.5" in -3.5
#include "verifier/checks/checktext.h"
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

// End of a match of [-+]?\d*\.\d+|SIGN\d+ that starts at `at`, or `at` itself; SIGN is [-+]? or (not
// signed) nothing.
static size_t number_end(struct pyspan s, size_t at, bool is_signed)
{
    bool sign = s.cp[at] == '-' || s.cp[at] == '+';
    size_t start = at + sign, whole = digits_end(s, start);
    if (whole < s.n && s.cp[whole] == '.') {
        size_t end = digits_end(s, whole + 1);
        if (end > whole + 1) {
            return end;
        }
    }
    return whole > start && (is_signed || !sign) ? whole : at;
}

static struct pyspan last_number(struct pyspan s, bool is_signed)
{
    struct pyspan found = s;
    for (size_t i = 0; i < s.n;) {
        size_t end = number_end(s, i, is_signed);
        if (end > i) {
            found = pyspan_slice(s, i, end);
            i = end;
        } else {
            i++;
        }
    }
    return found;
}

static bool ends_in_label(const struct check *c, struct pyspan response, bool is_signed)
{
    struct pyspan number = last_number(drop_commas(c->scratch, response), is_signed);
    return pyspan_equal(pytext_lower(c->scratch, number), pytext_lower(c->scratch, c->truth));
}

static bool gsm8k(const struct check *c)
{
    return ends_in_label(c, c->response, true);
}

static bool gsm8k_tulu3(const struct check *c)
{
    return ends_in_label(c, checktext_after_assistant(c->response), false);
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
    {.id = "gsm8k@tulu3",
     .version = "1",
     .kind = CHECK_TRUTH,
     .holds = gsm8k_tulu3,
     .doc = "gsm8k as released with Tülu 3: integers have no sign"},
    {.id = "string_equality",
     .version = "1",
     .kind = CHECK_TRUTH,
     .holds = string_equality,
     .doc = "response and ground truth are equal after stripping outer whitespace"},
    {0},
};

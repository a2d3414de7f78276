// math.c: checks of mathematical answers.
//
//   math         the MATH verifier of Tülu 3: its candidates, its string rule; numbers and
//                expressions also by mathematics (math/equiv.h in place of the original's parser)
//   math_equiv   our own: one answer, found as people write answers, compared by mathematics alone
//
// docs/verifier-differences.md lists where "math" and the original differ, and who is right. What
// mathematics cannot decide, and nothing else settles, leaves unscored with the reason.
#include "verifier/checks/checktext.h"
#include "verifier/checks/tables.h"
#include "verifier/extract.h"
#include "verifier/math/equiv.h"
#include "verifier/mathscope.h"
#include "verifier/mathstring.h"
#include "verifier/minerva.h"

// What the original can compare by mathematics: two expressions; or words, which it reads as
// products of letters, so that spaces do not count.
static bool are_comparable(struct pyspan truth, struct pyspan answer)
{
    return mathscope_is_expression(truth) ? mathscope_is_expression(answer)
                                          : mathscope_is_words(truth) && mathscope_is_words(answer);
}

static bool math(const struct check *c)
{
    struct scratch *a = c->scratch;
    struct minerva_answers found = minerva_extract(a, checktext_after_assistant(c->response));
    for (size_t i = 0; i < found.n; i++) {
        if (mathstring_equal(a, found.v[i], c->truth) ||
            mathscope_leaves_out_base(c->truth, found.v[i])) {
            return true;
        }
    }
    const char *undecided = NULL;
    for (size_t i = 0; i < found.n; i++) {
        if (!are_comparable(c->truth, found.v[i])) {
            continue;
        }
        const char *why = NULL;
        enum math_verdict v = math_equiv(a, c->truth, found.v[i], MATH_SYMBOLIC, &why);
        if (v == MATH_EQUAL) {
            return true;
        }
        undecided = v == MATH_UNDECIDED ? why : undecided;
    }
    if (undecided) {
        scratch_fail(a, ERR_LIMIT, "%s", undecided);
    }
    return false;
}

static bool equivalent(const struct check *c)
{
    struct pyspan answer;
    const char *why = NULL;
    if (!extract_answer(c->scratch, c->response, &answer)) {
        return false;
    }
    enum math_verdict v = math_equiv(c->scratch, c->truth, answer, MATH_EVERYDAY, &why);
    if (v == MATH_UNDECIDED) {
        scratch_fail(c->scratch, ERR_LIMIT, "%s", why);
    }
    return v == MATH_EQUAL;
}

const struct check_row checks_math[] = {
    {.id = "math",
     .version = "2",
     .kind = CHECK_TRUTH,
     .holds = math,
     .doc = "the box or the final sentence equals the ground truth, as text or as an expression"},
    {.id = "math_equiv",
     .version = "2",
     .kind = CHECK_TRUTH,
     .holds = equivalent,
     .doc = "the answer, wherever it stands, is the same mathematical object as the ground truth"},
    {0},
};

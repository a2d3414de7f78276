// instruction.h: tables of texts that an instruction accepts or not.
#ifndef CARAVAN_TESTS_VERIFIER_INSTRUCTION_H
#define CARAVAN_TESTS_VERIFIER_INSTRUCTION_H

#include "tests/verifier/support.h"

struct instruction_case {
    const char *kwargs;    // JSON
    const char *response;
    bool holds;
};

static inline enum score_outcome instruction_outcome(const char *id, const char *kwargs,
                                                     struct score_text response,
                                                     struct score_result *r)
{
    char checks[2048];
    int n = snprintf(checks, sizeof checks, "[{\"id\":\"%s\",\"kwargs\":%s}]", id, kwargs);
    assert_in_range(n, 1, sizeof checks - 1);
    struct score_request req = {.checks = support_text(checks), .response = response};
    score_request_run(&req, r);
    return r->outcome;
}

static inline void instruction_judge(const char *id, const struct instruction_case *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct score_result r;
        enum score_outcome got =
            instruction_outcome(id, t[i].kwargs, support_text(t[i].response), &r);
        if (got != (t[i].holds ? SCORE_SCORED : SCORE_ZERO)) {
            fail_msg("%s %s on \"%s\": %s %s", id, t[i].kwargs, t[i].response,
                     score_outcome_name(got), r.cause);
        }
        score_result_fini(&r);
    }
}

// The arguments are refused with this text, whatever the response.
static inline void instruction_refuses(const char *id, const char *kwargs, const char *cause)
{
    struct score_result r;
    assert_int_equal(instruction_outcome(id, kwargs, support_text("text"), &r), SCORE_UNSCORED);
    if (!strstr(r.cause, cause)) {
        fail_msg("%s %s: \"%s\", expected \"%s\"", id, kwargs, r.cause, cause);
    }
    score_result_fini(&r);
}

#define INSTRUCTION_JUDGE(id, ...)                                                                 \
    do {                                                                                           \
        static const struct instruction_case cases[] = {__VA_ARGS__};                              \
        instruction_judge(id, cases, ARRAY_LEN(cases));                                            \
    } while (0)

#endif

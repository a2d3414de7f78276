// textspan.h: tests on texts, inside a scratch: each test function runs within scratch_run.
#ifndef CARAVAN_TESTS_VERIFIER_TEXTSPAN_H
#define CARAVAN_TESTS_VERIFIER_TEXTSPAN_H

#include "tests/verifier/support.h"

#include "verifier/pytext.h"

// A claim about text; asserts may leave it by longjmp, the scratch is released by the next one.
typedef void textspan_claim(struct scratch *a);

struct textspan_call {
    struct scratch *scratch;
    textspan_claim *claim;
};

static inline void textspan_enter(void *arg)
{
    struct textspan_call *c = arg;
    c->claim(c->scratch);
}

static inline void textspan_run(textspan_claim *claim)
{
    struct scratch a;
    scratch_init(&a, (size_t)256 << 20);
    struct textspan_call call = {&a, claim};
    struct why why = {{0}};
    enum err e = scratch_run(&a, textspan_enter, &call, &why);
    scratch_fini(&a);
    if (e) {
        fail_msg("%s", why.text);
    }
}

// Asserts that s is this UTF-8 text.
static inline void textspan_assert(struct scratch *a, struct pyspan s, const char *want)
{
    assert_string_equal(pytext_encode(a, s, NULL), want);
}

// `piece` n times, then `end`.
static inline struct pyspan textspan_repeated(struct scratch *a, const char *piece, size_t n,
                                              const char *end)
{
    size_t len = strlen(piece);
    char *text = scratch_alloc(a, n * len + strlen(end) + 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + i * len, piece, len);
    }
    strcpy(text + n * len, end);
    return pytext_decode(a, text, n * len + strlen(end));
}

// A cmocka test from a claim.
#define TEXTSPAN_TEST(name)                                                                        \
    static void name##_claim(struct scratch *a);                                                   \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        textspan_run(name##_claim);                                                                \
    }                                                                                              \
    static void name##_claim(struct scratch *a)

#endif

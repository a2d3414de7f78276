// equiv.c: readings of both texts, compared until one pair agrees.
//
// Most texts have one reading. Where notation is ambiguous (lex.h) each reading is tried, the usual
// one first: equal in any reading is equal. A text that is no mathematics is compared as words.
#include "verifier/math/equiv.h"

#include "verifier/math/compare.h"
#include "verifier/math/parse.h"

struct reading {
    uint32_t node;    // MATH_NONE: cannot be read
    bool noted;       // for a reason, rather than being malformed
    unsigned others;
};

static struct reading read_text(struct math_forest *f, struct pyspan text, unsigned reading)
{
    struct math_tokens tokens = {0};
    struct reading r = {.node = MATH_NONE};
    const char *before = f->why;
    f->why = NULL;
    if (math_lex(f, text, reading, &tokens)) {
        r.node = math_parse(f, &tokens);
    }
    r.others = tokens.readings;
    r.noted = f->why != NULL;
    f->why = f->why ? f->why : before;
    return r;
}

static struct pyspan plain(struct scratch *s, struct pyspan text)
{
    return math_words(s, text);
}

static enum math_verdict compare_readings(struct math_forest *f, struct pyspan truth,
                                          struct pyspan answer)
{
    enum math_verdict best = MATH_DIFFERENT;
    struct reading t0 = read_text(f, truth, MATH_USUAL), a0 = read_text(f, answer, MATH_USUAL);
    if (a0.node == MATH_NONE && t0.node != MATH_NONE) {
        return a0.noted || f->broken ? MATH_UNDECIDED : MATH_DIFFERENT;
    }
    if (t0.node == MATH_NONE) {
        math_note(f, "the ground truth is no mathematics that is understood here");
        return MATH_UNDECIDED;
    }
    for (unsigned t = 0; t < MATH_READINGS && best != MATH_EQUAL; t++) {
        if ((t & ~t0.others) != 0) {
            continue;
        }
        uint32_t x = t == 0 ? t0.node : read_text(f, truth, t).node;
        for (unsigned a = 0; a < MATH_READINGS && best != MATH_EQUAL && x != MATH_NONE; a++) {
            if ((a & ~a0.others) != 0) {
                continue;
            }
            uint32_t y = a == 0 ? a0.node : read_text(f, answer, a).node;
            enum math_verdict v = y == MATH_NONE ? MATH_DIFFERENT : compare_answers(f, x, y);
            best = v == MATH_DIFFERENT ? best : v;
        }
    }
    return best;
}

enum math_verdict math_equiv(struct scratch *s, struct pyspan truth, struct pyspan answer,
                             const char **why)
{
    *why = NULL;
    if (pyspan_equal(plain(s, truth), plain(s, answer))) {
        return MATH_EQUAL;
    }
    struct math_forest *f = math_forest_create(s);
    enum math_verdict v = compare_readings(f, truth, answer);
    if (v == MATH_UNDECIDED) {
        *why = f->why ? f->why : "undecided";
    }
    math_forest_fini(f);
    return v;
}

bool math_parses(struct scratch *s, struct pyspan text)
{
    struct math_forest *f = math_forest_create(s);
    bool parses = read_text(f, text, MATH_USUAL).node != MATH_NONE;
    math_forest_fini(f);
    return parses;
}

// shaping.c: checks that shape a reward rather than decide it: the form of a reasoned answer, its
// length, its end, its repetitiveness.
//
// They are meant for the `shaping` list of a run's reward policy or for `checks` with weights: a
// format reward has a positive weight, a penalty a negative one. Values lie between 0 and 1.
#include "verifier/checks/tables.h"

// Where `mark` stands when it occurs exactly once, PYSPAN_NONE otherwise.
static size_t only_place(const struct check *c, struct pyspan mark)
{
    size_t at = pyspan_search(c->response, mark, 0);
    bool again = at != PYSPAN_NONE && pyspan_search(c->response, mark, at + mark.n) != PYSPAN_NONE;
    return again ? PYSPAN_NONE : at;
}

// The marks, each once, in order, with text that is not blank inside each pair; outside of the
// pairs nothing but whitespace.
static bool is_tagged(const struct check *c, const struct pyspan *marks, size_t n_pairs)
{
    size_t outside = 0;
    for (size_t i = 0; i < n_pairs; i++) {
        struct pyspan open = marks[2 * i], close = marks[2 * i + 1];
        size_t from = only_place(c, open), to = only_place(c, close);
        if (from == PYSPAN_NONE || to == PYSPAN_NONE || from < outside || to < from + open.n ||
            !pyspan_blank(pyspan_slice(c->response, outside, from)) ||
            pyspan_blank(pyspan_slice(c->response, from + open.n, to))) {
            return false;
        }
        outside = to + close.n;
    }
    return pyspan_blank(pyspan_slice(c->response, outside, c->response.n));
}

static bool think_answer(const struct check *c)
{
    struct pyspan marks[4];
    static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>"};
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        marks[i] = pytext_literal(c->scratch, tags[i]);
    }
    return is_tagged(c, marks, 2);
}

static bool tags(const struct check *c)
{
    struct pylist names = c->args[0].list;
    struct pyspan *marks = scratch_array(c->scratch, names.n, 2 * sizeof *marks);
    struct pyspan open = pytext_literal(c->scratch, "<"), slash = pytext_literal(c->scratch, "</"),
                  close = pytext_literal(c->scratch, ">");
    for (size_t i = 0; i < names.n; i++) {
        struct pyspan tail = pytext_concat(c->scratch, names.v[i], close);
        marks[2 * i] = pytext_concat(c->scratch, open, tail);
        marks[2 * i + 1] = pytext_concat(c->scratch, slash, tail);
    }
    return is_tagged(c, marks, names.n);
}

static bool stopped(const struct check *c)
{
    return c->stopped;
}

// 0 up to `free` units, then in a straight line up to 1 at `limit`.
static double excess(const struct check *c, size_t length)
{
    int64_t free_units = c->args[0].integer, limit = c->args[1].integer;
    if (limit <= free_units) {
        scratch_fail(c->scratch, ERR_INVALID, "limit: %lld is not over free: %lld",
                     (long long)limit, (long long)free_units);
    }
    double over = (double)length - (double)free_units;
    return over <= 0 ? 0 : MIN(over / (double)(limit - free_units), 1.0);
}

static double words_over(const struct check *c)
{
    return excess(c, pytext_split(c->scratch, c->response).n);
}

static double characters_over(const struct check *c)
{
    return excess(c, c->response.n);
}

static size_t slot_of(const struct pyspan *table, size_t mask, struct pyspan key)
{
    size_t at = pyspan_hash(key) & mask;
    while (table[at].cp && !pyspan_equal(table[at], key)) {
        at = (at + 1) & mask;
    }
    return at;
}

// Runs of n words, compared with the single blank between them that a split leaves.
static double repetition(const struct check *c)
{
    size_t n = (size_t)c->args[0].integer;
    struct pyspan blank = pytext_literal(c->scratch, " ");
    struct pylist words = pytext_split(c->scratch, c->response);
    if (n < 1 || n > 64) {
        scratch_fail(c->scratch, ERR_INVALID, "n: %zu is not in 1..64", n);
    }
    if (words.n < n) {
        return 0;
    }
    size_t total = words.n - n + 1, mask = 1, repeats = 0;
    while (mask < 2 * total) {
        mask *= 2;
    }
    struct pyspan *seen = scratch_zeroed(c->scratch, mask * sizeof *seen);
    for (size_t i = 0; i < total; i++) {
        struct pyspan gram = pytext_join(c->scratch, (struct pylist){words.v + i, n}, blank);
        size_t at = slot_of(seen, mask - 1, gram);
        repeats += seen[at].cp != NULL;
        seen[at] = gram;
    }
    return (double)repeats / (double)total;
}

const struct check_row checks_shaping[] = {
    {.id = "shape:think_answer",
     .version = "1",
     .kind = CHECK_FUNCTION,
     .holds = think_answer,
     .doc = "the response is <think>…</think> and <answer>…</answer>, each once and not empty, and "
            "nothing else"},
    {.id = "shape:tags",
     .version = "1",
     .kind = CHECK_FUNCTION,
     .holds = tags,
     .args = {{"names", CHECK_ARG_STR_LIST, NULL}},
     .doc = "the response is <name>…</name> for each name in order, each once and not empty, and "
            "nothing else"},
    {.id = "shape:stopped",
     .version = "1",
     .kind = CHECK_FUNCTION,
     .holds = stopped,
     .doc = "the response ended by itself, not at the length limit"},
    {.id = "shape:words_over",
     .version = "1",
     .kind = CHECK_FUNCTION,
     .measure = words_over,
     .args = {{"free", CHECK_ARG_INT, NULL}, {"limit", CHECK_ARG_INT, NULL}},
     .doc =
         "0 up to `free` words, rising to 1 at `limit`: a length penalty with a negative weight"},
    {.id = "shape:characters_over",
     .version = "1",
     .kind = CHECK_FUNCTION,
     .measure = characters_over,
     .args = {{"free", CHECK_ARG_INT, NULL}, {"limit", CHECK_ARG_INT, NULL}},
     .doc = "the same in characters"},
    {.id = "shape:repetition",
     .version = "1",
     .kind = CHECK_FUNCTION,
     .measure = repetition,
     .args = {{"n", CHECK_ARG_INT, "4"}},
     .doc = "share of runs of n words that occurred before in the response"},
    {0},
};

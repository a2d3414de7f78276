// taskgen.c: templates and the division into training and held-out prompts.
//
// Arithmetic is graded by its kind: sum1, diff1, prod1 (one digit), sum2, diff2 (two digits),
// story1, story2 (one and two steps). Writing tasks name a topic and one constraint of the IFEval
// family, "two_constraints" names two that can be met together. "mixed" is two fifths arithmetic,
// three fifths writing, and leaves out what a small model starts at zero with, so that every kind
// can carry a signal from the first step.
#include "learner/taskgen.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/rng.h"

enum { HELD_OUT_ONE_IN = 8 };

#define PICK(r, list) ((list)[rng_below((r), (uint32_t)ARRAY_LEN(list))])

static int between(struct rng *r, int lo, int hi)
{
    return lo + (int)rng_below(r, (uint32_t)(hi - lo + 1));
}

static void answer(struct taskgen_row *out, const char *kind, int value)
{
    snprintf(out->kind, sizeof out->kind, "%s", kind);
    snprintf(out->dataset, sizeof out->dataset, "gsm8k");
    snprintf(out->ground_truth, sizeof out->ground_truth, "\"%d\"", value);
}

// ---- arithmetic ----

static const char *const ask_format[] = {
    "What is %d %s %d? Reply with only the number.",
    "Compute %d %s %d. Answer with just the number.",
    "%d %s %d = ? Give only the result.",
};

static void make_sum(struct rng *r, struct taskgen_row *out, const char *kind, int lo, int hi)
{
    int a = between(r, lo, hi), b = between(r, lo, hi);
    snprintf(out->prompt, sizeof out->prompt, PICK(r, ask_format), a, "+", b);
    answer(out, kind, a + b);
}

static void make_difference(struct rng *r, struct taskgen_row *out, const char *kind, int lo,
                            int hi)
{
    int a = between(r, lo, hi), b = between(r, lo, hi);
    int big = MAX(a, b), small = MIN(a, b);
    snprintf(out->prompt, sizeof out->prompt, PICK(r, ask_format), big, "-", small);
    answer(out, kind, big - small);
}

static void make_product(struct rng *r, struct taskgen_row *out)
{
    int a = between(r, 2, 9), b = between(r, 2, 9);
    snprintf(out->prompt, sizeof out->prompt, PICK(r, ask_format), a, "*", b);
    answer(out, "prod1", a * b);
}

static const char *const person[] = {"Mira", "Tom", "Aisha", "Leo", "Nina", "Omar", "Ruth", "Ivan"};
static const char *const thing[] = {"apples",  "books",    "shells", "coins",
                                    "pencils", "stickers", "cups",   "stamps"};

static void make_story1(struct rng *r, struct taskgen_row *out)
{
    const char *who = PICK(r, person), *what = PICK(r, thing);
    int a = between(r, 3, 9), b = between(r, 2, 9);
    switch (rng_below(r, 3)) {
    case 0:
        snprintf(out->prompt, sizeof out->prompt,
                 "%s has %d %s and finds %d more. How many %s does %s have now? Reply with only "
                 "the number.",
                 who, a, what, b, what, who);
        answer(out, "story1", a + b);
        break;
    case 1:
        snprintf(out->prompt, sizeof out->prompt,
                 "%s had %d %s and gave away %d. How many %s are left? Reply with only the number.",
                 who, a + b, what, b, what);
        answer(out, "story1", a);
        break;
    default:
        snprintf(out->prompt, sizeof out->prompt,
                 "%s fills %d boxes with %d %s each. How many %s is that in all? Reply with only "
                 "the number.",
                 who, a, b, what, what);
        answer(out, "story1", a * b);
        break;
    }
}

static void make_story2(struct rng *r, struct taskgen_row *out)
{
    const char *who = PICK(r, person), *what = PICK(r, thing);
    int boxes = between(r, 2, 6), each = between(r, 3, 9), gone = between(r, 1, 5);
    snprintf(out->prompt, sizeof out->prompt,
             "%s has %d boxes with %d %s in each and loses %d %s. How many %s remain? Reply with "
             "only the number.",
             who, boxes, each, what, gone, what, what);
    answer(out, "story2", boxes * each - gone);
}

static void make_math(struct rng *r, struct taskgen_row *out)
{
    switch (rng_below(r, 10)) {
    case 0:
    case 1:
        make_sum(r, out, "sum1", 1, 9);
        break;
    case 2:
    case 3:
        make_difference(r, out, "diff1", 1, 9);
        break;
    case 4:
    case 5:
        make_product(r, out);
        break;
    case 6:
        make_sum(r, out, "sum2", 10, 99);
        break;
    case 7:
        make_difference(r, out, "diff2", 10, 99);
        break;
    case 8:
        make_story1(r, out);
        break;
    default:
        make_story2(r, out);
        break;
    }
}

static void make_easy_math(struct rng *r, struct taskgen_row *out)
{
    switch (rng_below(r, 3)) {
    case 0:
        make_sum(r, out, "sum1", 1, 9);
        break;
    case 1:
        make_difference(r, out, "diff1", 1, 9);
        break;
    default:
        make_product(r, out);
        break;
    }
}

// ---- writing under constraints ----

static const char *const topic[] = {
    "the sea",      "a small dog", "winter",       "fresh bread",   "the moon",
    "a train ride", "green tea",   "a garden",     "an old clock",  "summer rain",
    "a library",    "the desert",  "a market",     "a lighthouse",  "honey bees",
    "a bicycle",    "the forest",  "a snowy hill", "a busy street", "a quiet lake",
    "a violin",     "ripe apples", "a kite",       "the stars",     "a fishing boat",
    "a kitchen",    "a mountain",  "wild horses",  "a bakery",      "a spring morning",
};
static const char *const keyword[] = {"silver",  "bright", "window", "river",  "gentle",
                                      "morning", "stone",  "music",  "orange", "quiet"};
static const char *const ending[] = {"That is all.", "The end.", "So it goes.", "Good night."};

// One constraint: how it is asked for, and the check that decides.
struct constraint {
    char kind[24];
    char ask[160];
    char id[48];
    char kwargs[96];
};

#define CONSTRAINT(out, k, i, kw, ...)                                                             \
    do {                                                                                           \
        snprintf((out)->kind, sizeof(out)->kind, "%s", k);                                         \
        snprintf((out)->id, sizeof(out)->id, "%s", i);                                             \
        snprintf((out)->kwargs, sizeof(out)->kwargs, "%s", kw);                                    \
        snprintf((out)->ask, sizeof(out)->ask, __VA_ARGS__);                                       \
    } while (0)

enum { N_CONSTRAINTS = 8 };

static void make_constraint(struct rng *r, uint32_t which, struct constraint *c)
{
    char kwargs[96] = "{}";
    int words;
    const char *w;
    switch (which) {
    case 0:
        CONSTRAINT(c, "no_comma", "punctuation:no_comma", kwargs, "Do not use any commas.");
        break;
    case 1:
        w = PICK(r, keyword);
        snprintf(kwargs, sizeof kwargs, "{\"keywords\": [\"%s\"]}", w);
        CONSTRAINT(c, "keyword", "keywords:existence", kwargs, "Include the word \"%s\".", w);
        break;
    case 2:
        words = between(r, 10, 14);
        snprintf(kwargs, sizeof kwargs, "{\"num_words\": %d, \"relation\": \"less than\"}", words);
        CONSTRAINT(c, "few_words", "length_constraints:number_words", kwargs,
                   "Use fewer than %d words.", words);
        break;
    case 3:
        CONSTRAINT(c, "title", "detectable_format:title", kwargs,
                   "Give it a title wrapped in double angular brackets, such as <<Joy>>.");
        break;
    case 4:
        CONSTRAINT(c, "postscript", "detectable_content:postscript",
                   "{\"postscript_marker\": \"P.S.\"}",
                   "At the end, add a postscript starting with P.S.");
        break;
    case 5:
        CONSTRAINT(c, "json", "detectable_format:json_format", kwargs,
                   "Answer with a JSON object with the key \"text\" and nothing else.");
        break;
    case 6:
        w = PICK(r, ending);
        snprintf(kwargs, sizeof kwargs, "{\"end_phrase\": \"%s\"}", w);
        CONSTRAINT(c, "ending", "startend:end_checker", kwargs,
                   "Finish with exactly this phrase: %s", w);
        break;
    default:
        CONSTRAINT(c, "quotation", "startend:quotation", kwargs,
                   "Wrap your whole answer in double quotation marks.");
        break;
    }
}

static const char *const write_format[] = {"Write one sentence about %s.",
                                           "Write a short note about %s.",
                                           "Say something about %s in a sentence."};

// Pairs that one short answer can meet: a subset of no_comma, keyword, few_words, title,
// postscript.
static void make_two(struct rng *r, struct taskgen_row *out)
{
    struct constraint a, b;
    uint32_t i = rng_below(r, 5), j = (i + 1 + rng_below(r, 4)) % 5;
    make_constraint(r, i, &a);
    make_constraint(r, j, &b);
    char lead[128];
    snprintf(lead, sizeof lead, PICK(r, write_format), PICK(r, topic));
    snprintf(out->kind, sizeof out->kind, "two_constraints");
    snprintf(out->dataset, sizeof out->dataset, "ifeval");
    snprintf(out->prompt, sizeof out->prompt, "%s %s %s", lead, a.ask, b.ask);
    snprintf(out->ground_truth, sizeof out->ground_truth,
             "{\"instruction_id\": [\"%s\", \"%s\"], \"kwargs\": [%s, %s]}", a.id, b.id, a.kwargs,
             b.kwargs);
}

static void make_one(struct rng *r, struct taskgen_row *out, uint32_t n_kinds)
{
    struct constraint c;
    make_constraint(r, rng_below(r, n_kinds), &c);
    char lead[128];
    snprintf(lead, sizeof lead, PICK(r, write_format), PICK(r, topic));
    snprintf(out->kind, sizeof out->kind, "%s", c.kind);
    snprintf(out->dataset, sizeof out->dataset, "ifeval");
    snprintf(out->prompt, sizeof out->prompt, "%s %s", lead, c.ask);
    snprintf(out->ground_truth, sizeof out->ground_truth,
             "{\"instruction_id\": [\"%s\"], \"kwargs\": [%s]}", c.id, c.kwargs);
}

// ---- rows ----

enum err taskgen_kind_parse(const char *text, enum taskgen_kind *out, struct why *why)
{
    static const char *const name[] = {"math", "constraints", "mixed"};
    for (size_t i = 0; i < ARRAY_LEN(name); i++) {
        if (strcmp(text, name[i]) == 0) {
            *out = (enum taskgen_kind)i;
            return ERR_OK;
        }
    }
    return why_set(why, ERR_INVALID, "task kind: %s is none of math, constraints, mixed", text);
}

static bool is_held_out(const char *prompt)
{
    return hash_bytes(prompt, strlen(prompt)).bytes[15] % HELD_OUT_ONE_IN == 0;
}

void taskgen_make(enum taskgen_kind kind, uint64_t seed, uint64_t index, bool held_out,
                  struct taskgen_row *out)
{
    struct rng r = rng_make(seed, index);
    do {
        if (kind == TASKGEN_MATH || (kind == TASKGEN_MIXED && rng_below(&r, 5) < 2)) {
            if (kind == TASKGEN_MATH) {
                make_math(&r, out);
            } else {
                make_easy_math(&r, out);
            }
        } else if (rng_below(&r, 8) == 0) {
            make_two(&r, out);
        } else {
            make_one(&r, out, kind == TASKGEN_MIXED ? N_CONSTRAINTS - 1 : N_CONSTRAINTS);
        }
    } while (is_held_out(out->prompt) != held_out);
}

enum err taskgen_print(const struct taskgen_row *row, struct buf *out)
{
    json_t *truth = json_loads(row->ground_truth, JSON_DECODE_ANY, NULL);
    CHECK(truth);    // our own templates
    json_t *line =
        json_pack("{s:[{s:s,s:s}],s:o,s:s,s:s}", "messages", "role", "user", "content", row->prompt,
                  "ground_truth", truth, "dataset", row->dataset, "kind", row->kind);
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    enum err e = text ? buf_printf(out, "%s\n", text) : ERR_NOMEM;
    free(text);
    json_decref(line);
    return e;
}

// splitter_test.c: the published splits written out, against the same patterns on PCRE2; the
// windows in which PCRE2 sees long text, against one look at all of it; and the time that a text
// can cost.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <pcre2.h>

#include "common/rng.h"
#include "model/charclass.h"
#include "model/pretokenize.h"
#include "model/splitter.h"

static struct pretokenizer *make(const char *pattern)
{
    struct spec_step step = {.kind = SPEC_REGEX};
    struct pretokenizer *p = NULL;
    struct why why = {""};
    memcpy(step.pattern, pattern, strlen(pattern) + 1);
    if (pretokenizer_create(&step, 1, &p, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return p;
}

struct ends {
    const uint8_t *text;
    size_t n, cap;
    size_t *at;
};

static enum err note_end(void *arg, const uint8_t *word, size_t len)
{
    struct ends *e = arg;
    assert_true(e->n < e->cap);
    e->at[e->n++] = (size_t)(word - e->text) + len;
    return ERR_OK;
}

static struct ends split(const struct pretokenizer *p, const uint8_t *text, size_t len)
{
    struct ends e = {.text = text, .cap = len, .at = calloc(len + 1, sizeof *e.at)};
    struct why why = {""};
    assert_non_null(e.at);
    if (pretokenizer_split(p, text, len, true, note_end, &e, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return e;
}

static void expect_same(const struct ends *a, const struct ends *b, const uint8_t *text, size_t len)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        same = a->at[i] == b->at[i];
    }
    if (!same) {
        fail_msg("split differently: \"%.*s\"", (int)len, (const char *)text);
    }
}

// Characters that the patterns tell apart, and their look-alikes.
static size_t put_random_char(struct rng *r, uint8_t *out)
{
    static const char *const chars[] = {" ",
                                        " ",
                                        "a",
                                        "s",
                                        "S",
                                        "t",
                                        "r",
                                        "e",
                                        "E",
                                        "l",
                                        "v",
                                        "m",
                                        "d",
                                        "'",
                                        "'",
                                        "'",
                                        "1",
                                        "2",
                                        "\n",
                                        "\r",
                                        "\t",
                                        "!",
                                        ".",
                                        "_",
                                        "/",
                                        "\xC5\xBF",
                                        "\xC3\xA9",
                                        "\xCC\x81",
                                        "\xC2\xA0",
                                        "\xC2\xBD",
                                        "\xC2\x85",
                                        "\xE2\x80\x83",
                                        "\xE2\x80\xA8",
                                        "\xE2\x80\x8B",
                                        "\xE3\x80\x80",
                                        "\xE4\xB8\x80",
                                        "\xE2\x85\xA3",
                                        "\xC7\x85",
                                        "\xD9\xA3",
                                        "\xF0\x9F\x91\x8D",
                                        "\xE1\xA0\x8E",
                                        "\xE2\x80\x99",
                                        "K",
                                        "\xE2\x84\xAA",
                                        "\x1c",
                                        "\x0b",
                                        "\xC2\xAA",
                                        "\xF0\x9D\x9F\x98"};
    const char *c = chars[rng_below(r, (uint32_t)ARRAY_LEN(chars))];
    memcpy(out, c, strlen(c));
    return strlen(c);
}

static void written_out_splits_are_the_regex(void **state)
{
    (void)state;
    static const char *const patterns[] = {SPEC_GPT2_PATTERN, SPEC_LLAMA3_PATTERN,
                                           SPEC_QWEN2_PATTERN};
    struct rng r = rng_make(11, 1);
    for (size_t k = 0; k < ARRAY_LEN(patterns); k++) {
        assert_non_null(splitter_find(patterns[k]));
        struct pretokenizer *p = make(patterns[k]);
        for (int round = 0; round < 20000; round++) {
            uint8_t text[160];
            size_t len = 0;
            for (uint32_t i = rng_below(&r, 30) + 1; i > 0; i--) {
                len += put_random_char(&r, text + len);
            }
            pretokenizer_use_regex(p, false);
            struct ends fast = split(p, text, len);
            pretokenizer_use_regex(p, true);
            struct ends regex = split(p, text, len);
            expect_same(&fast, &regex, text, len);
            free(fast.at);
            free(regex.at);
        }
        pretokenizer_destroy(p);
    }
}

static bool matches(pcre2_code *code, const uint8_t *text, size_t len)
{
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    int rc = pcre2_match(code, text, len, 0, 0, m, NULL);
    pcre2_match_data_free(m);
    return rc > 0;
}

static size_t put_utf8(uint32_t cp, uint8_t *out)
{
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, cp >>= 6) {
        out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    }
    out[0] = (uint8_t)(lead[n] | cp);
    return n;
}

// Two libraries know Unicode here, and may be of different versions: a character that one of them
// does not know yet may differ, one that both know may not.
static void both_libraries_classify_characters_alike(void **state)
{
    (void)state;
    static const char *const classes[] = {"^(?:\\p{L}|\\p{Cn})$", "^(?:\\p{N}|\\p{Cn})$", "^\\p{L}",
                                          "^\\p{N}"};
    pcre2_code *code[4];
    int error, n_letters = 0;
    PCRE2_SIZE offset;
    for (size_t i = 0; i < 4; i++) {
        code[i] = pcre2_compile((PCRE2_SPTR)classes[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error,
                                &offset, NULL);
        assert_non_null(code[i]);
    }
    for (uint32_t cp = 1; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) {
            continue;
        }
        uint8_t text[4];
        size_t len, n = put_utf8(cp, text);
        enum charclass c = charclass_at(text, n, &len);
        assert_int_equal(len, n);
        n_letters += c == CHAR_LETTER;
        bool letter = c == CHAR_LETTER, number = c == CHAR_NUMBER;
        if ((letter && !matches(code[0], text, n)) || (number && !matches(code[1], text, n))) {
            fail_msg("U+%04X", (unsigned)cp);
        }
        if (c == CHAR_OTHER && (matches(code[2], text, n) || matches(code[3], text, n))) {
            fail_msg("U+%04X", (unsigned)cp);
        }
    }
    assert_true(n_letters > 130000);
    for (size_t i = 0; i < 4; i++) {
        pcre2_code_free(code[i]);
    }
}

// ---- windows ----

// One look at the whole text for each match: what the windows must come to.
static struct ends split_plainly(const char *pattern, const uint8_t *text, size_t len)
{
    int error;
    PCRE2_SIZE offset;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP, &error, &offset, NULL);
    assert_non_null(code);
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    struct ends e = {.text = text, .cap = len, .at = calloc(len + 1, sizeof *e.at)};
    assert_non_null(e.at);
    for (size_t from = 0; from < len;) {
        if (pcre2_match(code, text, len, from, PCRE2_NOTEMPTY, m, NULL) < 0) {
            e.at[e.n++] = len;
            break;
        }
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m);
        if (at[0] > from) {
            e.at[e.n++] = at[0];
        }
        e.at[e.n++] = from = at[1];
    }
    pcre2_match_data_free(m);
    pcre2_code_free(code);
    return e;
}

static void windows_do_not_change_the_split(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a+(?!b)|b+",      "(?<=a)b+|1",  "[0-9]{3}",
                                           "a+$|\\bb+",       "(?:ab)+1?|a", "[^1]+1|b",
                                           SPEC_O200K_PATTERN};
    struct rng r = rng_make(12, 1);
    enum { MAX = 6000 };
    uint8_t *text = malloc(MAX);
    assert_non_null(text);
    for (int round = 0; round < 300; round++) {
        const char *pattern = patterns[(size_t)round % ARRAY_LEN(patterns)];
        struct pretokenizer *p = make(pattern);
        size_t len = 0;
        while (len < MAX - 2200) {    // runs, some longer than the first window
            const char *unit =
                (const char *[]){"a", "b", "ab", "1", " ", "\xC3\xA9", "A"}[rng_below(&r, 7)];
            for (uint32_t n = rng_below(&r, rng_below(&r, 4) == 0 ? 1000 : 8); n > 0; n--) {
                memcpy(text + len, unit, strlen(unit));
                len += strlen(unit);
            }
        }
        text[len++] = '1';    // without it [^1]+1 would be quadratic, which is refused
        struct ends windows = split(p, text, len), plain = split_plainly(pattern, text, len);
        expect_same(&windows, &plain, text, len);
        free(windows.at);
        free(plain.at);
        pretokenizer_destroy(p);
    }
    free(text);
}

// ---- time ----

static enum err count_words(void *arg, const uint8_t *word, size_t len)
{
    (void)word;
    *(size_t *)arg += len;
    return ERR_OK;
}

static double cpu_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// A megabyte of one thing after another, by every way to split. A quadratic one would take minutes:
// ten seconds of processor time are far from what any machine needs, sanitizers included.
static void no_text_takes_quadratic_time(void **state)
{
    (void)state;
    static const char *const patterns[] = {SPEC_GPT2_PATTERN, SPEC_LLAMA3_PATTERN,
                                           SPEC_QWEN2_PATTERN, SPEC_O200K_PATTERN};
    static const char *const units[] = {" ",   "1",  "a",   "A",        "\n",
                                        " \n", "'",  "!",   "\xCC\x81", "\xE4\xB8\x80",
                                        "Aa",  " a", "\t ", "'S"};
    enum { N = 1000000 };
    uint8_t *text = malloc(N + 8);
    assert_non_null(text);
    for (size_t k = 0; k < ARRAY_LEN(patterns) * 2; k++) {
        struct pretokenizer *p = make(patterns[k / 2]);
        pretokenizer_use_regex(p, k % 2 == 1);
        for (size_t u = 0; u < ARRAY_LEN(units); u++) {
            size_t len = 0, covered = 0, unit = strlen(units[u]);
            struct why why = {""};
            for (; len + unit <= N; len += unit) {
                memcpy(text + len, units[u], unit);
            }
            text[len++] = '.';
            double start = cpu_seconds();
            if (pretokenizer_split(p, text, len, true, count_words, &covered, &why) != ERR_OK) {
                fail_msg("%s on %s: %s", patterns[k / 2], units[u], why.text);
            }
            assert_int_equal(covered, len);
            if (cpu_seconds() - start > 10) {
                fail_msg("%s on %s: %.1f s", patterns[k / 2], units[u], cpu_seconds() - start);
            }
        }
        pretokenizer_destroy(p);
    }
    free(text);
}

// A regex that reads to the end for every character is stopped, not waited for.
static void a_quadratic_pattern_gives_up(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a+b|a", "a+a+b|a", "(?:a|aa)+$"};
    enum { N = 1000000 };
    uint8_t *text = malloc(N);
    assert_non_null(text);
    memset(text, 'a', N);
    text[N - 1] = 'c';
    for (size_t k = 0; k < ARRAY_LEN(patterns); k++) {
        struct pretokenizer *p = make(patterns[k]);
        size_t covered = 0;
        struct why why = {""};
        double start = cpu_seconds();
        assert_int_equal(pretokenizer_split(p, text, N, true, count_words, &covered, &why),
                         ERR_LIMIT);
        assert_non_null(strstr(why.text, "split pattern"));
        assert_true(cpu_seconds() - start < 30);
        pretokenizer_destroy(p);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_out_splits_are_the_regex),
        cmocka_unit_test(both_libraries_classify_characters_alike),
        cmocka_unit_test(windows_do_not_change_the_split),
        cmocka_unit_test(no_text_takes_quadratic_time),
        cmocka_unit_test(a_quadratic_pattern_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

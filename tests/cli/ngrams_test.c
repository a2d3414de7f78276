// ngrams_test.c: the index finds every covered row and counts covered words exactly.
//
// A row that is missed stays in training and spoils the evaluation; a share that is counted too high
// throws good rows away. So small cases are worked out by hand, and random ones by a plain count.
#include "tests/common/check.h"

#include "cli/ngrams.h"
#include "common/rng.h"

struct hits {
    size_t n, row[64];
    double share[64];
};

static enum err on_hit(void *arg, size_t row, double share)
{
    struct hits *h = arg;
    assert_true(h->n < ARRAY_LEN(h->row));
    h->row[h->n] = row;
    h->share[h->n++] = share;
    return ERR_OK;
}

// Texts of one row are separated by '|'.
static void words(struct wordhash *w, const char *texts)
{
    wordhash_clear(w);
    for (const char *end = texts; *texts; texts = *end ? end + 1 : end) {
        end = strchrnul(texts, '|');
        assert_int_equal(wordhash_add(w, texts, (size_t)(end - texts)), ERR_OK);
    }
}

static struct ngrams *index_of(size_t n, double threshold, const char *const *rows, size_t n_rows)
{
    struct ngrams *x = NULL;
    struct wordhash w = {0};
    assert_int_equal(ngrams_create(n, threshold, &x), ERR_OK);
    for (size_t i = 0; i < n_rows; i++) {
        words(&w, rows[i]);
        assert_int_equal(ngrams_add(x, &w), ERR_OK);
    }
    assert_int_equal(ngrams_seal(x), ERR_OK);
    wordhash_fini(&w);
    return x;
}

static struct hits match(struct ngrams *x, const char *text)
{
    struct hits h = {0};
    struct wordhash w = {0};
    words(&w, text);
    assert_int_equal(ngrams_match(x, &w, on_hit, &h), ERR_OK);
    wordhash_fini(&w);
    return h;
}

static void overlapping_grams_cover_a_word_once(void **state)
{
    (void)state;
    static const char *const rows[] = {"a b c d e f g h"};
    struct ngrams *x = index_of(3, 0.5, rows, 1);
    struct hits h = match(x, "z a b c d e z");    // abc bcd cde: five of eight
    assert_int_equal(h.n, 1);
    assert_true(h.share[0] == 5.0 / 8);
    assert_int_equal(match(x, "a b c z d e f").n, 1);    // 6 of 8, in two pieces
    ngrams_destroy(x);
}

// "More than": half of the words is not enough.
static void the_threshold_itself_is_not_above_it(void **state)
{
    (void)state;
    static const char *const rows[] = {"a b c d e f g h"};
    struct ngrams *x = index_of(2, 0.5, rows, 1);
    assert_int_equal(match(x, "a b c d").n, 0);
    assert_int_equal(match(x, "a b c d e").n, 1);
    ngrams_destroy(x);
}

static void pieces_from_two_texts_do_not_add_up_but_are_told(void **state)
{
    (void)state;
    static const char *const rows[] = {"a b c d e f g h"};
    struct ngrams *x = index_of(3, 0.5, rows, 1);
    assert_true(ngrams_share(x, 0) == 0);
    assert_int_equal(match(x, "a b c d").n, 0);
    assert_int_equal(match(x, "f g h").n, 0);
    assert_true(ngrams_share(x, 0) == 7.0 / 8);
    ngrams_destroy(x);
}

static void no_gram_runs_from_one_text_into_the_next(void **state)
{
    (void)state;
    static const char *const rows[] = {"a b c|d e f"};
    struct ngrams *x = index_of(3, 0, rows, 1);
    assert_int_equal(match(x, "b c d e").n, 0);
    assert_int_equal(match(x, "z a b|c d e|f").n, 0);
    struct hits h = match(x, "d e f g");
    assert_int_equal(h.n, 1);
    assert_true(h.share[0] == 0.5);
    ngrams_destroy(x);
}

// "Hello" as an eval row must not condemn every row that greets.
static void a_text_shorter_than_n_is_met_only_as_a_whole(void **state)
{
    (void)state;
    static const char *const rows[] = {"say hello", "", "hello"};
    struct ngrams *x = index_of(4, 0.5, rows, 3);
    assert_int_equal(match(x, "say hello to them all").n, 0);
    assert_int_equal(match(x, "say").n, 0);
    assert_int_equal(match(x, "").n, 0);
    struct hits h = match(x, "something else|Say: hello!");
    assert_int_equal(h.n, 1);
    assert_int_equal(h.row[0], 0);
    assert_true(ngrams_share(x, 1) == 0);
    ngrams_destroy(x);
}

static void an_empty_index_is_never_hit(void **state)
{
    (void)state;
    struct ngrams *x = index_of(8, 0, NULL, 0);
    assert_int_equal(match(x, "a b c d e f g h i j").n, 0);
    assert_int_equal(ngrams_rows(x), 0);
    ngrams_destroy(x);
}

static enum err refuse(void *arg, size_t row, double share)
{
    (void)row;
    (void)share;
    ++*(int *)arg;
    return ERR_FULL;
}

static void the_first_error_of_the_caller_ends_a_match(void **state)
{
    (void)state;
    static const char *const rows[] = {"a b", "a b"};
    struct ngrams *x = index_of(2, 0.5, rows, 2);
    struct wordhash w = {0};
    int calls = 0;
    words(&w, "a b");
    assert_int_equal(ngrams_match(x, &w, refuse, &calls), ERR_FULL);
    assert_int_equal(calls, 1);
    wordhash_fini(&w);
    ngrams_destroy(x);
}

// ---- against a plain count ----

enum { N_ROWS = 40, WORDS_MAX = 24 };

struct text {
    char word[WORDS_MAX];
    size_t n;
};

static struct text draw(struct rng *r)
{
    struct text t = {.n = rng_below(r, WORDS_MAX + 1)};
    for (size_t i = 0; i < t.n; i++) {
        t.word[i] = (char)('a' + rng_below(r, 3));
    }
    if (t.n > 8 && rng_below(r, 2)) {
        memcpy(t.word, "abcabcab", 8);    // a phrase that stands in many rows
    }
    return t;
}

static void spell(const struct text *t, char *out)
{
    for (size_t i = 0; i < t->n; i++) {
        *out++ = t->word[i];
        *out++ = ' ';
    }
    *out = '\0';
}

static bool occurs(const struct text *t, const char *gram, size_t n)
{
    for (size_t i = 0; i + n <= t->n; i++) {
        if (memcmp(t->word + i, gram, n) == 0) {
            return true;
        }
    }
    return false;
}

static size_t covered_by(const struct text *row, const struct text *t, size_t n)
{
    bool covered[WORDS_MAX] = {false};
    size_t sum = 0;
    if (row->n < n) {
        return row->n == t->n && memcmp(row->word, t->word, t->n) == 0 ? row->n : 0;
    }
    for (size_t i = 0; i + n <= row->n; i++) {
        for (size_t k = i; k < i + n && occurs(t, row->word + i, n); k++) {
            covered[k] = true;
        }
    }
    for (size_t i = 0; i < row->n; i++) {
        sum += covered[i];
    }
    return sum;
}

static size_t compare_with_count(struct rng *r, size_t n, double threshold)
{
    struct text rows[N_ROWS];
    static char spelt[N_ROWS][2 * WORDS_MAX + 1];
    const char *texts[N_ROWS];
    for (size_t i = 0; i < N_ROWS; i++) {
        rows[i] = draw(r);
        spell(&rows[i], spelt[i]);
        texts[i] = spelt[i];
    }
    struct ngrams *x = index_of(n, threshold, texts, N_ROWS);
    size_t n_hits = 0;
    for (int k = 0; k < 50; k++) {
        struct text t = draw(r);
        char line[2 * WORDS_MAX + 1];
        spell(&t, line);
        struct hits h = match(x, line);
        size_t found = 0;
        for (size_t i = 0; i < N_ROWS; i++) {
            size_t covered = covered_by(&rows[i], &t, n);
            bool expected = (double)covered > threshold * (double)rows[i].n, hit = false;
            for (size_t j = 0; j < h.n; j++) {
                bool here = h.row[j] == i;
                hit = hit || here;
                assert_true(!here || h.share[j] == (double)covered / (double)rows[i].n);
            }
            assert_int_equal(hit, expected);
            found += expected;
        }
        assert_int_equal(found, h.n);
        n_hits += h.n;
    }
    ngrams_destroy(x);
    return n_hits;
}

static void every_hit_is_found_and_no_other(void **state)
{
    (void)state;
    static const double thresholds[] = {0, 0.3, 0.5, 0.8, 1};
    struct rng r = rng_make(7, 1);
    size_t n_hits = 0;
    for (size_t n = 1; n <= 8; n++) {
        for (size_t i = 0; i < ARRAY_LEN(thresholds); i++) {
            n_hits += compare_with_count(&r, n, thresholds[i]);
        }
    }
    assert_true(n_hits > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlapping_grams_cover_a_word_once),
        cmocka_unit_test(the_threshold_itself_is_not_above_it),
        cmocka_unit_test(pieces_from_two_texts_do_not_add_up_but_are_told),
        cmocka_unit_test(no_gram_runs_from_one_text_into_the_next),
        cmocka_unit_test(a_text_shorter_than_n_is_met_only_as_a_whole),
        cmocka_unit_test(an_empty_index_is_never_hit),
        cmocka_unit_test(the_first_error_of_the_caller_ends_a_match),
        cmocka_unit_test(every_hit_is_found_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// text_test.c: sentences, word tokens, syllables, first verbs and emoji, where a plain cut would
// decide otherwise.
#include "tests/verifier/support.h"

#include <stdlib.h>

#include "verifier/text/emoji.h"
#include "verifier/text/sentences.h"
#include "verifier/text/syllables.h"
#include "verifier/text/treebank.h"
#include "verifier/text/verbs.h"

static struct scratch scratch;

static int start(void **state)
{
    (void)state;
    scratch_init(&scratch, 512u << 20);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    scratch_fini(&scratch);
    return 0;
}

static struct pyspan text(const char *s)
{
    return pytext_literal(&scratch, s);
}

// The pieces with a bar between them.
static const char *joined(struct pylist list)
{
    return pytext_encode(&scratch, pytext_join(&scratch, list, text("|")), NULL);
}

static void dots_of_abbreviations_do_not_end_sentences(void **state)
{
    (void)state;
    static const char *const t[][2] = {
        {"He met Dr. Brown. She left.", "He met Dr. Brown.|She left."},
        {"It opens at 9 a.m. on Sunday. Come!", "It opens at 9 a.m. on Sunday.|Come!"},
        {"Mrs. J. Smith paid $3.50 to Acme Inc. for it.",
         "Mrs. J. Smith paid $3.50 to Acme Inc. for it."},
        {"He moved to the U.S. Then he wrote.", "He moved to the U.S.|Then he wrote."},
        {"Wait... there is more. Look", "Wait... there is more.|Look"},
        {"\"Stop!\" he said. (It did.) Then it ran.", "\"Stop!\"|he said.|(It did.)|Then it ran."},
        {"One line\n\nAnother line", "One line\n\nAnother line"},
        {"Yes?! No.", "Yes?!|No."},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        assert_string_equal(joined(sentences_punkt(&scratch, text(t[i][0]))), t[i][1]);
    }
}

static void the_splitter_by_rules_goes_by_its_rules(void **state)
{
    (void)state;
    static const char *const t[][2] = {
        {"See Mr. Low at site.com for 2.5 hours. Go!",
         "See Mr. Low at site.com for 2.5 hours.|Go!"},
        {"He works at Low Inc. He likes it.", "He works at Low Inc|He likes it."},
        {"In the U.S. He stayed.", "In the U.S.|He stayed."},
        {"Well... yes", "Well...|yes"},
        {"She said \"go.\" Then left", "She said \"go\".|Then left"},
        {"Hm!! A Ph.D. thesis", "Hm!|!|A Ph.D. thesis"},
        {"a <stop> b<prd>", "a|b."},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        const char *got = joined(sentences_rules(&scratch, text(t[i][0])));
        if (strcmp(got, t[i][1]) != 0) {
            print_message("\"%s\" gave \"%s\"\n", t[i][0], got);
        }
        assert_string_equal(got, t[i][1]);
    }
}

static void tokens_part_clitics_marks_and_the_last_dot(void **state)
{
    (void)state;
    static const char *const t[][2] = {
        {"I can't, it's his.", "I|ca|n't|,|it|'s|his|."},
        {"He cannot; they're gonna.", "He|can|not|;|they|'re|gon|na|."},
        {"\"Go,\" she said (twice).", "``|Go|,|''|she|said|(|twice|)|."},
        {"At 10:30 it cost $1,000 -- 5%!", "At|10:30|it|cost|$|1,000|--|5|%|!"},
        {"etc. and so on...", "etc|.|and|so|on|..."},
        {"the dogs' home is state-of-the-art", "the|dogs|'|home|is|state-of-the-art"},
        {"'tis 'a' b", "'t|is|'|a|'|b"},
        {"a,,b", "a|,|,b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        const char *got = joined(treebank_tokens(&scratch, text(t[i][0])));
        if (strcmp(got, t[i][1]) != 0) {
            print_message("\"%s\" gave \"%s\"\n", t[i][0], got);
        }
        assert_string_equal(got, t[i][1]);
    }
}

static void syllables_are_counted_as_they_are_spoken(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int n;
    } t[] = {{"cat", 1},    {"table", 2}, {"walked", 1}, {"wanted", 2}, {"makes", 1}, {"boxes", 2},
             {"nation", 2}, {"radio", 3}, {"prism", 2},  {"r2d2", 0},   {"hmm", 1},   {"idea", 3}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        assert_int_equal(syllables_count(&scratch, text(t[i].word)), t[i].n);
    }
}

static void imperatives_and_participles_begin_with_a_verb(void **state)
{
    (void)state;
    static const char *const yes[] = {"Give me the book.", "Running late again", "Is it so?",
                                      "Don't go.", "Inspired by rain"};
    static const char *const no[] = {"The end.", "Water is wet.",    "Nothing works.", "\"Go\"",
                                     "",         "Morning has come."};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(verbs_starts_with_verb(&scratch, text(yes[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(verbs_starts_with_verb(&scratch, text(no[i])));
    }
}

static void emoji_are_single_code_points(void **state)
{
    (void)state;
    assert_true(emoji_is_single(0x1F600) && emoji_is_single(0x2122) && emoji_is_single(0x1F3FD));
    assert_false(emoji_is_single('7') || emoji_is_single(0x1F1E9) || emoji_is_single(0x200D));
}

// A model can write a million dots; none of this may take more than linear time.
static void hostile_runs_take_linear_time(void **state)
{
    (void)state;
    static const char *const pieces[] = {".", "\"", "! ", "a. ", ". ", "''", "(", "Mr.", "-"};
    char *big = malloc(1 << 20);
    assert_non_null(big);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        size_t len = strlen(pieces[i]), n = 0;
        for (; n + len < 1 << 20; n += len) {
            memcpy(big + n, pieces[i], len);
        }
        struct pyspan s = pytext_decode(&scratch, big, n);
        assert_true(sentences_punkt(&scratch, s).n > 0);
        assert_true(sentences_rules(&scratch, s).n > 0);
        assert_true(treebank_tokens(&scratch, s).n > 0);
        scratch_reset(&scratch);
    }
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_of_abbreviations_do_not_end_sentences),
        cmocka_unit_test(the_splitter_by_rules_goes_by_its_rules),
        cmocka_unit_test(tokens_part_clitics_marks_and_the_last_dot),
        cmocka_unit_test(syllables_are_counted_as_they_are_spoken),
        cmocka_unit_test(imperatives_and_participles_begin_with_a_verb),
        cmocka_unit_test(emoji_are_single_code_points),
        cmocka_unit_test(hostile_runs_take_linear_time),
    };
    return cmocka_run_group_tests(tests, start, finish);
}

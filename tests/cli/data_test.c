// data_test.c: `caravan data` as a user runs it: the program beside this test, files in a scratch
// folder, what it prints, how it ends, and what it leaves on disk.
//
// Both commands stand between a file that somebody found and a run of days, so they must name each
// bad line, never stop at one, and never leave half a file.
#include "tests/common/check.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base.h"

static char folder[512];    // of the programs

static int find_programs(void **state)
{
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (n <= 0) {
        return -1;
    }
    folder[n] = '\0';
    *strrchr(folder, '/') = '\0';
    return scratch_enter(state);
}

static void write_text(const char *path, const char *text)
{
    struct why why;
    assert_int_equal(fs_write_file(path, text, strlen(text), &why), ERR_OK);
}

static char *read_text(const char *path)
{
    struct why why;
    char *text;
    size_t len;
    if (fs_read_file(path, 1 << 20, &text, &len, &why)) {
        fail_msg("%s", why.text);
    }
    return text;
}

// Its exit status; what it printed on both streams is in `printed`.
static int caravan(const char *words)
{
    char line[1024];
    snprintf(line, sizeof line, "'%s/caravan' %s > printed 2>&1", folder, words);
    int status = system(line);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(int status, const char *words, const char *printed)
{
    int got = caravan(words);
    char *text = read_text("printed");
    if (got != status || strcmp(text, printed) != 0) {
        fail_msg("caravan %s: status %d\n%s\nexpected %d\n%s", words, got, text, status, printed);
    }
    free(text);
}

static void expect_part(int status, const char *words, const char *part)
{
    int got = caravan(words);
    char *text = read_text("printed");
    if (got != status || !strstr(text, part)) {
        fail_msg("caravan %s: status %d\n%s\nexpected %d and\n%s", words, got, text, status, part);
    }
    free(text);
}

static void expect_file(const char *path, const char *content)
{
    char *text = read_text(path);
    assert_string_equal(text, content);
    free(text);
}

// ---- check ----

#define ASK "{\"messages\":[{\"role\":\"user\",\"content\":\"How much is 6 times 7?\"}],"

static void rows_in_order_are_counted(void **state)
{
    (void)state;
    write_text("rows.jsonl",
               ASK "\"dataset\":\"gsm8k\",\"ground_truth\":\"42\"}\n\n" ASK
                   "\"dataset\":\"gsm8k\",\"ground_truth\":\"42\",\"reference_answer\":\"It is "
                   "42.\"}\n" ASK "\"dataset\":\"ifeval\",\"ground_truth\":{\"instruction_id\":["
                   "\"punctuation:no_comma\"],\"kwargs\":[null]},\"reference_answer\":null}");
    expect(0, "data check rows.jsonl",
           "rows.jsonl: 3 rows, 0 problems; 1 reference answers, 1 pass\n");
}

// Each kind of mistake, between rows that are in order; all are named, in the order of the file.
static void every_problem_is_named_by_line_and_field(void **state)
{
    (void)state;
    write_text("rows.jsonl",
               ASK "\"dataset\":\"gsm9k\",\"ground_truth\":\"42\"}\n" ASK
                   "\"dataset\":\"gsm8k\",\"ground_truth\":\"42\",\"reference_answer\":\"41\"}\n"
                   "no row\n" ASK "\"dataset\":\"gsm8k\",\"ground_truth\":\"42\"}\n"
                   "{\"messages\":[],\"dataset\":\"gsm8k\",\"ground_truth\":\"42\"}\n" ASK
                   "\"checks\":[{\"id\":\"length_constraints:number_words\",\"kwargs\":{"
                   "\"num_words\":\"five\",\"relation\":\"at least\"}}]}\n" ASK
                   "\"dataset\":\"gsm8k\",\"ground_truth\":\"42\",\"reference_answer\":42}\n" ASK
                   "\"dataset\":\"math\",\"ground_truth\":\"\\\\frac{1\"}\n" ASK
                   "\"dataset\":\"gsm9k\",\"ground_truth\":\"42\"}\n");
    expect(1, "data check rows.jsonl",
           "rows.jsonl:1: verifier: unknown check \"gsm9k\"\n"
           "rows.jsonl:2: reference_answer: reward 0 (gsm8k 0)\n"
           "rows.jsonl:3: not valid JSON: line 1 column 2: invalid token near 'no'\n"
           "rows.jsonl:5: messages: expected a list of 1..256 messages\n"
           "rows.jsonl:6: verifier: checks[0]: length_constraints:number_words: num_words: a "
           "string, expected an integer\n"
           "rows.jsonl:7: reference_answer: expected a string\n"
           "rows.jsonl:8: verifier: math: the ground truth is no mathematics that is understood "
           "here\n"
           "rows.jsonl:9: verifier: unknown check \"gsm9k\"\n"
           "rows.jsonl: 9 rows, 8 problems; 1 reference answers, 0 pass\n"
           "by cause\n"
           "       2  verifier: unknown check \"gsm9k\"\n"
           "       1  reference_answer: reward 0 (gsm8k 0)\n"
           "       1  not valid JSON: line 1 column 2: invalid token near 'no'\n"
           "       1  messages: expected a list of 1..256 messages\n"
           "       1  verifier: checks[0]: length_constraints:number_words: num_words: a string, "
           "expected an integer\n"
           "       1  reference_answer: expected a string\n"
           "       1  verifier: math: the ground truth is no mathematics that is understood here\n"
           "by check\n"
           "       2  gsm9k\n"
           "       1  gsm8k\n"
           "       1  length_constraints:number_words\n"
           "       1  math\n");
}

// Far more rows than are under way at a time: none may be lost or change places.
static void many_rows_keep_their_order(void **state)
{
    (void)state;
    FILE *f = fopen("many.jsonl", "w");
    assert_non_null(f);
    for (int i = 1; i <= 1000; i++) {
        fprintf(f,
                ASK "\"dataset\":\"gsm8k\",\"ground_truth\":\"%d\",\"reference_answer\":\"%d\"}\n",
                i, i % 100 ? i : i + 1);
    }
    assert_int_equal(fclose(f), 0);
    assert_int_equal(caravan("data check many.jsonl"), 1);
    char *text = read_text("printed"), *at = text;
    for (int i = 100; i <= 1000; i += 100) {
        char line[80];
        snprintf(line, sizeof line, "many.jsonl:%d: reference_answer: reward 0 (gsm8k 0)\n", i);
        assert_memory_equal(at, line, strlen(line));
        at += strlen(line);
    }
    assert_contains(at, "1000 rows, 10 problems; 1000 reference answers, 990 pass");
    free(text);
}

static void write_bytes(const char *path, const char *head, size_t filler, const char *tail,
                        size_t tail_len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(head, f);
    for (size_t i = 0; i < filler; i++) {
        fputc('x', f);
    }
    assert_int_equal(fwrite(tail, 1, tail_len, f), tail_len);
    assert_int_equal(fclose(f), 0);
}

static void hostile_lines_cost_themselves(void **state)
{
    (void)state;
    static const char tail[] =
        "\"}\na\0b\n[[[[[\n\xff\n" ASK "\"dataset\":\"gsm8k\",\"ground_truth\":\"42\"}\n";
    write_bytes("rows.jsonl", "{\"text\":\"", 17 << 20, tail, sizeof tail - 1);
    assert_int_equal(caravan("data check rows.jsonl"), 1);
    char *text = read_text("printed");
    assert_contains(text, "rows.jsonl:1: a line of more than 16777216 bytes\n");
    assert_contains(text, "rows.jsonl:2: not valid JSON");
    assert_contains(text, "rows.jsonl:3: not valid JSON");
    assert_contains(text, "rows.jsonl:4: not valid JSON");
    assert_contains(text, "5 rows, 4 problems");
    free(text);
}

static void a_file_that_is_no_file_of_rows_is_refused(void **state)
{
    (void)state;
    write_text("empty.jsonl", "\n");
    expect(1, "data check empty.jsonl", "caravan data check: empty.jsonl: no rows\n");
    expect_part(1, "data check absent.jsonl", "absent.jsonl: cannot open: No such file");
    expect_part(1, "data check .", ".: cannot read: Is a directory");
}

static void wrong_words_are_usage_errors(void **state)
{
    (void)state;
    expect_part(2, "data", "too few words");
    expect_part(2, "data wash rows.jsonl", "'wash', expected check or decontaminate");
    expect_part(2, "data check", "too few words; usage: caravan data check FILE");
    expect_part(2, "data check --sandbox thick rows.jsonl", "expected auto, full");
    expect_part(2, "data decontaminate rows.jsonl", "--eval: missing");
    expect_part(2, "data decontaminate --n 0 --eval a rows.jsonl", "--n: '0'");
    expect_part(0, "data decontaminate --help", "--threshold X");
}

// ---- decontaminate ----

#define QUESTION                                                                                   \
    "Nina paints nine small boats and sells four of them at the harbour. How many are left?"
#define COPY                                                                                       \
    "nina paints NINE small boats, and sells four of them at the harbour; how many are left"

static void write_pair(void)
{
    write_text("eval.jsonl", "{\"question\":\"" QUESTION "\"}\n"
                             "{\"messages\":[{\"role\":\"user\",\"content\":\"Name three "
                             "rivers.\"},{\"role\":\"assistant\",\"content\":\"The Elbe, the Oder "
                             "and the river Rhine that flows through Basel.\"}]}\n");
    write_text("train.jsonl",
               "{\"text\":\"Nothing in here has to do with any of that, or so it seems.\"}\n"
               "\n"
               "{\"prompt\":\"First: " COPY "\", \"kept\" : false}\n"
               "{\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a riddle.\"},{\"role\":"
               "\"assistant\",\"content\":\"" COPY "\"}]}\n"
               "{\"question\":\"The Elbe, the Oder and the river Rhine that flows through "
               "Basel.\"}\n"
               "{\"text\":\"Sells four of them at the harbour. How?\",  \"x\":[1, 2]}\n"
               "{\"question\":\"NAME three rivers\"}\n");
}

static void covered_rows_leave_and_the_others_stay_byte_by_byte(void **state)
{
    (void)state;
    write_pair();
    expect(
        0,
        "data decontaminate --eval eval.jsonl --out clean.jsonl --report report.jsonl train.jsonl",
        "eval.jsonl: 2 rows, 2 contaminated (100.00 %); 2 covered by all training rows together; "
        "1 shorter than 8 words, 0 without words\n"
        "training rows: 6, 3 contaminate, 0 unusable, 3 clean\n");
    expect_file("clean.jsonl",
                "{\"text\":\"Nothing in here has to do with any of that, or so it seems.\"}\n"
                "{\"question\":\"The Elbe, the Oder and the river Rhine that flows through "
                "Basel.\"}\n"
                "{\"text\":\"Sells four of them at the harbour. How?\",  \"x\":[1, 2]}\n");
    expect_file("report.jsonl",
                "{\"eval\":\"eval.jsonl\",\"line\":1,\"words\":17,\"contaminated\":true,\"share\":"
                "1.0,\"share_all\":1.0,\"train_rows\":2,\"train\":[{\"line\":3,\"share\":1.0},{"
                "\"line\":4,\"share\":1.0}]}\n"
                "{\"eval\":\"eval.jsonl\",\"line\":2,\"words\":3,\"contaminated\":true,\"share\":"
                "1.0,\"share_all\":1.0,\"train_rows\":1,\"train\":[{\"line\":7,\"share\":1.0}]}\n");
}

// Without --out the command is a check, for scripts that must stop.
static void what_is_found_and_not_removed_is_a_failure(void **state)
{
    (void)state;
    write_pair();
    expect_part(1, "data decontaminate --eval eval.jsonl train.jsonl", "2 contaminated");
    write_text("other.jsonl", "{\"text\":\"Nobody trains on this sentence of ten words, we "
                              "hope.\"}\n");
    expect_part(0, "data decontaminate --eval other.jsonl train.jsonl", "0 contaminated (0.00 %)");
}

static void n_and_threshold_decide(void **state)
{
    (void)state;
    write_text("eval.jsonl", "{\"text\":\"one two three four five six seven eight nine ten\"}\n");
    write_text("train.jsonl", "{\"text\":\"one two three four five six, and no more\"}\n");
    expect_part(0, "data decontaminate --eval eval.jsonl train.jsonl", "0 contaminate,");
    expect_part(1, "data decontaminate --n 6 --eval eval.jsonl train.jsonl", "1 contaminate,");
    expect_part(0, "data decontaminate --n 6 --threshold 0.6 --eval eval.jsonl train.jsonl",
                "0 contaminate,");
}

// Phrases from here and there condemn no row; the report still tells of them.
static void rows_are_judged_one_by_one(void **state)
{
    (void)state;
    write_text("eval.jsonl", "{\"text\":\"one two three four five six seven eight nine ten\"}\n");
    write_text("train.jsonl", "{\"text\":\"one two three four five\"}\n"
                              "{\"text\":\"six seven eight nine ten\"}\n");
    expect_part(0, "data decontaminate --n 3 --eval eval.jsonl --report report.jsonl train.jsonl",
                "0 contaminated (0.00 %); 1 covered by all training rows together");
    expect_file("report.jsonl",
                "{\"eval\":\"eval.jsonl\",\"line\":1,\"words\":10,\"contaminated\":false,\"share\":"
                "null,\"share_all\":1.0,\"train_rows\":0,\"train\":[]}\n");
}

static void several_eval_files_are_told_apart(void **state)
{
    (void)state;
    write_pair();
    write_text("second.jsonl", "{\"text\":\"?!\"}\n{\"text\":\"Nothing in here has to do with any "
                               "of that\"}\n");
    assert_int_equal(caravan("data decontaminate --eval eval.jsonl --eval second.jsonl --report "
                             "report.jsonl train.jsonl"),
                     1);
    char *text = read_text("printed");
    assert_contains(text, "eval.jsonl: 2 rows, 2 contaminated");
    assert_contains(text, "second.jsonl: 2 rows, 1 contaminated (50.00 %)");
    assert_contains(text, "0 shorter than 8 words, 1 without words");
    free(text);
    text = read_text("report.jsonl");
    assert_contains(text, "\"eval\":\"second.jsonl\",\"line\":2");
    free(text);
}

// An unreadable question cannot be kept out of training, so nothing is promised; an unreadable
// training row is not trained on.
static void bad_rows_are_an_error_on_one_side_and_left_out_on_the_other(void **state)
{
    (void)state;
    static const char tail[] = "\"}\n\0\n{\"text\":7}\n{\"messages\":[{\"role\":\"user\"}]}\n"
                               "{\"text\":\"a\\u0000b\"}\n";
    write_bytes("bad.jsonl", "{\"text\":\"", 17 << 20, tail, sizeof tail - 1);
    write_text("good.jsonl", "{\"text\":\"A row of words that nobody has met before.\"}\n");
    (void)unlink("clean.jsonl");    // of an earlier test
    expect(
        1, "data decontaminate --eval bad.jsonl --out clean.jsonl good.jsonl",
        "bad.jsonl:1: a line of more than 16777216 bytes\n"
        "bad.jsonl:2: not valid JSON: line 1 column 1: invalid token near end of file\n"
        "bad.jsonl:3: text: expected a string\n"
        "bad.jsonl:4: messages[0]: expected an object with the strings role and content\n"
        "caravan data decontaminate: 4 eval rows cannot be used, so what they ask cannot be kept "
        "out of training; nothing was written\n");
    assert_false(fs_exists("clean.jsonl"));
    assert_false(fs_exists("clean.jsonl.tmp"));
    expect_part(1, "data decontaminate --eval good.jsonl --out clean.jsonl bad.jsonl",
                "training rows: 5, 0 contaminate, 4 unusable, 1 clean\n");
    expect_file("clean.jsonl", "{\"text\":\"a\\u0000b\"}\n");
}

static void files_that_are_read_are_not_overwritten(void **state)
{
    (void)state;
    write_pair();
    char *before = read_text("train.jsonl");
    expect_part(1, "data decontaminate --eval eval.jsonl --out ./train.jsonl train.jsonl",
                "./train.jsonl: is read, so it cannot be written as well");
    expect_part(1, "data decontaminate --eval eval.jsonl --report eval.jsonl train.jsonl",
                "eval.jsonl: is read");
    expect_part(1, "data decontaminate --eval eval.jsonl --out new --report new train.jsonl",
                "new: named for the rows and for the report");
    expect_file("train.jsonl", before);
    free(before);
}

static void a_run_that_fails_leaves_what_was_there(void **state)
{
    (void)state;
    write_pair();
    write_text("clean.jsonl", "before\n");
    expect_part(1, "data decontaminate --eval eval.jsonl --out clean.jsonl absent.jsonl",
                "absent.jsonl: cannot open");
    expect_part(1, "data decontaminate --eval eval.jsonl --out clean.jsonl .", "cannot read");
    expect_file("clean.jsonl", "before\n");
    assert_false(fs_exists("clean.jsonl.tmp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_order_are_counted),
        cmocka_unit_test(every_problem_is_named_by_line_and_field),
        cmocka_unit_test(many_rows_keep_their_order),
        cmocka_unit_test(hostile_lines_cost_themselves),
        cmocka_unit_test(a_file_that_is_no_file_of_rows_is_refused),
        cmocka_unit_test(wrong_words_are_usage_errors),
        cmocka_unit_test(covered_rows_leave_and_the_others_stay_byte_by_byte),
        cmocka_unit_test(what_is_found_and_not_removed_is_a_failure),
        cmocka_unit_test(n_and_threshold_decide),
        cmocka_unit_test(rows_are_judged_one_by_one),
        cmocka_unit_test(several_eval_files_are_told_apart),
        cmocka_unit_test(bad_rows_are_an_error_on_one_side_and_left_out_on_the_other),
        cmocka_unit_test(files_that_are_read_are_not_overwritten),
        cmocka_unit_test(a_run_that_fails_leaves_what_was_there),
    };
    return cmocka_run_group_tests(tests, find_programs, scratch_leave);
}

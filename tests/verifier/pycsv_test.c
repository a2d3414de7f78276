// pycsv_test.c: records as Python's csv.reader gives them, written here as fields between '<' and
// '>', one line a record.
#include "tests/verifier/support.h"

#include "verifier/pycsv.h"

struct reading {
    struct scratch scratch;
    const char *text;
    uint32_t delimiter;
    bool ok;
    char out[256];
};

static void read_csv(void *arg)
{
    struct reading *r = arg;
    struct pycsv csv;
    r->ok = pycsv_read(&r->scratch, pytext_literal(&r->scratch, r->text), r->delimiter, &csv);
    size_t at = 0;
    for (size_t i = 0; r->ok && i < csv.n; i++) {
        for (size_t k = 0; k < csv.records[i].n; k++) {
            at += (size_t)snprintf(r->out + at, sizeof r->out - at, "<%s>",
                                   pytext_encode(&r->scratch, csv.records[i].v[k], NULL));
        }
        at += (size_t)snprintf(r->out + at, sizeof r->out - at, "/");
        assert_true(at < sizeof r->out);
    }
}

// `want` NULL: Python raises.
static void expect(const char *text, uint32_t delimiter, const char *want)
{
    struct reading r = {.text = text, .delimiter = delimiter};
    scratch_init(&r.scratch, 16u << 20);
    assert_int_equal(scratch_run(&r.scratch, read_csv, &r, NULL), ERR_OK);
    if (r.ok != (want != NULL) || (want && strcmp(r.out, want) != 0)) {
        fail_msg("\"%s\": %s, expected %s", text, r.ok ? r.out : "error", want ? want : "error");
    }
    scratch_fini(&r.scratch);
}

static void lines_are_records(void **state)
{
    (void)state;
    expect("", ',', "");
    expect("a,b\nc,d", ',', "<a><b>/<c><d>/");
    expect("a,b\nc,d\n", ',', "<a><b>/<c><d>/");
    expect("a,\n,", ',', "<a><>/<><>/");
    expect("a b, c", ',', "<a b>< c>/");
    expect("a\tb,c", '\t', "<a><b,c>/");
}

// Rows are counted by checks, so a blank line makes a difference.
static void a_blank_line_is_a_record_without_fields(void **state)
{
    (void)state;
    expect("a\n\nb", ',', "<a>//<b>/");
    expect("\n", ',', "/");
    expect(" \n", ',', "< >/");
}

static void quotes_hold_delimiters_and_lines(void **state)
{
    (void)state;
    expect("\"a,b\",c", ',', "<a,b><c>/");
    expect("\"a\nb\",c\nd", ',', "<a\nb><c>/<d>/");
    expect("\"a\"\"b\"", ',', "<a\"b>/");
    expect("\"\"", ',', "<>/");
    expect("\"\"\"a\"\"\"", ',', "<\"a\">/");
}

static void a_quote_opens_only_at_the_start_of_a_field(void **state)
{
    (void)state;
    expect("a\"b,c\"", ',', "<a\"b><c\">/");
    expect(" \"a,b\"", ',', "< \"a><b\">/");
    expect("\"a\"b\"c,d", ',', "<ab\"c><d>/");
}

static void the_last_quoted_field_may_stay_open(void **state)
{
    (void)state;
    expect("a,\"b", ',', "<a><b>/");
    expect("a,\"b\n", ',', "<a><b\n>/");
    expect("a,\"", ',', "<a><>/");
}

static void a_carriage_return_ends_the_record_and_nothing_may_follow(void **state)
{
    (void)state;
    expect("a\r\nb\r\n", ',', "<a>/<b>/");
    expect("a\r", ',', "<a>/");
    expect("a\r\r\nb", ',', "<a>/<b>/");
    expect("\r\n", ',', "/");
    expect("a\rb", ',', NULL);
    expect("\rb", ',', NULL);
    expect("\"a\"\rb", ',', NULL);
    expect("\"a\rb\"", ',', "<a\rb>/");
}

static void read_lengths(void *arg)
{
    struct reading *r = arg;
    struct pycsv csv;
    uint32_t *cp = scratch_zeroed(&r->scratch, (PYCSV_MAX_FIELD + 1) * sizeof *cp);
    assert_true(pycsv_read(&r->scratch, (struct pyspan){cp, PYCSV_MAX_FIELD}, ',', &csv));
    assert_int_equal(csv.records[0].v[0].n, PYCSV_MAX_FIELD);
    assert_false(pycsv_read(&r->scratch, (struct pyspan){cp, PYCSV_MAX_FIELD + 1}, ',', &csv));
    cp[PYCSV_MAX_FIELD / 2] = ',';
    assert_true(pycsv_read(&r->scratch, (struct pyspan){cp, PYCSV_MAX_FIELD + 1}, ',', &csv));
}

static void a_field_has_a_largest_length(void **state)
{
    (void)state;
    struct reading r = {.delimiter = ','};
    scratch_init(&r.scratch, 16u << 20);
    assert_int_equal(scratch_run(&r.scratch, read_lengths, &r, NULL), ERR_OK);
    scratch_fini(&r.scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_records),
        cmocka_unit_test(a_blank_line_is_a_record_without_fields),
        cmocka_unit_test(quotes_hold_delimiters_and_lines),
        cmocka_unit_test(a_quote_opens_only_at_the_start_of_a_field),
        cmocka_unit_test(the_last_quoted_field_may_stay_open),
        cmocka_unit_test(a_carriage_return_ends_the_record_and_nothing_may_follow),
        cmocka_unit_test(a_field_has_a_largest_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

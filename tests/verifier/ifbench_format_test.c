// ifbench_format_test.c: what IFBench's format:* instructions accept.
#include "tests/verifier/instruction.h"

static void five_brackets_are_open_when_one_closes(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:parentheses", {"{}", "([{([x])}])", true}, {"{}", "([{([x]", true},
                      {"{}", "(((([", false}, {"{}", "([{(x)}])", false},
                      {"{}", "(((( x ] ()", false}, {"{}", "((((( x ] )", false},
                      {"{}", "(((((x)", true}, {"{}", "((((x)(y))))", false},
                      {"{}", ") [[[[[x]]]]]", true}, {"{}", "((((( no", false});
}

static void quotes_nest_by_alternating(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:quotes", {"{}", "\"a 'b \"c\" d' e\"", true},
                      {"{}", "\"a 'b' c\"", false}, {"{}", "\"a\" \"b\" \"c\"", false},
                      {"{}", "\"a 'b \"c", false},
                      {"{}",
                       "\xe2\x80\x9c"
                       "a \xe2\x80\x98"
                       "b\xe2\x80\x99\xe2\x80\x9d",
                       false});
}

static void one_option_is_the_whole_response(void **state)
{
    (void)state;
#define YES "{\"options\":\"yes/no/maybe\"}"
#define ABC "{\"options\":\"a), b), c)\"}"
    INSTRUCTION_JUDGE(
        "format:options", {YES, " \"Maybe.\" ", true}, {YES, "perhaps", false},
        {YES, "yes/no", false}, {YES, "yes\n", false},
        {"{\"options\":\"I know or I don't know\"}", "i don't know!", true},
        {"{\"options\":\"more or less\"}", "m", true},
        {"{\"options\":\"more or less\"}", "more", false},
        {"{\"options\":\"red, blue\"}", "Blue", true}, {ABC, "b)", true}, {ABC, "b", false},
        {ABC, "B)", false}, {ABC, "b) ", false}, {"{\"options\":\"(A)/(B)/(C)\"}", "(C)", true},
        {"{\"options\":\"ab/c\"}", "AB", false}, {"{\"options\":\"axe/b/c\"}", "AXE", true},
        {"{\"options\":\"a/b\"}", "B.", true});
    instruction_refuses("format:options", "{\"options\":\"\"}", "options: empty");
}

static void each_word_has_its_line(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:newline", {"{}", "one\ntwo\n\nthree", true},
                      {"{}", "one two\nthree", false}, {"{}", "one\n  \ntwo", false},
                      {"{}", "one\n -\ntwo", false}, {"{}", "one\n-\ntwo", true},
                      {"{}", "one\r\ntwo", true}, {"{}", "...", true});
}

static void lines_are_stairs(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:line_indent", {"{}", "a\n b\n  c", true}, {"{}", "a\n b\n c", false},
                      {"{}", "a", true}, {"{}", " a\nb", false}, {"{}", "a\n\tb", false},
                      {"{}", "a\n\n b", true}, {"{}", "\na\n b\n", true});
}

// Removing while walking skips a line: of two blank lines one stays, as a line of no indent.
static void the_second_of_two_blank_lines_stays(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:line_indent", {"{}", "a\n\n\n b", false},
                      {"{}", "a\n\n\n\n b", false}, {"{}", "\n\na\n b", false},
                      {"{}", "\n\n a\n  b", true}, {"{}", "a\n\n \n  b", true},
                      {"{}", "a\n\n  \n b", false}, {"{}", "a\n\n b\n\n  c", true},
                      {"{}", "a\n \n \n  b\n \n   c", false});
}

static void text_follows_every_quote(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:quote_unquote", {"{}", "\"Go\" means leave.", true},
                      {"{}", "He said \"go\"", false}, {"{}", "He said \"go\". 12.", false},
                      {"{}", "\"go\" \"stay\" he said", false}, {"{}", "no quotes", true},
                      {"{}", "the sign '\"'", true}, {"{}", "\xe2\x80\x9cgo\xe2\x80\x9d", true},
                      {"{}", "\"", false});
}

static void a_separator_occurs_twice(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:list", {"{\"sep\":\"!?!?\"}", "!?!? a\n!?!? b", true},
                      {"{\"sep\":\"!?!?\"}", "!?!? a", false},
                      {"{\"sep\":\"!?!?\"}", "!?!?!?", false},
                      {"{\"sep\":\"-\"}", "a well-known half-truth", true},
                      {"{\"sep\":\"...\"}", "abcd efgh", false});
    instruction_refuses("format:list", "{\"sep\":\"\"}", "sep: empty");
}

static void a_thesis_is_in_italics_with_text_behind(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:thesis", {"{}", "<i>Dogs rule.</i> They do.", true},
                      {"{}", "<i>Dogs rule.</i>", false}, {"{}", "<i> </i> text", false},
                      {"{}", "<i>Dogs rule. They do.", false}, {"{}", "Dogs</i> do", false},
                      {"{}", "</i> <i>Dogs", false}, {"{}", "<em></em>", true},
                      {"{}", "<em>a</i>", false}, {"{}", "<i>a</em>", true},
                      {"{}", "<em>a <i></i> b", false}, {"{}", "*Dogs* rule", false});
}

static void a_dash_follows_every_star(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:sub-bullets", {"{}", "* a\n- b\n* c\n- d", true},
                      {"{}", "* a\n- b\n* c", false}, {"{}", "none", true},
                      {"{}", "**bold** - x", false}, {"{}", "- x\n* y", false},
                      {"{}", "* well-known", true});
}

static void the_template_has_three_parts(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:output_template",
                      {"{}", "My Answer: a\nMy Conclusion: b\nFuture Outlook: c", true},
                      {"{}", "Future Outlook:My Conclusion:My Answer:", true},
                      {"{}", "My Answer: a My Conclusion: b", false},
                      {"{}", "my answer: a My Conclusion: b Future Outlook: c", false});
}

static void any_whitespace_counts(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("format:no_whitespace", {"{}", "one-word", true}, {"{}", "two words", false},
                      {"{}", "word\n", false},
                      {"{}",
                       "a\xc2\xa0"
                       "b",
                       false},
                      {"{}",
                       "a\xe2\x80\x8b"
                       "b",
                       true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_brackets_are_open_when_one_closes),
        cmocka_unit_test(quotes_nest_by_alternating),
        cmocka_unit_test(one_option_is_the_whole_response),
        cmocka_unit_test(each_word_has_its_line),
        cmocka_unit_test(lines_are_stairs),
        cmocka_unit_test(the_second_of_two_blank_lines_stays),
        cmocka_unit_test(text_follows_every_quote),
        cmocka_unit_test(a_separator_occurs_twice),
        cmocka_unit_test(a_thesis_is_in_italics_with_text_behind),
        cmocka_unit_test(a_dash_follows_every_star),
        cmocka_unit_test(the_template_has_three_parts),
        cmocka_unit_test(any_whitespace_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

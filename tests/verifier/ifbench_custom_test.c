// ifbench_custom_test.c: what IFBench's custom:* instructions accept.
#include "tests/verifier/instruction.h"

static void multiples_of_seven_stand_alone(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("custom:multiples", {"{}", "14,21, 28\n35 42 49", true},
                      {"{}", "From: 14 21 28 35 42 49.", true},
                      {"{}", "10 to 50: 14 21 28 35 42 49", false},
                      {"{}", "14 21 28 35 42 49 56", false}, {"{}", "14 21 28 35 42", false},
                      {"{}", "21 14 28 35 42 49", false}, {"{}", "1421 28 35 42 49", false},
                      {"{}", "none", false}, {"{}", "\xd9\xa1\xd9\xa4 21 28 35 42 49", false});
}

#define OPTIONS "\nA) x\nb. y\nC) z\nD) u\nE| v\n"
#define FOUR(a, b, c, d)                                                                           \
    "Question 1. " a OPTIONS "Question 2: " b OPTIONS "\nQuestion 3 " c OPTIONS                    \
    "Question 4) " d OPTIONS

static void four_questions_grow(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("custom:mcq_count_length", {"{}", FOUR("a?", "ab?", "abc?", "abcd?"), true},
                      {"{}", FOUR("a?", "ab?", "ab?", "abcd?"), false},
                      {"{}", "Here: " FOUR("a?", "ab?", "abc?", "abcd?"), false},
                      {"{}", FOUR("a?", "ab?", "abc?", "abcd?") "Question 5 abcde?" OPTIONS, false},
                      {"{}", FOUR("a?", "ab?", "abc?", "abcd?\nA) one too many"), false},
                      {"{}", "Question", false}, {"{}", "Q", false});
}

// Lines before the first option are joined by a blank each, what follows it is not text.
static void the_length_of_a_question_is_that_of_its_lines(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("custom:mcq_count_length",
                      {"{}", FOUR("a?", "a\n?", "a\n\n?", "a\n\n\n?\n\n"), true},
                      {"{}", FOUR("a?", "a\n?", "a\n?\n\n", "abcd?"), false},
                      {"{}", FOUR("a?", "ab?", "abc?", "abcd?") "Explanation: long", true});
}

#define LIST_OF(a) a a a a a a a a a a
#define FIFTY LIST_OF("M\n") LIST_OF("M\n") LIST_OF("M\n") LIST_OF("M\n") LIST_OF("M\n")

static void lines_descend_from_zimbabwe(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("custom:reverse_newline", {"{}", "Zimbabwe\n" FIFTY "A", true},
                      {"{}", "Sure:\nhere\n1. Zimbabwe\n\n" FIFTY "A", false},
                      {"{}", "Sure:\nhere\n- Zimbabwe\n\n" FIFTY "A.", true},
                      {"{}", "Zimbabwe\n" FIFTY "N", false}, {"{}", "Zimbabwe\n" FIFTY, false},
                      {"{}", "Zambia\n" FIFTY "A\nB", false},
                      {"{}", "Zimbabwe\n" FIFTY "L\xc3\xa9so\nLer", true},
                      {"{}", "Zimbabwe\n" FIFTY "a", false});
}

static void the_eagle_is_backwards(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("custom:word_reverse", {"{}", "Eagle bald the is it.", true},
                      {"{}", "It is the bald eagle.", false}, {"{}", "eagle, \"Bald\"", true},
                      {"{}", "eagles bald", true}, {"{}", "eagle\nthe bald", false});
    INSTRUCTION_JUDGE("custom:character_reverse", {"{}", ".Elgae Dlab eht", true},
                      {"{}", "bald eagle", false}, {"{}", "elgae  dlab", false});
}

#define NORTH                                                                                      \
    "Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, "       \
    "Berlin, Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, "             \
    "Bratislava, Budapest, Vaduz, "

static void capitals_go_south(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "custom:european_capitals_sort",
        {"{}", "Reykjavik, " NORTH "Chisinau, Bern, Ljubljana, Zagreb", true},
        {"{}", "Reykjav\xc3\xadk,\n" NORTH "Chi\xc8\x99in\xc4\x83u,Bern , Ljubljana, Zagreb,",
         true},
        {"{}", "Reykjavik, " NORTH "Chisinau, Bern, Ljubljana, Zagreb.", false},
        {"{}", "Reykjavik, " NORTH "Bern, Chisinau, Ljubljana, Zagreb", false},
        {"{}", NORTH "Chisinau, Bern, Ljubljana, Zagreb", false},
        {"{}", "Reykjavik, " NORTH "Chisinau, Bern, Ljubljana, Zagreb, Rome", false},
        {"{}", "reykjavik, " NORTH "Chisinau, Bern, Ljubljana, Zagreb", false});
}

#define CITY "ID,Country,City,Year,Count\n"
#define ROW "1,a,b,2,3\n"

static void cities_are_eight_records_of_five(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE("custom:csv_city", {"{}", CITY ROW ROW ROW ROW ROW ROW ROW, true},
                      {"{}", CITY ROW ROW ROW ROW ROW ROW "1,\"a,\n2\",b,2,\"\"", true},
                      {"{}", CITY ROW ROW ROW ROW ROW ROW ROW "\n", false},
                      {"{}", CITY ROW ROW ROW ROW ROW ROW, false},
                      {"{}", CITY ROW ROW ROW ROW ROW ROW "1,a,b,2\n", false},
                      {"{}", "ID, Country,City,Year,Count\n" ROW ROW ROW ROW ROW ROW ROW, false},
                      {"{}", "\"ID\",Country,City,Year,Count\n" ROW ROW ROW ROW ROW ROW ROW, true},
                      {"{}", CITY ROW ROW ROW ROW ROW ROW ROW "x\ry", false});
}

#define SHOP "ProductID,Category,\t Brand, \"Price\",Stock\n"
#define THIRTEEN ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW

static void a_quoted_field_has_a_special_character(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "custom:csv_special_character", {"{}", SHOP THIRTEEN "1,\"a&b\",b,2,3\n", true},
        {"{}", SHOP "1,\"a, b\",b,2,3\n" THIRTEEN, true},
        {"{}", SHOP THIRTEEN "1,a&b,b,2,3\n", false},
        {"{}", SHOP THIRTEEN "1,\"ab c\",b,2,3\n", false},
        {"{}", SHOP THIRTEEN "1,\"a\n&\",b,2,3\n", false}, {"{}", SHOP THIRTEEN, false},
        {"{}", "ProductID;Category\n" THIRTEEN "1,\"a&b\",b,2,3\n", false},
        {"{}", "\"ProductID,Category,Brand,Price,Stock\n" THIRTEEN "1,\"a&b\",b,2,3\n", false});
}

// The search ends at the first such field; what follows may have any number of fields.
static void records_behind_the_special_field_are_not_looked_at(void **state)
{
    (void)state;
#define TWELVE ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW
    INSTRUCTION_JUDGE("custom:csv_special_character",
                      {"{}", SHOP "1,\"a&b\",b,2,3\n" TWELVE "1,2\n", true},
                      {"{}", SHOP "1,2\n" TWELVE "1,\"a&b\",b,2,3\n", false});
}

#define GRADES "\"StudentID\"\t\"Subject\"\t \"Grade\"\t\"Semester\"\t\"Score\"\n"
#define MARKS "\"1\"\t\"Art\"\t\"A\"\t\"Fall\"\t\"9\"\n"

static void every_field_is_quoted(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "custom:csv_quotes", {"{}", GRADES MARKS MARKS MARKS, true},
        {"{}", GRADES MARKS MARKS "\"1\"\tArt\t\"A\"\t\"Fall\"\t\"9\"", false},
        {"{}", GRADES MARKS MARKS "\"1\"\t\t\"A\"\t\"Fall\"\t\"9\"", false},
        {"{}", GRADES MARKS MARKS, false}, {"{}", GRADES MARKS MARKS MARKS MARKS, false},
        {"{}", "StudentID\tSubject\tGrade\tSemester\tScore\n" MARKS MARKS MARKS, false},
        {"{}", "\"StudentID\",\"Subject\"\n" MARKS MARKS MARKS, false},
        {"{}", GRADES MARKS MARKS "\"1\"\r.\n", false});
}

static void dates_lie_in_a_lifetime(void **state)
{
    (void)state;
    INSTRUCTION_JUDGE(
        "custom:date_format_list", {"{}", " 1796-04-12,1805-12-02 ,\n1815-06-18", true},
        {"{}", "1768-04-12", false}, {"{}", "1769-01-01, 1821-12-31", true},
        {"{}", "1822-01-01", false}, {"{}", "1800-13-01", false}, {"{}", "1800-00-99", true},
        {"{}", "1800-04-00", true}, {"{}", "1800-04-31", false}, {"{}", "1801-02-29", true},
        {"{}", "1800-02-30", false}, {"{}", "1800-4-01", false}, {"{}", "1800-04-01,", false},
        {"{}", "1800-04-01 and more", false},
        {"{}", "\xd9\xa1\xd9\xa8\xd9\xa0\xd9\xa0-04-01", true}, {"{}", "1800/04/01", false});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiples_of_seven_stand_alone),
        cmocka_unit_test(four_questions_grow),
        cmocka_unit_test(the_length_of_a_question_is_that_of_its_lines),
        cmocka_unit_test(lines_descend_from_zimbabwe),
        cmocka_unit_test(the_eagle_is_backwards),
        cmocka_unit_test(capitals_go_south),
        cmocka_unit_test(cities_are_eight_records_of_five),
        cmocka_unit_test(a_quoted_field_has_a_special_character),
        cmocka_unit_test(records_behind_the_special_field_are_not_looked_at),
        cmocka_unit_test(every_field_is_quoted),
        cmocka_unit_test(dates_lie_in_a_lifetime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

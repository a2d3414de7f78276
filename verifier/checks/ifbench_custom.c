// ifbench_custom.c: IFBench (Pyatkin et al., "Generalizing Verifiable Instruction Following",
// 2025): prompts that ask for one particular text and are checked for its outward form.
//
// They take no arguments. Each function decides as the original checker does; where that one raises
// an error (a broken line end in CSV, a blank field) the response fails.
#include "verifier/checks/ifbench_text.h"
#include "verifier/checks/tables.h"
#include "verifier/pycsv.h"

#include <string.h>

static bool multiples(const struct check *c)
{
    static const char *const wanted[] = {"14", "21", "28", "35", "42", "49"};
    struct pyspan s = c->response;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        size_t from = i;
        while (i < s.n && py_isdecimal(s.cp[i])) {
            i++;
        }
        if (i > from &&
            (n == ARRAY_LEN(wanted) || !pyspan_is(pyspan_slice(s, from, i), wanted[n++]))) {
            return false;
        }
    }
    return n == ARRAY_LEN(wanted);
}

static bool is_one_of(uint32_t c, const char *ascii)
{
    while (*ascii && c != (uint8_t)*ascii) {
        ascii++;
    }
    return *ascii != 0;
}

// "Question", a number and one mark: where it ends, or `at` when there is none at `at`.
static size_t skip_label(struct pyspan s, size_t at)
{
    static const char label[] = "Question ";
    size_t i = at + sizeof label - 1, digits = i;
    if (!pyspan_starts_with(pyspan_slice(s, at, s.n), label)) {
        return at;
    }
    while (i < s.n && py_isdecimal(s.cp[i])) {
        i++;
    }
    if (i == digits) {
        return at;
    }
    return i + (i < s.n && is_one_of(s.cp[i], ".|):;"));
}

// Stripped; blank ones are left out.
static struct pylist split_questions(struct scratch *a, struct pyspan s)
{
    struct pylist_builder b = {.scratch = a};
    size_t from = 0;
    for (size_t i = 0; i <= s.n;) {
        size_t end = i < s.n && s.cp[i] == 'Q' ? skip_label(s, i) : i;
        if (i == s.n || end > i) {
            struct pyspan question = pyspan_strip(pyspan_slice(s, from, i));
            if (question.n > 0) {
                pylist_add(&b, question);
            }
            from = end;
        }
        i = MAX(end, i + 1);
    }
    return b.list;
}

// A letter, a mark and a word. `line` is stripped.
static bool is_option(struct pyspan line)
{
    if (line.n < 3 || !is_one_of(line.cp[0], "ABCDEabcde") || !is_one_of(line.cp[1], ".|)")) {
        return false;
    }
    struct pyspan rest = pyspan_lstrip_class(pyspan_slice(line, 2, line.n), py_isspace);
    return rest.n > 0 && py_isword(rest.cp[0]);
}

// The length of the text before the first option, its lines joined by blanks; PYSPAN_NONE unless
// there are five options.
static size_t question_length(struct scratch *a, struct pyspan question)
{
    struct pylist lines = pytext_split_by(a, question, "\n");
    size_t n_options = 0, so_far = 0, length = 0;
    for (size_t i = 0; i < lines.n; i++) {
        struct pyspan line = pyspan_strip(lines.v[i]);
        if (is_option(line)) {
            n_options++;
        } else if (n_options == 0) {
            so_far += (i > 0) + line.n;
            length = line.n > 0 ? so_far : length;
        }
    }
    return n_options == 5 ? length : PYSPAN_NONE;
}

static bool mcq_count_length(const struct check *c)
{
    struct pylist questions = split_questions(c->scratch, c->response);
    if (!pyspan_starts_with(c->response, "Question") || questions.n != 4) {
        return false;
    }
    size_t last = 0;
    for (size_t i = 0; i < questions.n; i++) {
        size_t length = question_length(c->scratch, questions.v[i]);
        if (length == PYSPAN_NONE || (i > 0 && length <= last)) {
            return false;
        }
        last = length;
    }
    return true;
}

static bool reverse_newline(const struct check *c)
{
    struct pylist lines = pytext_split_by(c->scratch, c->response, "\n");
    struct pyspan last = {0};
    size_t n = 0;
    for (size_t i = 0; i < lines.n; i++) {
        struct pyspan line = ifbench_strip_edges(lines.v[i]);
        if (line.n == 0 || (n == 0 && pyspan_search_for(line, "Zimbabwe", 0) == PYSPAN_NONE)) {
            continue;
        }
        struct pyspan plain = pytext_ascii_folded(c->scratch, line);
        if (n > 0 && pyspan_compare(plain, last) > 0) {
            return false;
        }
        last = plain;
        n++;
    }
    return n >= 52;
}

// Without punctuation the reversed words are always a single sentence, so that part of the original
// rule is not needed.
static bool word_reverse(const struct check *c)
{
    struct pylist words = ifbench_bare_words(c->scratch, pytext_lower(c->scratch, c->response));
    struct pylist reversed = {scratch_array(c->scratch, words.n + 1, sizeof *words.v), words.n};
    for (size_t i = 0; i < words.n; i++) {
        reversed.v[i] = words.v[words.n - 1 - i];
    }
    struct pyspan text = pytext_join(c->scratch, reversed, pytext_literal(c->scratch, " "));
    return pyspan_search_for(text, "bald eagle", 0) != PYSPAN_NONE;
}

static bool character_reverse(const struct check *c)
{
    return pyspan_search_for(pytext_lower(c->scratch, c->response), "elgae dlab", 0) != PYSPAN_NONE;
}

static bool european_capitals_sort(const struct check *c)
{
    static const char *const capitals[] = {
        "Reykjavik",  "Helsinki", "Oslo",     "Tallinn",    "Stockholm", "Riga",      "Moscow",
        "Copenhagen", "Vilnius",  "Minsk",    "Dublin",     "Berlin",    "Amsterdam", "Warsaw",
        "London",     "Brussels", "Prague",   "Luxembourg", "Paris",     "Vienna",    "Bratislava",
        "Budapest",   "Vaduz",    "Chisinau", "Bern",       "Ljubljana", "Zagreb"};
    struct pyspan plain = pytext_ascii_folded(c->scratch, c->response);
    struct pylist names = pytext_split_by(c->scratch, plain, ",");
    size_t n = 0;
    for (size_t i = 0; i < names.n; i++) {
        struct pyspan name = pyspan_strip(names.v[i]);
        if (name.n > 0 && (n == ARRAY_LEN(capitals) || !pyspan_is(name, capitals[n++]))) {
            return false;
        }
    }
    return n == ARRAY_LEN(capitals);
}

static bool has_records(const struct pycsv *csv, size_t n, size_t n_fields)
{
    bool all = csv->n == n;
    for (size_t i = 0; i < csv->n && all; i++) {
        all = csv->records[i].n == n_fields;
    }
    return all;
}

static bool csv_city(const struct check *c)
{
    static const char *const header[] = {"ID", "Country", "City", "Year", "Count"};
    struct pycsv csv;
    bool same =
        pycsv_read(c->scratch, c->response, ',', &csv) && has_records(&csv, 8, ARRAY_LEN(header));
    for (size_t i = 0; i < ARRAY_LEN(header) && same; i++) {
        same = pyspan_is(csv.records[0].v[i], header[i]);
    }
    return same;
}

// Is the first line these names, each in quotes or not, a delimiter and any of `blanks` between?
static bool has_header(struct pyspan s, const char *const names[5], uint32_t delimiter,
                       const char *blanks)
{
    s = pyspan_strip(pyspan_slice(s, 0, pyspan_find(s, '\n', 0)));
    size_t at = 0;
    for (size_t i = 0; i < 5; i++) {
        if (i > 0) {
            if (at == s.n || s.cp[at++] != delimiter) {
                return false;
            }
            while (at < s.n && is_one_of(s.cp[at], blanks)) {
                at++;
            }
        }
        bool quoted = at < s.n && s.cp[at] == '"';
        at += quoted;
        if (!pyspan_starts_with(pyspan_slice(s, at, s.n), names[i])) {
            return false;
        }
        at += strlen(names[i]);
        if (quoted && (at == s.n || s.cp[at++] != '"')) {
            return false;
        }
    }
    return at == s.n;
}

// The original triples all quotes before it reads the records, so that fields keep their own.
static bool read_with_quotes(const struct check *c, uint32_t delimiter, struct pycsv *out)
{
    struct pyspan quote = pytext_literal(c->scratch, "\"");
    struct pyspan three = pytext_literal(c->scratch, "\"\"\"");
    struct pyspan tripled = pytext_replace(c->scratch, c->response, quote, three);
    return pycsv_read(c->scratch, tripled, delimiter, out);
}

// On its first line: a quote to begin with, a further one, and between them a character that is
// neither \w nor whitespace.
static bool is_special(struct pyspan field)
{
    size_t end = pyspan_find(field, '\n', 0);
    if (end == 0 || field.cp[0] != '"') {
        return false;
    }
    while (field.cp[end - 1] != '"') {
        end--;
    }
    bool found = false;
    for (size_t i = 1; i + 1 < end; i++) {
        found = found || (!py_isword(field.cp[i]) && !py_isspace(field.cp[i]));
    }
    return found;
}

static bool csv_special_character(const struct check *c)
{
    static const char *const header[] = {"ProductID", "Category", "Brand", "Price", "Stock"};
    struct pycsv csv;
    if (!has_header(c->response, header, ',', " \t") || !read_with_quotes(c, ',', &csv) ||
        csv.n != 15) {
        return false;
    }
    bool found = false;
    for (size_t i = 1; i < csv.n && !found; i++) {
        if (csv.records[i].n != ARRAY_LEN(header)) {
            return false;
        }
        for (size_t k = 0; k < csv.records[i].n; k++) {
            found = found || is_special(csv.records[i].v[k]);
        }
    }
    return found;
}

static bool csv_quotes(const struct check *c)
{
    static const char *const header[] = {"StudentID", "Subject", "Grade", "Semester", "Score"};
    struct pycsv csv;
    bool all = has_header(c->response, header, '\t', " ") && read_with_quotes(c, '\t', &csv) &&
               has_records(&csv, 4, ARRAY_LEN(header));
    for (size_t i = 0; all && i < csv.n; i++) {
        for (size_t k = 0; k < csv.records[i].n; k++) {
            struct pyspan field = pyspan_strip(csv.records[i].v[k]);
            all = all && field.n > 0 && field.cp[0] == '"' && field.cp[field.n - 1] == '"';
        }
    }
    return all;
}

// Decimal digits come in whole decades, some of them adjacent.
static unsigned digit_value(uint32_t c)
{
    unsigned n = 0;
    while (c > n && py_isdecimal(c - n - 1)) {
        n++;
    }
    return n % 10;
}

// Reads n digits; false when there is something else.
static bool read_digits(struct pyspan s, size_t at, size_t n, unsigned *out)
{
    *out = 0;
    for (size_t i = at; i < at + n; i++) {
        if (!py_isdecimal(s.cp[i])) {
            return false;
        }
        *out = *out * 10 + digit_value(s.cp[i]);
    }
    return true;
}

// Napoleon's lifetime. The months and days have no lower end, and every year may be a leap year.
static bool is_date(struct pyspan s)
{
    static const unsigned days[] = {99, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year, month, day;
    return s.n == 10 && s.cp[4] == '-' && s.cp[7] == '-' && read_digits(s, 0, 4, &year) &&
           read_digits(s, 5, 2, &month) && read_digits(s, 8, 2, &day) && year >= 1769 &&
           year <= 1821 && month <= 12 && day <= days[month];
}

static bool date_format_list(const struct check *c)
{
    struct pylist dates = pytext_split_by(c->scratch, c->response, ",");
    bool all = true;
    for (size_t i = 0; i < dates.n && all; i++) {
        all = is_date(pyspan_strip(dates.v[i]));
    }
    return all;
}

const struct check_row checks_ifbench_custom[] = {
    CHECK_INSTRUCTION_ROW("custom:multiples", "1", multiples, "the numbers are 14 21 28 35 42 49",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:mcq_count_length", "1", mcq_count_length,
                          "four questions with five options each, every one longer than the last",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:reverse_newline", "1", reverse_newline,
                          "from Zimbabwe on at least 52 lines in descending order", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:word_reverse", "1", word_reverse,
                          "the words read backwards say \"bald eagle\"", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:character_reverse", "1", character_reverse,
                          "the letters read backwards say \"bald eagle\"", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:european_capitals_sort", "1", european_capitals_sort,
                          "27 capitals from north to south, separated by commas", CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:csv_city", "1", csv_city,
                          "CSV with the header ID,Country,City,Year,Count and 7 rows",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:csv_special_character", "1", csv_special_character,
                          "CSV with a fixed header, 14 rows and a special character in quotes",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:csv_quotes", "1", csv_quotes,
                          "tab-separated values, a fixed header and 3 rows, all in quotes",
                          CHECK_NO_ARGS),
    CHECK_INSTRUCTION_ROW("custom:date_format_list", "1", date_format_list,
                          "a list of dates YYYY-MM-DD in the years 1769 to 1821", CHECK_NO_ARGS),
    {0},
};

// number.c: decimal numbers in all their spellings, as rationals.
//
//   1234  1,234  1{,}234  1,\!234  1\,234  1 234     one number; groups of three or they are none
//   0.5  .5  0{.}5  5.                               decimals
//   0.\overline{3}  0.\dot{3}  0.(3)  0.333…         repeating decimals
//   1.5e3                                            exponents
//
// A decimal that goes on without a visible period (3.1415…) stands for every number that starts so.
#include "verifier/math/lex_internal.h"

#include <string.h>

struct numeral {
    char *digits;    // all of them, without the point
    size_t n;
    size_t places;    // behind the point
    size_t period;    // of these, repeating
    long exponent;
    bool goes_on;    // an ellipsis without a period
    bool plain;      // digits only
};

static bool starts(const struct math_lexer *l, size_t at, const char *what)
{
    return pyspan_starts_with(pyspan_slice(l->t, at, l->t.n), what);
}

// Length of a separator of thousands at `at`, or 0.
static size_t separator(struct math_lexer *l, size_t at)
{
    static const char *const sure[] = {"{,}", ",\\!", "\\,", "\\ ", "{\\,}"};
    for (size_t i = 0; i < COUNT_OF(sure); i++) {
        if (starts(l, at, sure[i])) {
            return strlen(sure[i]);
        }
    }
    uint32_t c = math_lex_char(l, at);
    return c == ',' || c == ' ' || c == 0xA0 || c == 0x202F || c == 0x2009 ? 1 : 0;
}

static bool three_digits(const struct math_lexer *l, size_t at)
{
    return math_is_digit(math_lex_char(l, at)) && math_is_digit(math_lex_char(l, at + 1)) &&
           math_is_digit(math_lex_char(l, at + 2)) && !math_is_digit(math_lex_char(l, at + 3));
}

// Length of the separator before a further group of three, or 0. Notes the other readings.
static size_t group_ahead(struct math_lexer *l, size_t at)
{
    size_t len = separator(l, at);
    if (len == 0) {
        return 0;
    }
    bool comma = math_lex_char(l, at) == ',' && len == 1;
    if (comma && math_lex_char(l, at + 1) == ' ' && three_digits(l, at + 2)) {
        l->out->readings |= MATH_SPACED_GROUPS;
        return l->reading & MATH_SPACED_GROUPS ? 2 : 0;
    }
    if (!three_digits(l, at + len)) {
        return 0;
    }
    if (comma) {
        l->out->readings |= MATH_SPLIT_GROUPS;
        return l->reading & MATH_SPLIT_GROUPS ? 0 : len;
    }
    return len;
}

static void take(struct math_lexer *l, struct numeral *num, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        num->digits[num->n++] = (char)l->t.cp[i];
    }
}

static size_t digits_end(const struct math_lexer *l, size_t at)
{
    while (math_is_digit(math_lex_char(l, at))) {
        at++;
    }
    return at;
}

static void lex_whole(struct math_lexer *l, struct numeral *num)
{
    size_t end = digits_end(l, l->at);
    bool groups = end - l->at <= 3 && end > l->at && l->t.cp[l->at] != '0';
    take(l, num, l->at, end);
    l->at = end;
    size_t len;
    while (groups && (len = group_ahead(l, l->at)) > 0) {
        take(l, num, l->at + len, l->at + len + 3);
        l->at += len + 3;
        num->plain = false;
    }
}

// \overline{3}, \dot{3}, \dot{1}\dot{2}, (3): digits that repeat. True if there were any.
static bool lex_period(struct math_lexer *l, struct numeral *num)
{
    static const char *const marks[] = {"\\overline{", "\\bar{", "\\dot{", "("};
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        size_t from = l->at + strlen(marks[i]);
        size_t to = digits_end(l, from);
        uint32_t close = i == 3 ? ')' : '}';
        if (!starts(l, l->at, marks[i]) || to == from || math_lex_char(l, to) != close) {
            continue;
        }
        take(l, num, from, to);
        num->places += to - from;
        num->period += to - from;
        l->at = to + 1;
        if (i == 2) {    // the second dot ends the period: \dot{1}4285\dot{7}
            size_t more = digits_end(l, l->at);
            size_t last = more + strlen(marks[2]);
            if (starts(l, more, marks[2]) && digits_end(l, last) == last + 1 &&
                math_lex_char(l, last + 1) == '}') {
                take(l, num, l->at, more);
                take(l, num, last, last + 1);
                num->places += more - l->at + 1;
                num->period += more - l->at + 1;
                l->at = last + 2;
            }
        }
        return true;
    }
    return false;
}

// The period that the digits before an ellipsis show: the whole fraction twice (a single digit
// three times), or anything three times at its end. 0: none.
static size_t visible_period(const struct numeral *num)
{
    const char *fraction = num->digits + (num->n - num->places);
    for (size_t p = 1; 2 * p <= num->places && p <= 60; p++) {
        size_t same = 0;
        while (same + p < num->places &&
               fraction[num->places - 1 - same] == fraction[num->places - 1 - same - p]) {
            same++;
        }
        bool whole = same + p == num->places;
        if (same >= 2 * p || (whole && p > 1)) {
            return p;
        }
    }
    return 0;
}

static size_t ellipsis(const struct math_lexer *l, size_t at)
{
    static const char *const marks[] = {"...", "\\ldots", "\\dots", "\\cdots"};
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        if (starts(l, at, marks[i])) {
            return strlen(marks[i]);
        }
    }
    return math_lex_char(l, at) == 0x2026 ? 1 : 0;
}

static void lex_fraction(struct math_lexer *l, struct numeral *num)
{
    size_t point = math_lex_char(l, l->at) == '.' ? 1 : starts(l, l->at, "{.}") ? 3 : 0;
    if (point == 0 || ellipsis(l, l->at) > 0) {
        return;
    }
    size_t end = digits_end(l, l->at + point);
    bool ends = end == l->at + point;
    num->plain = false;
    take(l, num, l->at + point, end);
    num->places = end - l->at - point;
    l->at = end;
    size_t dots = ends ? 0 : ellipsis(l, end);
    if (dots > 0) {
        num->period = visible_period(num);
        num->goes_on = num->period == 0;
        l->at += dots;
        return;
    }
    (void)lex_period(l, num);
}

static bool lex_exponent(struct math_lexer *l, struct numeral *num)
{
    uint32_t e = math_lex_char(l, l->at), sign = math_lex_char(l, l->at + 1);
    bool is_signed = sign == '-' || sign == '+' || sign == 0x2212;
    size_t from = l->at + 1 + is_signed;
    size_t end = digits_end(l, from);
    if ((e != 'e' && e != 'E') || end == from || num->period > 0) {
        return true;
    }
    if (e == 'e') {
        l->out->readings |= MATH_EULER;
        if (l->reading & MATH_EULER) {
            return true;
        }
    }
    long v = 0;
    for (size_t i = from; i < end; i++) {
        v = MIN(10 * v + (long)(l->t.cp[i] - '0'), 10 * MATH_DIGITS_MAX);
    }
    num->exponent = is_signed && sign != '+' ? -v : v;
    num->plain = false;
    l->at = end;
    return v <= MATH_DIGITS_MAX;
}

// digits / 10^places, and with a period p: (digits - digits without the period) over 10^(places - p)
// (10^p - 1); then times 10^exponent. The strings are made first: no FLINT value is alive when the
// scratch can be left.
static uint32_t value_of(struct math_lexer *l, const struct numeral *num)
{
    struct math_forest *f = l->f;
    fmpq_t q;
    fmpz_t ten;
    if (num->n <= 15 && num->period == 0) {
        long v = 0;
        for (size_t i = 0; i < num->n; i++) {
            v = 10 * v + (num->digits[i] - '0');
        }
        if (num->places == 0 && num->exponent == 0) {
            return math_integer(f, v);
        }
    }
    char *all = scratch_alloc(f->scratch, num->n + 2);
    memcpy(all, num->digits, num->n);
    all[num->n] = 0;
    char *head = scratch_alloc(f->scratch, num->n + 2);
    memcpy(head, num->digits, num->n - num->period);
    head[num->n - num->period] = 0;
    fmpq_init(q);
    fmpz_init(ten);
    CHECK(fmpz_set_str(fmpq_numref(q), num->n ? all : "0", 10) == 0);
    fmpz_set_ui(ten, 10);
    if (num->period > 0) {
        fmpz_t h;
        fmpz_init(h);
        CHECK(fmpz_set_str(h, num->n > num->period ? head : "0", 10) == 0);
        fmpz_sub(fmpq_numref(q), fmpq_numref(q), h);
        fmpz_pow_ui(h, ten, num->period);
        fmpz_sub_ui(h, h, 1);
        fmpz_pow_ui(fmpq_denref(q), ten, num->places - num->period);
        fmpz_mul(fmpq_denref(q), fmpq_denref(q), h);
        fmpz_clear(h);
    } else {
        fmpz_pow_ui(fmpq_denref(q), ten, num->places);
    }
    fmpz_pow_ui(ten, ten, (ulong)labs(num->exponent));
    fmpz_mul(num->exponent < 0 ? fmpq_denref(q) : fmpq_numref(q),
             num->exponent < 0 ? fmpq_denref(q) : fmpq_numref(q), ten);
    fmpq_canonicalise(q);
    fmpz_clear(ten);
    uint32_t node = math_number(f, q);
    fmpq_clear(q);
    return node;
}

bool math_lex_number(struct math_lexer *l)
{
    struct math_forest *f = l->f;
    size_t start = l->at;
    struct numeral num = {.plain = true, .digits = l->digits};
    lex_whole(l, &num);
    lex_fraction(l, &num);
    if (!lex_exponent(l, &num) || num.n > MATH_DIGITS_MAX) {
        math_note(f, "a number is too large");
        return false;
    }
    uint32_t node = value_of(l, &num);
    if (num.goes_on) {
        char one[] = "1";
        struct numeral unit = {.digits = one, .n = 1, .exponent = -(long)num.places};
        node = math_binary(f, MATH_ABOUT, node, value_of(l, &unit));
    }
    struct math_token *t = math_lex_add(l, MATH_TOK_NUMBER, 0);
    t->node = node;
    if (num.plain) {
        t->text = pyspan_slice(l->t, start, l->at);
    }
    return true;
}

static bool is_big_digit(uint32_t c)
{
    return math_is_digit(c) || (c >= 'A' && c <= 'F');
}

bool math_lex_hexadecimal(struct math_lexer *l)
{
    size_t end = l->at;
    bool digit = false, letter = false;
    for (; is_big_digit(math_lex_char(l, end)); end++) {
        (math_is_digit(l->t.cp[end]) ? &digit : &letter)[0] = true;
    }
    size_t after = end;
    while (math_lex_char(l, after) == ')' || math_lex_char(l, after) == '}') {
        after++;
    }
    if (!digit || !letter || math_lex_char(l, after) != '_') {
        return false;
    }
    struct pyspan digits = pyspan_slice(l->t, l->at, end);
    l->at = end;
    uint32_t node = math_integer(l->f, 0);
    struct math_token *t = math_lex_add(l, MATH_TOK_NUMBER, 2);
    t->node = node;
    t->text = digits;
    return true;
}

// langid.c: a linear classifier over runs of one to three letters.
//
// Each run that the tables know adds its row to the scores of the languages written in its script,
// and each run of a script, known or not, adds that script's row to all 55; the highest score wins.
// The rows come from langid_model.inc, which tests/tools/langid_train.py makes; what counts as a
// letter and as a run is defined here and has to be what it is there.
//
// A text passes two stages. read_text leaves out addresses and joins Vietnamese vowels with their
// marks; what remains is at most LANGID_CHARS_MAX units of 16 bits in an array on the stack.
// score_text walks over that array with a window of three units. A run ends at a blank, and any
// character that is no letter of a script is a blank or, rarely, a stranger that no run contains.
#include "verifier/langid.h"

#include <string.h>

#include "common/base.h"

#define BLANK ' '
#define STRANGER 0xFFFFu

// The order of scripts and of languages is the one of the tables.
enum script {
    LATIN,
    CYRILLIC,
    ARABIC,
    DEVANAGARI,
    HAN,
    GREEK,
    HEBREW,
    BENGALI,
    GURMUKHI,
    GUJARATI,
    TAMIL,
    TELUGU,
    KANNADA,
    MALAYALAM,
    THAI,
    KANA,
    HANGUL,
    N_SCRIPTS,
    NO_SCRIPT,         // a blank
    STRANGE_SCRIPT,    // a stranger
};

#define N_LANGUAGES 55
#define N_LATIN 31
#define SMALL_MAX 4

// Weights are characters between '#' and '~', 'P' being zero: rows read as text and cost a byte
// each in the source. A run is UTF-8.
#define ROW_ZERO 'P'
#define SCRIPT_FRACTION 16    // a script's row is in sixteenths of a run's

struct latin_row {
    char run[10];
    char weight[N_LATIN + 1];
};

struct small_row {
    char run[10];
    char weight[SMALL_MAX + 1];
};

#include "verifier/langid_model.inc"

#define N_ROWS (ARRAY_LEN(latin_rows) + ARRAY_LEN(small_rows))
#define N_SLOTS 16384u

_Static_assert(N_ROWS < N_SLOTS * 3 / 4, "the table of runs has room");

// Runs by hash: three units of 16 bits and the number of the row; 0 is free.
static uint64_t slots[N_SLOTS];

// ---- characters ----

static enum script script_of(uint32_t c)
{
    static const struct {
        uint16_t first, last;
        enum script script;
    } t[] = {
        {0x00C0, 0x00D6, LATIN},      {0x00D8, 0x00F6, LATIN},      {0x00F8, 0x024F, LATIN},
        {0x0388, 0x03FF, GREEK},      {0x0400, 0x052F, CYRILLIC},   {0x05D0, 0x05EA, HEBREW},
        {0x0600, 0x061E, ARABIC},     {0x0620, 0x065F, ARABIC},     {0x066E, 0x077F, ARABIC},
        {0x0900, 0x0964, DEVANAGARI}, {0x0966, 0x097F, DEVANAGARI}, {0x0980, 0x09FF, BENGALI},
        {0x0A00, 0x0A7F, GURMUKHI},   {0x0A80, 0x0AFF, GUJARATI},   {0x0B80, 0x0BFF, TAMIL},
        {0x0C00, 0x0C7F, TELUGU},     {0x0C80, 0x0CFF, KANNADA},    {0x0D00, 0x0D7F, MALAYALAM},
        {0x0E01, 0x0E3E, THAI},       {0x0E40, 0x0E4E, THAI},       {0x1E00, 0x1EFF, LATIN},
        {0x2000, 0x206F, NO_SCRIPT},  {0x3000, 0x3011, HAN},        {0x3040, 0x30FF, KANA},
        {0x4E00, 0x9FFF, HAN},        {0xAC00, 0xD7AF, HANGUL},     {0xFF08, 0xFF0D, HAN},
        {0xFF1A, 0xFF1D, HAN},
    };
    if (c < 0x80) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ? LATIN : NO_SCRIPT;
    }
    if (c == 0xA0 || c == 0xAB || c == 0xB0 || c == 0xBB) {
        return NO_SCRIPT;
    }
    for (size_t i = 0; i < ARRAY_LEN(t) && c >= t[i].first; i++) {
        if (c <= t[i].last) {
            return t[i].script;
        }
    }
    return STRANGE_SCRIPT;
}

// One unit stands for all letters that tell the same: syllables of Hangul, Vietnamese vowels with
// two marks, each row of kana; and for letters that are coded in two ways.
static uint32_t folded(uint32_t c, enum script s)
{
    if (s == NO_SCRIPT) {
        return BLANK;
    }
    if (s == STRANGE_SCRIPT) {
        return STRANGER;
    }
    if (c < 0x219) {
        return c;
    }
    switch (c) {
    case 0x219:
        return 0x15F;
    case 0x21B:
        return 0x163;
    case 0x6CC:
        return 0x64A;
    default:
        break;
    }
    if (s == KANA) {
        return c < 0x30A0 ? 0x3042 : 0x30A2;
    }
    if (s == HANGUL) {
        return 0xAC00;
    }
    return s == LATIN && c >= 0x1EA0 ? 0x1EC3 : c;
}

// ---- reading ----

static bool in_address(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_' || c == '.';
}

static bool in_url(uint32_t c)
{
    return in_address(c) || (c < 0x80 && c != 0 && strchr("?&~;+=/#", (int)c));
}

// The length of a web address at text[i], or 0.
static size_t url_length(struct pyspan text, size_t i)
{
    if (text.cp[i] != 'h') {
        return 0;
    }
    struct pyspan rest = {text.cp + i, text.n - i};
    size_t head = pyspan_starts_with(rest, "http://")    ? 7
                  : pyspan_starts_with(rest, "https://") ? 8
                                                         : 0;
    size_t n = head;
    while (head && n < rest.n && n - head < 2076 && in_url(rest.cp[n])) {
        n++;
    }
    return n > head ? n : 0;
}

// The length of what follows the @ of a mail address, or 0 when that is none: a first part without
// dots and a second part, 255 characters each at most.
static size_t domain_length(struct pyspan text, size_t i)
{
    size_t first = 0, n = 0;
    while (i + n < text.n && n < first + 255 && in_address(text.cp[i + n])) {
        if (first == n && n < 255 && text.cp[i + n] != '.') {
            first++;
        }
        n++;
    }
    return first > 0 && n > 1 ? n : 0;
}

// A vowel and one of the five marks of Vietnamese tones as one letter, or 0.
static uint32_t with_tone(uint32_t vowel, uint32_t mark)
{
    static const char vowels[] = "AEIOUYaeiouy";
    static const uint16_t plain[3][12] = {
        {0xC0, 0xC8, 0xCC, 0xD2, 0xD9, 0x1EF2, 0xE0, 0xE8, 0xEC, 0xF2, 0xF9, 0x1EF3},
        {0xC1, 0xC9, 0xCD, 0xD3, 0xDA, 0xDD, 0xE1, 0xE9, 0xED, 0xF3, 0xFA, 0xFD},
        {0xC3, 0x1EBC, 0x128, 0xD5, 0x168, 0x1EF8, 0xE3, 0x1EBD, 0x129, 0xF5, 0x169, 0x1EF9}};
    size_t row = mark == 0x300 ? 0 : mark == 0x301 ? 1 : mark == 0x303 ? 2 : 3;
    if (row == 3 && mark != 0x309 && mark != 0x323) {
        return 0;
    }
    const char *at = vowel && vowel < 0x80 ? strchr(vowels, (int)vowel) : NULL;
    if (at) {
        return row < 3 ? plain[row][at - vowels] : 0x1EC3;
    }
    bool marked = vowel == 0xC2 || vowel == 0xCA || vowel == 0xD4 || vowel == 0xE2 ||
                  vowel == 0xEA || vowel == 0xF4 || vowel == 0x102 || vowel == 0x103 ||
                  vowel == 0x1A0 || vowel == 0x1A1 || vowel == 0x1AF || vowel == 0x1B0;
    return marked ? 0x1EC3 : 0;
}

// Fills `out` and returns the number of units. A mail address begins at most 64 characters before
// its @: `name` counts the characters already written that may turn out to be its beginning.
static size_t read_text(struct pyspan text, uint16_t out[LANGID_CHARS_MAX])
{
    size_t n = 0, name = 0;
    for (size_t i = 0; i < text.n && n < LANGID_CHARS_MAX;) {
        uint32_t c = text.cp[i];
        size_t skip = url_length(text, i);
        if (!skip && c == '@' && name > 0) {
            size_t domain = domain_length(text, i + 1);
            if (domain) {
                n -= name < 64 ? name : 64;
                skip = domain + 1;
            }
        }
        if (skip) {
            out[n++] = BLANK;
            name = 0;
            i += skip;
            continue;
        }
        uint32_t joined = i + 1 < text.n ? with_tone(c, text.cp[i + 1]) : 0;
        name = in_address(c) && !joined ? name + 1 : 0;
        i += joined ? 2 : 1;
        c = joined ? joined : c;
        out[n++] = (uint16_t)(c < STRANGER ? c : STRANGER);
    }
    return n;
}

// Latin letters are left out when they are fewer than half of the others: names and formulas in a
// text of another script.
static size_t drop_few_latin(uint16_t *cp, size_t n)
{
    size_t latin = 0, others = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        latin += cp[i] >= 'A' && cp[i] <= 'z';
        others += cp[i] >= 0x300 && (cp[i] < 0x1E00 || cp[i] > 0x1EFF);
    }
    if (2 * latin >= others) {
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        cp[kept] = cp[i];
        kept += cp[i] < 'A' || cp[i] > 'z';
    }
    return kept;
}

// ---- runs and their rows ----

static size_t slot_of(uint64_t run)
{
    return (size_t)((run * 0x9E3779B97F4A7C15u) >> 50);
}

static uint64_t run_of(const char *utf8)
{
    const unsigned char *s = (const unsigned char *)utf8;
    uint64_t run = 0;
    while (*s) {
        uint64_t c = *s++;
        if (c >= 0xE0) {
            c = (c & 0x0F) << 12 | (uint64_t)(s[0] & 0x3F) << 6 | (s[1] & 0x3F);
            s += 2;
        } else if (c >= 0xC0) {
            c = (c & 0x1F) << 6 | (s[0] & 0x3F);
            s++;
        }
        run = run << 16 | c;
    }
    return run;
}

static void unpack_tables(void)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        size_t small = i - ARRAY_LEN(latin_rows);
        uint64_t run =
            run_of(i < ARRAY_LEN(latin_rows) ? latin_rows[i].run : small_rows[small].run);
        size_t at = slot_of(run);
        while (slots[at]) {
            at = (at + 1) % N_SLOTS;
        }
        slots[at] = run << 16 | i;
    }
}

// The row of a run, or N_ROWS.
static size_t row_of(uint64_t run)
{
    for (size_t at = slot_of(run); slots[at]; at = (at + 1) % N_SLOTS) {
        if (slots[at] >> 16 == run) {
            return slots[at] & 0xFFFF;
        }
    }
    return N_ROWS;
}

// ---- scoring ----

struct tally {
    int32_t latin[N_LATIN + 1];    // the last one is for the NUL of a row
    int32_t small[N_SCRIPTS][SMALL_MAX];
    int32_t runs[N_SCRIPTS];
};

static void tally_run(struct tally *t, enum script s, uint64_t run)
{
    t->runs[s]++;
    size_t row = row_of(run);
    if (row < ARRAY_LEN(latin_rows)) {
        for (size_t k = 0; k < N_LATIN + 1; k++) {
            t->latin[k] += latin_rows[row].weight[k] - ROW_ZERO;
        }
    } else if (row < N_ROWS) {
        const char *weight = small_rows[row - ARRAY_LEN(latin_rows)].weight;
        for (size_t k = 0; k < SMALL_MAX && weight[k]; k++) {
            t->small[s][k] += weight[k] - ROW_ZERO;
        }
    }
}

struct unit {
    uint32_t c;
    enum script script;
    bool upper;
};

// The script that two neighbours share, a blank going with any; STRANGE_SCRIPT when they differ.
static enum script common_script(enum script a, enum script b)
{
    return a == NO_SCRIPT || a == b ? b : b == NO_SCRIPT ? a : STRANGE_SCRIPT;
}

// A letter that follows two capitals, or is the second of them, ends no run: of a word in capitals
// the first letter counts, and the last ones together with the blank behind them.
static void score_text(struct tally *t, const uint16_t *cp, size_t n)
{
    static const struct unit blank = {BLANK, NO_SCRIPT, false};
    struct unit before = blank, last = blank;
    bool has_before = false, capitals = false;
    for (size_t i = 0; i < n; i++) {
        struct unit now = {cp[i], script_of(cp[i]), false};
        now.c = folded(cp[i], now.script);
        if (last.script == NO_SCRIPT) {
            has_before = capitals = false;
            if (now.script == NO_SCRIPT) {
                continue;
            }
        }
        now.upper = now.c < 0x80 ? now.c >= 'A' && now.c <= 'Z' : py_isupper(now.c);
        capitals = now.upper && (capitals || last.upper);
        if (now.script != STRANGE_SCRIPT && !capitals) {
            enum script pair = common_script(last.script, now.script);
            enum script triple = common_script(before.script, pair);
            if (now.script != NO_SCRIPT) {
                tally_run(t, now.script, now.c);
            }
            if (pair < N_SCRIPTS) {
                tally_run(t, pair, (uint64_t)last.c << 16 | now.c);
            }
            if (pair < N_SCRIPTS && has_before && triple == pair) {
                tally_run(t, pair, (uint64_t)before.c << 32 | (uint64_t)last.c << 16 | now.c);
            }
        }
        before = last;
        last = now;
        has_before = true;
    }
}

// ---- the answer ----

static const char *best_language(const struct tally *t)
{
    int64_t score[N_LANGUAGES] = {0};
    for (size_t s = 0; s < N_SCRIPTS; s++) {
        for (size_t k = 0; k < N_LANGUAGES; k++) {
            score[k] += (int64_t)t->runs[s] * script_rows[s][k];
        }
        for (size_t k = 0; k < members[s].n; k++) {
            int32_t sum = s == LATIN ? t->latin[k] : k < SMALL_MAX ? t->small[s][k] : 0;
            score[members[s].language[k]] += (int64_t)sum * SCRIPT_FRACTION;
        }
    }
    size_t best = 0;
    for (size_t k = 1; k < N_LANGUAGES; k++) {
        best = score[k] > score[best] ? k : best;
    }
    return codes[best];
}

const char *langid_detect(struct pyspan text)
{
    static bool unpacked;
    if (!unpacked) {
        unpack_tables();
        unpacked = true;
    }
    uint16_t cp[LANGID_CHARS_MAX];
    struct tally t = {0};
    score_text(&t, cp, drop_few_latin(cp, read_text(text, cp)));
    for (size_t s = 0; s < N_SCRIPTS; s++) {
        if (t.runs[s]) {
            return best_language(&t);
        }
    }
    return NULL;
}

bool langid_known(struct pyspan code)
{
    for (size_t k = 0; k < N_LANGUAGES; k++) {
        if (pyspan_is(code, codes[k])) {
            return true;
        }
    }
    return false;
}

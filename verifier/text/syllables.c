// syllables.c: vowel groups, corrected for silent endings and for vowels that part.
//
// A group of vowels is a syllable; a final e is silent unless a consonant and l stand before it; so
// are -ed and -es where speech drops them; "ia", "io", "eo", "iu" and the like are two syllables
// unless they belong to an ending such as -tion. Exceptions: frequent words that the rules miss.
#include "verifier/text/syllables.h"

#include <string.h>

#include "common/base.h"

static const struct exception {
    const char *word;
    int n;
} EXCEPTIONS[] = {
    {"area", 3},       {"being", 2},     {"business", 2}, {"different", 3}, {"doing", 2},
    {"eye", 1},        {"eyes", 1},      {"every", 2},    {"everyone", 3},  {"everything", 3},
    {"going", 2},      {"idea", 3},      {"ideas", 3},    {"people", 2},    {"poem", 2},
    {"poet", 2},       {"quiet", 2},     {"science", 2},  {"something", 2}, {"sometimes", 2},
    {"someone", 2},    {"therefore", 2}, {"various", 3},  {"whole", 1},     {"create", 2},
    {"created", 3},    {"creating", 3},  {"creative", 3}, {"diet", 2},      {"fuel", 2},
    {"cruel", 2},      {"lion", 2},      {"riot", 2},     {"piano", 3},     {"museum", 3},
    {"recipe", 3},     {"maybe", 2},     {"cafe", 2},     {"real", 1},      {"really", 2},
    {"lives", 1},      {"sometime", 2},  {"lovely", 2},   {"safety", 2},    {"something's", 2},
    {"via", 2},        {"naive", 2},     {"reality", 4},  {"theory", 3},    {"video", 3},
    {"videos", 3},     {"usually", 4},   {"actually", 4}, {"society", 4},   {"variety", 4},
    {"experience", 4}, {"hour", 1},      {"our", 1},      {"fire", 1},      {"evening", 2},
};

static bool is_vowel(uint32_t c)
{
    return c > 0 && c < 0x80 && strchr("aeiouy", (int)c);
}

static uint32_t from_end(struct pyspan w, size_t i)
{
    return i < w.n ? w.cp[w.n - 1 - i] : 0;
}

static int vowel_groups(struct pyspan w)
{
    int n = 0;
    bool inside = false;
    for (size_t i = 0; i < w.n; i++) {
        bool vowel = is_vowel(w.cp[i]);
        n += vowel && !inside;
        inside = vowel;
    }
    return n;
}

static size_t count_of(struct pyspan w, const char *part)
{
    size_t n = 0, len = strlen(part);
    for (size_t at = pyspan_search_for(w, part, 0); at != PYSPAN_NONE;
         at = pyspan_search_for(w, part, at + len)) {
        n++;
    }
    return n;
}

// Endings whose last e is not heard.
static bool is_silent_ending(struct pyspan w)
{
    uint32_t before = from_end(w, 1), second = from_end(w, 2);
    if (from_end(w, 0) == 'e') {
        bool syllabic = before == 'l' && !is_vowel(second) && w.n > 2;
        return !is_vowel(before) && !syllabic;
    }
    if (pyspan_ends_with(w, "ed") && w.n > 3) {
        return !is_vowel(second) && second != 't' && second != 'd';
    }
    if (pyspan_ends_with(w, "es") && w.n > 3) {
        bool hissing = second == 's' || second == 'x' || second == 'z' || second == 'c' ||
                       second == 'g' || (second == 'h' && from_end(w, 3) != 't');
        bool syllabic = second == 'l' && !is_vowel(from_end(w, 3));
        return !is_vowel(second) && !hissing && !syllabic;
    }
    return false;
}

// Neighbouring vowels that are spoken apart.
static int parted_vowels(struct pyspan w)
{
    static const char *const apart[] = {"ia",  "io", "iu",   "eo",   "ua",  "ii",
                                        "uou", "yi", "eing", "oing", "iet", "uing"};
    static const char *const together[] = {"tion",  "sion",   "cial",  "tial",  "cian", "gion",
                                           "cious", "tious",  "gious", "xious", "xion", "qua",
                                           "gua",   "people", "eou",   "leo",   "geo",  "tia",
                                           "cia",   "sia",    "nion",  "shion", "llion"};
    size_t n = 0, less = 0;
    for (size_t i = 0; i < ARRAY_LEN(apart); i++) {
        n += count_of(w, apart[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(together); i++) {
        less += count_of(w, together[i]);
    }
    return n > less ? (int)(n - less) : 0;
}

int syllables_count(struct scratch *a, struct pyspan word)
{
    struct pyspan w = pytext_lower(a, word);
    for (size_t i = 0; i < w.n; i++) {
        if (py_isdecimal(w.cp[i])) {
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(EXCEPTIONS); i++) {
        if (pyspan_is(w, EXCEPTIONS[i].word)) {
            return EXCEPTIONS[i].n;
        }
    }
    int n = vowel_groups(w) - is_silent_ending(w) + parted_vowels(w);
    n += pyspan_ends_with(w, "sm");
    return MAX(n, 1);
}

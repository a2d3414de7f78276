// splitter.c: GPT-2's split and the cl100k family's (Llama 3, OLMo 2: digits in threes; Qwen: one
// by one), alternative by alternative in the order of the pattern.
//
//   GPT-2   's|'t|'re|'ve|'m|'ll|'d  ␣?L+  ␣?N+  ␣?other+                    white
//   cl100k  the same, any case       [^\r\n L N]?L+  N{1,3}  ␣?other+[\r\n]*  \s*[\r\n]+  white
//
// where "white" is \s+(?!\S)|\s+: a run of white space gives up its last character to the word that
// follows, unless it has only one or the text ends.

#include "model/splitter.h"

#include <stdbool.h>
#include <string.h>

#include "model/charclass.h"
#include "model/tokenizer_spec.h"

// The end of the run of characters of class c that goes on at i.
static size_t run(const uint8_t *p, size_t n, size_t i, enum charclass c)
{
    for (;;) {
        while (i < n && p[i] < 0x80 && CHARCLASS_ASCII[p[i]] == c) {
            i++;
        }
        size_t len;
        if (i >= n || p[i] < 0x80 || charclass_at_wide(p + i, n - i, &len) != c) {
            return i;
        }
        i += len;
    }
}

// Bytes of the suffix at p[i] == '\'', or 0. The long s is an s when case does not matter.
static size_t contraction(const uint8_t *p, size_t n, size_t i, bool any_case)
{
    size_t left = n - i;
    if (left < 2) {
        return 0;
    }
    uint8_t fold = any_case ? 0x20 : 0;
    uint8_t a = p[i + 1] | fold, b = left > 2 ? p[i + 2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return 2;
    }
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) {
        return 3;
    }
    return any_case && left > 2 && p[i + 1] == 0xC5 && p[i + 2] == 0xBF ? 3 : 0;
}

// The end of a match of \s+(?!\S)|\s+ at i, where white space is.
static size_t white(const uint8_t *p, size_t n, size_t i)
{
    size_t end = run(p, n, i, CHAR_WHITE), last = end;
    if (end == n) {
        return end;
    }
    do {
        last--;
    } while ((p[last] & 0xC0) == 0x80);
    return last > i ? last : end;
}

static size_t gpt2(const uint8_t *p, size_t n, size_t i)
{
    size_t len, start = i;
    if (p[i] == '\'') {
        len = contraction(p, n, i, false);
        if (len > 0) {
            return i + len;
        }
    }
    if (p[i] == ' ' && i + 1 < n) {
        start++;
    }
    enum charclass c = charclass_at(p + start, n - start, &len);
    return c == CHAR_WHITE ? white(p, n, i) : run(p, n, start + len, c);
}

// \s*[\r\n]+, or else the white space without line ends.
static size_t white_lines(const uint8_t *p, size_t n, size_t i)
{
    size_t end = run(p, n, i, CHAR_WHITE);
    for (size_t k = end; k > i; k--) {
        if (p[k - 1] == '\n' || p[k - 1] == '\r') {
            return k;
        }
    }
    return white(p, n, i);
}

static size_t numbers(const uint8_t *p, size_t n, size_t i, int max)
{
    size_t len;
    for (int k = 0; k < max && i < n; k++, i += len) {
        if (charclass_at(p + i, n - i, &len) != CHAR_NUMBER) {
            break;
        }
    }
    return i;
}

static size_t cl100k(const uint8_t *p, size_t n, size_t i, int max_digits)
{
    if (p[i] == '\'') {
        size_t len = contraction(p, n, i, true);
        if (len > 0) {
            return i + len;
        }
    }
    size_t len, next_len;
    enum charclass c = charclass_at(p + i, n - i, &len);
    if (c == CHAR_LETTER) {
        return run(p, n, i + len, CHAR_LETTER);
    }
    if (c == CHAR_NUMBER) {
        return numbers(p, n, i, max_digits);
    }
    if (i + len < n && p[i] != '\r' && p[i] != '\n') {
        enum charclass next = charclass_at(p + i + len, n - i - len, &next_len);
        if (next == CHAR_LETTER) {
            return run(p, n, i + len + next_len, CHAR_LETTER);
        }
        if (p[i] == ' ' && next == CHAR_OTHER) {
            c = CHAR_OTHER;
            len += next_len;
        }
    }
    if (c == CHAR_WHITE) {
        return white_lines(p, n, i);
    }
    i = run(p, n, i + len, CHAR_OTHER);
    while (i < n && (p[i] == '\r' || p[i] == '\n')) {
        i++;
    }
    return i;
}

static size_t llama3(const uint8_t *p, size_t n, size_t i)
{
    return cl100k(p, n, i, 3);
}

static size_t qwen2(const uint8_t *p, size_t n, size_t i)
{
    return cl100k(p, n, i, 1);
}

splitter_fn *splitter_find(const char *pattern)
{
    static const struct {
        const char *pattern;
        splitter_fn *fn;
    } known[] = {
        {SPEC_GPT2_PATTERN, gpt2},
        {SPEC_LLAMA3_PATTERN, llama3},
        {SPEC_QWEN2_PATTERN, qwen2},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(pattern, known[i].pattern) == 0) {
            return known[i].fn;
        }
    }
    return NULL;
}

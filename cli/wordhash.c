// wordhash.c: texts into words, a code point at a time, so that memory does not depend on the word.
//
// Each code point is decomposed and folded by itself (utf8proc); the order of the marks behind a
// letter is then made the canonical one within the word. ASCII, nearly all of most data, takes a
// shorter way to the same words.
#include "cli/wordhash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <utf8proc.h>
#include <xxhash.h>

enum { PARTS_MAX = 32 };    // code points that one decomposes into: 18 at most in Unicode

struct word {
    uint32_t cp[WORDHASH_WORD_MAX];
    size_t n;
    bool ascii;
};

static enum err push(struct wordhash *w, uint64_t hash)
{
    if (w->len == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 256;
        uint64_t *grown = realloc(w->v, cap * sizeof *grown);
        if (!grown) {
            return ERR_NOMEM;
        }
        w->v = grown;
        w->cap = cap;
    }
    w->v[w->len++] = hash;
    w->n_words += hash != 0;
    return ERR_OK;
}

static int combining_class(uint32_t c)
{
    return c < 0x80 ? 0 : (int)utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

// Marks of one letter by rising class, equal ones as they stood; a class of 0 is a letter.
static void order_marks(struct word *word)
{
    for (size_t i = 1; i < word->n; i++) {
        uint32_t c = word->cp[i];
        int class = combining_class(c);
        size_t at = i;
        while (class != 0 && at > 0 && combining_class(word->cp[at - 1]) > class) {
            word->cp[at] = word->cp[at - 1];
            at--;
        }
        word->cp[at] = c;
    }
}

static enum err end_word(struct wordhash *w, struct word *word)
{
    if (word->n == 0) {
        return ERR_OK;
    }
    if (!word->ascii) {
        order_marks(word);
    }
    uint64_t hash = XXH3_64bits(word->cp, word->n * sizeof *word->cp);
    word->n = 0;
    word->ascii = true;
    return push(w, hash ? hash : 1);
}

static enum err add_char(struct wordhash *w, struct word *word, uint32_t c)
{
    word->cp[word->n++] = c;
    word->ascii = word->ascii && c < 0x80;
    return word->n == WORDHASH_WORD_MAX ? end_word(w, word) : ERR_OK;
}

static bool in_word(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO;
}

static bool is_word_alone(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x31F0 && c <= 0x31FF) ||
           (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

static enum err add_part(struct wordhash *w, struct word *word, uint32_t c)
{
    if (!in_word(c)) {
        return end_word(w, word);
    }
    // A voiced kana is its letter and a mark: the mark stays with it.
    bool alone = is_word_alone(c) && combining_class(c) == 0;
    enum err e = alone ? end_word(w, word) : ERR_OK;
    if (!e && word->n > 0 && is_word_alone(word->cp[0]) && combining_class(c) == 0) {
        e = end_word(w, word);
    }
    return e ? e : add_char(w, word, c);
}

static enum err add_wide(struct wordhash *w, struct word *word, utf8proc_int32_t c)
{
    utf8proc_int32_t parts[PARTS_MAX];
    int bounds = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char(c, parts, PARTS_MAX,
                                (utf8proc_option_t)(UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE |
                                                    UTF8PROC_CASEFOLD | UTF8PROC_IGNORE),
                                &bounds);
    enum err e = n < 0 || n > PARTS_MAX ? end_word(w, word) : ERR_OK;
    for (utf8proc_ssize_t i = 0; i < n && n <= PARTS_MAX && !e; i++) {
        e = add_part(w, word, (uint32_t)parts[i]);
    }
    return e;
}

static enum err add_ascii(struct wordhash *w, struct word *word, uint8_t c)
{
    bool upper = c >= 'A' && c <= 'Z';
    if (!upper && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) {
        return end_word(w, word);
    }
    if (word->n > 0 && !word->ascii && is_word_alone(word->cp[0])) {
        enum err e = end_word(w, word);
        if (e) {
            return e;
        }
    }
    return add_char(w, word, upper ? (uint32_t)c + 32 : c);
}

enum err wordhash_add(struct wordhash *w, const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    struct word word = {.ascii = true};
    const size_t len_before = w->len, words_before = w->n_words;
    enum err e = ERR_OK;
    for (size_t at = 0; at < len && !e;) {
        if (s[at] < 0x80) {
            e = add_ascii(w, &word, s[at++]);
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t used = utf8proc_iterate(s + at, (utf8proc_ssize_t)(len - at), &c);
        e = used > 0 ? add_wide(w, &word, c) : end_word(w, &word);
        at += used > 0 ? (size_t)used : 1;
    }
    e = e ? e : end_word(w, &word);
    e = e ? e : push(w, 0);
    if (e) {
        w->len = len_before;
        w->n_words = words_before;
    }
    return e;
}

void wordhash_clear(struct wordhash *w)
{
    w->len = 0;
    w->n_words = 0;
}

void wordhash_fini(struct wordhash *w)
{
    free(w->v);
    *w = (struct wordhash){0};
}

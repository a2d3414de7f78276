// ifbench_lists.c: the three lists, each in the order of bsearch.
//
// Which words count is part of the rule, so the lists change only when the rule does. Possessive
// and contracted forms are missing from the stop words on purpose: words are runs of \w, so an
// apostrophe never gets here, while its parts ("don", "t") do.
#include "verifier/checks/ifbench_lists.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST 16    // bytes of the longest word, NUL included

// English function words as the stop-word ratio counts them.
static const char *const stop_words[] = {
    "a",          "about",   "above",   "after",      "again", "against", "ain",       "all",
    "am",         "an",      "and",     "any",        "are",   "aren",    "as",        "at",
    "be",         "because", "been",    "before",     "being", "below",   "between",   "both",
    "but",        "by",      "can",     "couldn",     "d",     "did",     "didn",      "do",
    "does",       "doesn",   "doing",   "don",        "down",  "during",  "each",      "few",
    "for",        "from",    "further", "had",        "hadn",  "has",     "hasn",      "have",
    "haven",      "having",  "he",      "her",        "here",  "hers",    "herself",   "him",
    "himself",    "his",     "how",     "i",          "if",    "in",      "into",      "is",
    "isn",        "it",      "its",     "itself",     "just",  "ll",      "m",         "ma",
    "me",         "mightn",  "more",    "most",       "mustn", "my",      "myself",    "needn",
    "no",         "nor",     "not",     "now",        "o",     "of",      "off",       "on",
    "once",       "only",    "or",      "other",      "our",   "ours",    "ourselves", "out",
    "over",       "own",     "re",      "s",          "same",  "shan",    "she",       "should",
    "shouldn",    "so",      "some",    "such",       "t",     "than",    "that",      "the",
    "their",      "theirs",  "them",    "themselves", "then",  "there",   "these",     "they",
    "this",       "those",   "through", "to",         "too",   "under",   "until",     "up",
    "ve",         "very",    "was",     "wasn",       "we",    "were",    "weren",     "what",
    "when",       "where",   "which",   "while",      "who",   "whom",    "why",       "will",
    "with",       "won",     "wouldn",  "y",          "you",   "your",    "yours",     "yourself",
    "yourselves",
};

// Pronouns, and the determiners that can stand alone.
static const char *const pronouns[] = {
    "all",        "any",       "anybody",   "anyone",     "anything",  "both",     "each",
    "either",     "everybody", "everyone",  "everything", "he",        "her",      "hers",
    "herself",    "him",       "himself",   "his",        "i",         "it",       "its",
    "itself",     "me",        "mine",      "my",         "myself",    "neither",  "nobody",
    "none",       "nothing",   "our",       "ours",       "ourselves", "she",      "some",
    "somebody",   "someone",   "something", "that",       "their",     "theirs",   "them",
    "themselves", "these",     "they",      "this",       "those",     "us",       "we",
    "what",       "whatever",  "which",     "whichever",  "who",       "whoever",  "whom",
    "whomever",   "whose",     "you",       "your",       "yours",     "yourself", "yourselves",
};

// The names that the instruction's own text spells out.
static const char *const names[] = {
    "Abigail",   "Alexander", "Amelia",      "Andrew", "Aria",     "Audrey", "Ava",      "Benjamin",
    "Charlotte", "Chloe",     "Christopher", "Claire", "Daniel",   "David",  "Elijah",   "Ella",
    "Emma",      "Ethan",     "Gabriel",     "Grace",  "Hannah",   "Harper", "Isabella", "Jackson",
    "Jacob",     "Jonathan",  "Joseph",      "Layla",  "Leo",      "Liam",   "Lily",     "Lucas",
    "Mason",     "Matthew",   "Mia",         "Nathan", "Nicholas", "Noah",   "Nora",     "Olivia",
    "Owen",      "Penelope",  "Ryan",        "Samuel", "Scarlett", "Sophia", "Stella",   "Thomas",
    "Victoria",  "Zoe",
};

static int compare(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

static bool listed(const char *const *list, size_t n, struct pyspan word)
{
    char key[LONGEST];
    if (word.n >= sizeof key) {
        return false;
    }
    for (size_t i = 0; i < word.n; i++) {
        if (word.cp[i] == 0 || word.cp[i] >= 0x80) {
            return false;
        }
        key[i] = (char)word.cp[i];
    }
    key[word.n] = 0;
    return bsearch(key, list, n, sizeof *list, compare);
}

bool ifbench_is_stop_word(struct pyspan word)
{
    return listed(stop_words, ARRAY_LEN(stop_words), word);
}

bool ifbench_is_pronoun(struct pyspan word)
{
    return listed(pronouns, ARRAY_LEN(pronouns), word);
}

bool ifbench_is_name(struct pyspan word)
{
    return listed(names, ARRAY_LEN(names), word);
}

// verbs.c: lists of our own and rules of spelling.
//
// What a text begins with is looked up as it stands (base forms, and irregular and auxiliary
// forms), then by its ending: a word in -ing or -ed that is long enough to have a stem counts as a
// participle. Words that are nouns as often as verbs ("water", "book") are left out, as a tagger
// without an imperative in its training calls them nouns. Only the first token is looked at; the
// tagger also looks at its neighbours, which is where the two differ.
#include "verifier/text/verbs.h"

#include <string.h>

#include "common/base.h"
#include "verifier/text/treebank.h"

static const char *const BASE[] = {
    "accept",    "achieve",   "add",       "admit",     "adopt",      "advise",     "agree",
    "allow",     "announce",  "appear",    "apply",     "appreciate", "approve",    "argue",
    "arrange",   "arrive",    "ask",       "assume",    "assure",     "attend",     "avoid",
    "be",        "become",    "begin",     "believe",   "belong",     "break",      "bring",
    "build",     "buy",       "calculate", "call",      "carry",      "catch",      "celebrate",
    "check",     "choose",    "clarify",   "clean",     "close",      "collect",    "combine",
    "come",      "compare",   "complete",  "compose",   "compute",    "consider",   "construct",
    "contain",   "continue",  "convert",   "correct",   "create",     "decide",     "define",
    "deliver",   "describe",  "determine", "develop",   "discover",   "discuss",    "divide",
    "do",        "don't",     "draw",      "earn",      "eat",        "embrace",    "employ",
    "enable",    "encourage", "engage",    "enhance",   "enjoy",      "ensure",     "enter",
    "establish", "evaluate",  "examine",   "expand",    "expect",     "explain",    "explore",
    "express",   "extend",    "fill",      "find",      "finish",     "fix",        "follow",
    "forget",    "gather",    "generate",  "get",       "give",       "go",         "grab",
    "grow",      "guess",     "happen",    "have",      "hear",       "help",       "hold",
    "identify",  "imagine",   "implement", "improve",   "include",    "increase",   "indulge",
    "inform",    "insert",    "install",   "introduce", "invest",     "invite",     "involve",
    "join",      "keep",      "know",      "learn",     "leave",      "let",        "list",
    "listen",    "live",      "locate",    "look",      "lose",       "maintain",   "make",
    "manage",    "meet",      "mention",   "modify",    "move",       "multiply",   "need",
    "note",      "notice",    "observe",   "obtain",    "offer",      "open",       "organize",
    "overcome",  "pay",       "perform",   "pick",      "please",     "prepare",    "prevent",
    "produce",   "promote",   "protect",   "prove",     "provide",    "publish",    "pull",
    "push",      "put",       "reach",     "read",      "realize",    "receive",    "recognize",
    "recommend", "reduce",    "refer",     "reflect",   "relax",      "remain",     "remember",
    "remove",    "repeat",    "replace",   "reply",     "respond",    "return",     "reveal",
    "rewrite",   "run",       "save",      "say",       "see",        "seek",       "select",
    "sell",      "send",      "serve",     "set",       "share",      "show",       "simplify",
    "sing",      "sit",       "solve",     "speak",     "specify",    "spend",      "stand",
    "start",     "stay",      "stir",      "stop",      "submit",     "subtract",   "summarize",
    "support",   "suppose",   "take",      "talk",      "teach",      "tell",       "thank",
    "think",     "transform", "translate", "try",       "turn",       "understand", "unlock",
    "use",       "utilize",   "verify",    "visit",     "wait",       "want",       "watch",
    "wear",      "welcome",   "write",
};

static const char *const FORMS[] = {
    "am",     "are",     "aren't",  "been",  "began",   "begun",      "being",  "bought", "broke",
    "broken", "brought", "built",   "came",  "chose",   "chosen",     "cut",    "did",    "didn't",
    "does",   "doesn't", "doing",   "don't", "done",    "drawn",      "drew",   "driven", "drove",
    "fallen", "fell",    "felt",    "found", "gave",    "given",      "gone",   "got",    "grew",
    "grown",  "had",     "hadn't",  "has",   "hasn't",  "haven't",    "having", "heard",  "held",
    "is",     "isn't",   "kept",    "knew",  "known",   "lay",        "led",    "left",   "let's",
    "lost",   "made",    "meant",   "met",   "paid",    "ran",        "read",   "risen",  "rose",
    "said",   "sat",     "saw",     "seen",  "sent",    "set",        "spent",  "spoke",  "spoken",
    "stood",  "taken",   "thought", "told",  "took",    "understood", "was",    "wasn't", "went",
    "were",   "weren't", "wore",    "worn",  "written", "wrote",
};

static const char *const NO_PARTICIPLES[] = {
    "according", "anything", "bed",       "beloved", "breed",      "bring",  "building", "ceiling",
    "creed",     "during",   "embed",     "evening", "everything", "feed",   "greed",    "hundred",
    "indeed",    "kindred",  "king",      "morning", "naked",      "need",   "nothing",  "ping",
    "pudding",   "red",      "ring",      "rugged",  "sacred",     "seed",   "shed",     "sibling",
    "sing",      "sled",     "something", "speed",   "spring",     "string", "thing",    "wedding",
    "weed",      "wicked",   "wing",
};

static bool in_list(const char *const *list, size_t n, struct pyspan word)
{
    for (size_t i = 0; i < n; i++) {
        if (pyspan_is(word, list[i])) {
            return true;
        }
    }
    return false;
}

static bool is_plain_word(struct pyspan s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!((s.cp[i] >= 'a' && s.cp[i] <= 'z') || s.cp[i] == '\'')) {
            return false;
        }
    }
    return s.n > 0;
}

bool verbs_starts_with_verb(struct scratch *a, struct pyspan text)
{
    struct pylist tokens = treebank_tokens(a, text);
    if (tokens.n == 0) {
        return false;
    }
    struct pyspan word = pytext_lower(a, tokens.v[0]);
    if (!is_plain_word(word)) {
        return false;
    }
    if (in_list(BASE, ARRAY_LEN(BASE), word) || in_list(FORMS, ARRAY_LEN(FORMS), word)) {
        return !(tokens.n > 1 && pyspan_is(tokens.v[1], "."));
    }
    bool participle = (pyspan_ends_with(word, "ing") && word.n > 5) ||
                      (pyspan_ends_with(word, "ed") && word.n > 4);
    return participle && !in_list(NO_PARTICIPLES, ARRAY_LEN(NO_PARTICIPLES), word);
}

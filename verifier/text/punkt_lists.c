// punkt_lists.c: the lists, and a binary search.
#include "verifier/text/punkt_lists.h"

#include <string.h>

#include "common/base.h"

static const char *const ABBREVIATIONS[] = {
    "a.c",     "a.d",   "a.j",  "a.m",  "a.t",  "adm",   "al",   "ala",  "apr",   "ariz",   "ark",
    "assn",    "aug",   "ave",  "b",    "b.c",  "b.f",   "bldg", "blvd", "brig",  "bros",   "c",
    "c.s",     "calif", "capt", "chg",  "cmdr", "co",    "col",  "colo", "comdr", "conn",   "corp",
    "cos",     "cpl",   "ct",   "d",    "d.c",  "d.h",   "dec",  "del",  "dept",  "dist",   "dr",
    "e",       "e.f",   "e.l",  "e.u",  "ed",   "est",   "f",    "f.g",  "f.j",   "feb",    "fla",
    "fri",     "ft",    "g",    "g.k",  "ga",   "gen",   "gov",  "h",    "h.c",   "h.f",    "hon",
    "i.m.s",   "ill",   "inc",  "ind",  "j",    "j.b",   "j.c",  "j.j",  "j.p",   "j.r",    "j.s",
    "jan",     "jr",    "k",    "k.k",  "kan",  "kans",  "ky",   "l",    "l.a",   "l.p",    "la",
    "lt",      "ltd",   "m",    "m.b",  "m.d",  "m.j",   "maj",  "mass", "md",    "messrs", "mfg",
    "mich",    "minn",  "miss", "mon",  "mont", "mr",    "mrs",  "ms",   "mt",    "n",      "n.c",
    "n.d",     "n.h",   "n.j",  "n.m",  "n.y",  "neb",   "nev",  "nov",  "oct",   "okla",   "ore",
    "p",       "p.a",   "p.m",  "pa",   "penn", "pfc",   "ph.d", "prof", "pvt",   "r",      "r.h",
    "r.i",     "r.j",   "r.t",  "rep",  "reps", "rev",   "s",    "s.c",  "s.d",   "s.g",    "s.p",
    "sat",     "sec",   "sen",  "sens", "sep",  "sept",  "sgt",  "sr",   "st",    "sta",    "ste",
    "supt",    "t",     "t.j",  "tenn", "tex",  "thurs", "tues", "u.k",  "u.n",   "u.s",    "u.s.a",
    "u.s.s.r", "univ",  "v",    "v.f",  "va",   "vs",    "vt",   "w",    "w.r",   "w.va",   "w.w",
    "wash",    "wed",   "wis",  "wyo",  "yr",
};

static const char *const STARTERS[] = {
    "a",       "after",        "all",       "also",     "although", "among",  "an",      "and",
    "another", "any",          "as",        "at",       "because",  "before", "but",     "by",
    "despite", "during",       "each",      "earlier",  "even",     "every",  "finally", "first",
    "for",     "from",         "given",     "he",       "her",      "here",   "his",     "however",
    "i",       "if",           "in",        "indeed",   "instead",  "it",     "its",     "last",
    "later",   "many",         "meanwhile", "moreover", "most",     "mr",     "mrs",     "ms",
    "my",      "nevertheless", "no",        "nor",      "not",      "now",    "of",      "on",
    "once",    "one",          "only",      "other",    "our",      "out",    "perhaps", "she",
    "since",   "so",           "some",      "still",    "such",     "that",   "the",     "their",
    "then",    "there",        "therefore", "these",    "they",     "this",   "those",   "though",
    "thus",    "to",           "under",     "unlike",   "until",    "we",     "when",    "whether",
    "while",   "with",         "yet",       "you",      "your",
};

static const char *const COMMON[] = {
    "a",          "able",       "about",       "above",      "across",
    "act",        "add",        "after",       "again",      "against",
    "age",        "ago",        "agree",       "ahead",      "air",
    "all",        "allow",      "almost",      "alone",      "along",
    "already",    "also",       "although",    "always",     "am",
    "among",      "amount",     "an",          "and",        "animal",
    "another",    "answer",     "any",         "anyone",     "anything",
    "appear",     "apply",      "are",         "area",       "around",
    "arrive",     "art",        "as",          "ask",        "at",
    "attention",  "away",       "baby",        "back",       "bad",
    "ball",       "bank",       "base",        "be",         "beautiful",
    "became",     "because",    "become",      "bed",        "been",
    "before",     "began",      "begin",       "being",      "believe",
    "below",      "best",       "better",      "between",    "big",
    "bird",       "black",      "blue",        "board",      "boat",
    "body",       "book",       "born",        "both",       "box",
    "boy",        "bring",      "brother",     "brought",    "build",
    "building",   "business",   "but",         "buy",        "by",
    "call",       "came",       "can",         "cannot",     "car",
    "care",       "carry",      "case",        "cat",        "cause",
    "center",     "central",    "century",     "certain",    "change",
    "character",  "child",      "children",    "choose",     "city",
    "class",      "clean",      "clear",       "close",      "cold",
    "color",      "come",       "common",      "community",  "company",
    "compare",    "complete",   "consider",    "contain",    "continue",
    "control",    "cost",       "could",       "country",    "course",
    "cover",      "create",     "cross",       "cry",        "cut",
    "dance",      "dark",       "day",         "deal",       "death",
    "decide",     "deep",       "depend",      "describe",   "design",
    "despite",    "develop",    "did",         "die",        "difference",
    "different",  "difficult",  "dinner",      "direct",     "do",
    "does",       "dog",        "done",        "door",       "down",
    "draw",       "dream",      "drive",       "drop",       "dry",
    "due",        "during",     "each",        "early",      "earth",
    "easily",     "east",       "easy",        "eat",        "effect",
    "eight",      "either",     "else",        "end",        "energy",
    "enjoy",      "enough",     "enter",       "entire",     "especially",
    "even",       "evening",    "ever",        "every",      "everyone",
    "everything", "exactly",    "example",     "except",     "expect",
    "experience", "explain",    "eye",         "face",       "fact",
    "fall",       "family",     "far",         "farm",       "fast",
    "father",     "feel",       "feet",        "felt",       "few",
    "field",      "fight",      "fill",        "final",      "finally",
    "find",       "fine",       "finish",      "fire",       "first",
    "fish",       "five",       "floor",       "flower",     "fly",
    "follow",     "food",       "foot",        "for",        "force",
    "form",       "found",      "four",        "free",       "friend",
    "friends",    "from",       "front",       "full",       "fun",
    "further",    "future",     "game",        "garden",     "gave",
    "general",    "get",        "girl",        "give",       "given",
    "glass",      "go",         "gold",        "gone",       "good",
    "got",        "government", "great",       "green",      "ground",
    "group",      "grow",       "guess",       "had",        "half",
    "hand",       "happen",     "happy",       "hard",       "has",
    "have",       "having",     "he",          "head",       "health",
    "hear",       "heard",      "heart",       "heat",       "heavy",
    "held",       "help",       "her",         "here",       "herself",
    "high",       "him",        "himself",     "his",        "history",
    "hold",       "home",       "hope",        "horse",      "hot",
    "hour",       "house",      "however",     "hundred",    "idea",
    "if",         "imagine",    "important",   "in",         "include",
    "increase",   "indeed",     "information", "inside",     "instead",
    "interest",   "into",       "is",          "island",     "issue",
    "it",         "its",        "itself",      "job",        "join",
    "just",       "keep",       "kept",        "key",        "kind",
    "knew",       "know",       "knowledge",   "land",       "language",
    "large",      "last",       "late",        "later",      "laugh",
    "law",        "lead",       "learn",       "least",      "leave",
    "led",        "left",       "less",        "let",        "letter",
    "level",      "life",       "light",       "like",       "likely",
    "line",       "list",       "listen",      "little",     "live",
    "local",      "long",       "look",        "lose",       "lost",
    "lot",        "love",       "low",         "machine",    "made",
    "main",       "major",      "make",        "making",     "man",
    "many",       "map",        "mark",        "market",     "matter",
    "may",        "maybe",      "me",          "mean",       "means",
    "meanwhile",  "measure",    "meet",        "member",     "men",
    "method",     "middle",     "might",       "mind",       "minute",
    "miss",       "moment",     "money",       "month",      "more",
    "moreover",   "morning",    "most",        "mother",     "move",
    "much",       "music",      "must",        "my",         "myself",
    "name",       "nation",     "natural",     "nature",     "near",
    "nearly",     "necessary",  "need",        "never",      "nevertheless",
    "new",        "next",       "night",       "nine",       "no",
    "none",       "nor",        "not",         "note",       "nothing",
    "notice",     "now",        "number",      "object",     "of",
    "off",        "offer",      "office",      "often",      "oh",
    "old",        "on",         "once",        "one",        "only",
    "onto",       "open",       "opportunity", "or",         "order",
    "other",      "others",     "our",         "out",        "outside",
    "over",       "own",        "page",        "paint",      "pair",
    "paper",      "parent",     "part",        "particular", "party",
    "pass",       "past",       "pattern",     "pay",        "people",
    "perhaps",    "period",     "person",      "picture",    "piece",
    "place",      "plan",       "plant",       "play",       "please",
    "point",      "policy",     "poor",        "position",   "possible",
    "power",      "present",    "president",   "press",      "price",
    "probably",   "problem",    "process",     "produce",    "product",
    "program",    "provide",    "public",      "pull",       "push",
    "put",        "question",   "quick",       "quickly",    "quiet",
    "quite",      "race",       "rain",        "raise",      "ran",
    "rather",     "reach",      "read",        "ready",      "real",
    "really",     "reason",     "receive",     "recent",     "red",
    "remember",   "report",     "research",    "rest",       "result",
    "return",     "right",      "river",       "road",       "rock",
    "room",       "round",      "rule",        "run",        "safe",
    "said",       "same",       "saw",         "say",        "school",
    "sea",        "season",     "second",      "see",        "seem",
    "seen",       "sell",       "send",        "sense",      "sent",
    "sentence",   "service",    "set",         "seven",      "several",
    "shape",      "share",      "she",         "short",      "should",
    "show",       "side",       "similar",     "simple",     "simply",
    "since",      "sing",       "single",      "sit",        "six",
    "size",       "sleep",      "slow",        "small",      "smile",
    "so",         "social",     "society",     "some",       "someone",
    "something",  "sometimes",  "son",         "song",       "soon",
    "sound",      "south",      "space",       "speak",      "special",
    "specific",   "spend",      "spring",      "stand",      "star",
    "start",      "state",      "stay",        "step",       "still",
    "stood",      "stop",       "store",       "story",      "street",
    "strong",     "student",    "study",       "subject",    "such",
    "suddenly",   "summer",     "sun",         "support",    "sure",
    "system",     "table",      "take",        "talk",       "teach",
    "team",       "tell",       "ten",         "term",       "test",
    "than",       "thank",      "that",        "the",        "their",
    "them",       "themselves", "then",        "there",      "therefore",
    "these",      "they",       "thing",       "things",     "think",
    "third",      "this",       "those",       "though",     "thought",
    "thousand",   "three",      "through",     "throughout", "thus",
    "time",       "to",         "today",       "together",   "told",
    "too",        "took",       "top",         "toward",     "town",
    "trade",      "tree",       "trip",        "trouble",    "true",
    "try",        "turn",       "two",         "type",       "under",
    "understand", "unit",       "until",       "up",         "upon",
    "us",         "use",        "used",        "usually",    "value",
    "various",    "very",       "view",        "visit",      "voice",
    "wait",       "walk",       "wall",        "want",       "war",
    "warm",       "was",        "watch",       "water",      "way",
    "we",         "week",       "weight",      "well",       "went",
    "were",       "west",       "whatever",    "wheel",      "when",
    "whenever",   "whether",    "while",       "white",      "whole",
    "whom",       "whose",      "wide",        "wife",       "will",
    "wind",       "window",     "winter",      "wish",       "with",
    "within",     "without",    "woman",       "women",      "wonder",
    "wood",       "word",       "words",       "work",       "world",
    "would",      "write",      "writing",     "wrong",      "year",
    "years",      "yellow",     "yes",         "yet",        "you",
    "young",      "your",       "yours",       "yourself",
};

static bool in_list(const char *const *list, size_t n, const char *word, size_t len)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strncmp(list[middle], word, len);
        if (order == 0 && list[middle][len] == '\0') {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

bool punkt_is_abbreviation(const char *word, size_t len)
{
    return in_list(ABBREVIATIONS, ARRAY_LEN(ABBREVIATIONS), word, len);
}

bool punkt_is_starter(const char *word, size_t len)
{
    return in_list(STARTERS, ARRAY_LEN(STARTERS), word, len);
}

bool punkt_is_common(const char *word, size_t len)
{
    return in_list(COMMON, ARRAY_LEN(COMMON), word, len);
}

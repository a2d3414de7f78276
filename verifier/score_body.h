// score_body.h: the body of POST /score: bytes from anybody in, scoring requests out.
//
//   {"items": [item…]}  or  [item…], where an item is
//   {"dataset": "gsm8k" | ["gsm8k", …],       either this or "checks", or both
//    "checks": [{"id", "kwargs", …}…],
//    "ground_truth": any JSON value,
//    "response": "text",                      required
//    "prompt": "text",
//    "finish": "stop" | "length",             "length": cut at the limit; default "stop"
//    "reward": {…}}                           policy of score.h
//
// null counts as absent; other keys are refused, so that a misspelt one is not passed over. What is
// inside dataset, checks, ground_truth and reward is judged by the workers, item by item: a mistake
// there makes one item unscored, not the request wrong.
//
// Limits: SCORE_BODY_ITEMS items, SCORE_BODY_VALUES JSON values (a parsed value takes up to 200
// bytes, so the text's size alone would not bound the memory), SCORE_TEXT_MAX bytes a text, 64
// levels. The whole body is the caller's to bound. Pure function, any thread.
#ifndef CARAVAN_VERIFIER_SCORE_BODY_H
#define CARAVAN_VERIFIER_SCORE_BODY_H

#include "verifier/score.h"

#define SCORE_BODY_ITEMS 4096
#define SCORE_BODY_VALUES (1u << 18)

struct score_body_item {
    struct score_request request;    // its texts lie in memory
    char *memory;                    // owned
};

struct score_body {
    struct score_body_item *items;
    size_t n;
    size_t len_bytes;    // of all texts
};

// ERR_INVALID or ERR_LIMIT with the place: "items[3].finish: the string "end", expected …";
// ERR_NOMEM.
MUST_CHECK enum err score_body_parse(const char *text, size_t len, struct score_body *out,
                                     struct why *why);
void score_body_fini(struct score_body *b);              // zeroed struct is fine
void score_body_fini_item(struct score_body_item *i);    // earlier, when it is not needed any more

#endif

// askbook.h: the plug-in checks of one request, as a worker sees them that hosts no plug-in.
//
// A worker that meets a check it does not know, in a request that may ask, collects what the check
// needs and gives it back to the pool (ASK). The pool has the plug-ins answer and sends the request
// again with `answers`; this time every check has its value and the verdict is made as always:
// weights, gates and shaping know no difference. So any mix of built-in and plug-in checks works in
// one row, and a plug-in never shares a process with anything but itself.
//
// answers is a JSON list in the order of the questions:
//   {"id", "version", "value": 0…1} | {"id", "version", "undecided": "why"} | {"id", "unknown": true}
// A request that is only read asks whether the checks exist.
#ifndef CARAVAN_VERIFIER_ASKBOOK_H
#define CARAVAN_VERIFIER_ASKBOOK_H

#include <jansson.h>

#include "common/buf.h"
#include "verifier/jobframe.h"

struct askbook {
    bool only_read;
    json_t *answers;    // NULL: asking
    size_t next;        // answer
    struct jobframe_call calls[JOBFRAME_MAX_CALLS];
    size_t n_calls;
    char names[JOBFRAME_MAX_CALLS][SCORE_ID_BYTES];
    size_t n_names;
    json_t *kept;    // copies of the calls' texts
    struct score_resolver resolver;
};

// Scores the request, by its answers when it has some, and fills either *out or book->calls: n_calls
// > 0 says which. The calls' texts stay valid until the next use of the book.
void askbook_run(struct askbook *book, const struct score_request *req, struct score_result *out);

#endif

// score_http.h: the verifier as a service for others: POST /score, and pages about it.
//
//   HTTP thread: body ─▶ score_body ─▶ mailbox ─▶ loop thread: items into the pool, a few of each
//   request in turn ─▶ verdicts ─▶ answer, when the last item of the request is done
//
// Answer: {"results": [{"outcome": "score"|"zero"|"unscored", "reward": number, null if unscored,
// "cause": "" unless unscored, "components": [{"id", "version", "value", "weight"}…]}…]}, in the
// order of the items. Errors: {"error": text}.
//
// Limits (with those of score_body.h): 32 MiB a body, complete within 60 s; 32 requests at once and
// 256 MiB of their texts, else 503 with Retry-After. Items are given to the pool while its
// queue is shorter than twice the workers, so that a learner's jobs always find room.
//
// Everything but the creation's two HTTP handlers is on the loop thread.
#ifndef CARAVAN_VERIFIER_SCORE_HTTP_H
#define CARAVAN_VERIFIER_SCORE_HTTP_H

#include "verifier/score_pages.h"
#include "verifier/workpool.h"

#define SCORE_HTTP_REQUESTS 32
#define SCORE_HTTP_BODY_MAX ((size_t)32 << 20)
#define SCORE_HTTP_TEXTS_MAX ((size_t)256 << 20)

struct score_http;

// Listens at once; requests wait until score_http_use. token: NULL = none, then only loopback can be
// bound. room: the pool's queue is kept this short, 1 or more.
MUST_CHECK enum err score_http_create(uv_loop_t *loop, const char *address, const char *token,
                                      uint32_t room, struct score_http **out, struct why *why);
const char *score_http_address(const struct score_http *f);    // as bound
void score_http_use(struct score_http *f, struct workpool *pool);
void score_http_plugins(struct score_http *f);    // what the pool's plug-ins offer has changed
// From now on /healthz is fine. detail: "sandbox=full".
void score_http_ready(struct score_http *f, const char *detail);
// How it stands with the learner, for the pages.
void score_http_learner(struct score_http *f, const struct score_learner *l);
// A job of the pool that came another way, for /metrics.
void score_http_observe(struct score_http *f, const struct score_result *r, uint32_t elapsed_us);
// Several times a second: what found the pool full is tried again, and requests whose client went
// away are given up.
void score_http_tick(struct score_http *f);
// Answers 503 from now on: what is in the pool when its job ends, all else at once. Before
// workpool_close.
void score_http_close(struct score_http *f);
// After the loop has ended, before workpool_destroy. NULL is fine.
void score_http_destroy(struct score_http *f);

#endif

// http_post.h: POST requests from their headers to the answer; the half of http.c that waits.
// Internal to proto.
//
//   headers ─▶ accept ─▶ body, piece by piece ─▶ connection suspended, post() ─▶ … reply, from any
//   thread ─▶ connection resumed ─▶ answer queued ─▶ completed
//
// All but http_exchange_reply and http_posts_settle runs on the listener's one HTTP thread.
#ifndef CARAVAN_PROTO_HTTP_POST_H
#define CARAVAN_PROTO_HTTP_POST_H

#include <microhttpd.h>

#include "proto/http.h"

struct http_posts;

struct http_posts *http_posts_create(const struct http_posting *p);    // NULL: out of memory
// Waits, a second at most, until the answers that were given have been sent.
void http_posts_settle(struct http_posts *p);
void http_posts_destroy(struct http_posts *p);    // after the daemon; NULL is fine

// One call of libmicrohttpd's access handler for a POST.
enum MHD_Result http_post_request(struct http_posts *p, struct MHD_Connection *c, const char *path,
                                  const char *upload, size_t *upload_len, void **per_request);
void http_post_completed(struct http_exchange *x);

// Queues an answer; the reply's body changes hands. (http.c)
enum MHD_Result http_post_send(struct MHD_Connection *c, const struct http_reply *r);

#endif

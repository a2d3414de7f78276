// mailbox.h: a bounded queue of owned pointers between threads; the only thing loop and compute
// threads share.
//
// Any number of senders, one receiver. A full box refuses (ERR_FULL): the sender slows its source,
// nothing is dropped. The receiver is either a libuv loop (wake callback through uv_async) or a
// thread blocking in mailbox_wait.
#ifndef CARAVAN_COMMON_MAILBOX_H
#define CARAVAN_COMMON_MAILBOX_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct mailbox;
typedef struct uv_loop_s uv_loop_t;
// Called on the loop thread; drain with mailbox_try_recv until NULL.
typedef void mailbox_wake_fn(void *arg);

// For mailbox_wait receivers.
MUST_CHECK enum err mailbox_create(size_t capacity, struct mailbox **out);
MUST_CHECK enum err mailbox_create_uv(size_t capacity, uv_loop_t *loop, mailbox_wake_fn *wake,
                                      void *arg, struct mailbox **out);
// After close: sends fail with ERR_CLOSED, waits return what is left and then NULL. On a uv box:
// call on the loop thread, its handle is closed too.
void mailbox_close(struct mailbox *m);
// Frees the box (closed and drained by the caller; for a uv box after the loop has run the handle's
// close). NULL is fine.
void mailbox_destroy(struct mailbox *m);

// ERR_OK: ownership moved; ERR_FULL or ERR_CLOSED: it did not.
MUST_CHECK enum err mailbox_send(struct mailbox *m, void *item);
void *mailbox_try_recv(struct mailbox *m);    // NULL when empty
// NULL on timeout or closed and empty.
void *mailbox_wait(struct mailbox *m, uint64_t timeout_ms);
size_t mailbox_len(struct mailbox *m);
size_t mailbox_capacity(const struct mailbox *m);

#endif

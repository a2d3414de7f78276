// bus_hangup.h: closes NNG sockets beside the loop thread. Internal to proto; only bus_*.c include
// it.
//
// nng_close of NNG 1.5.2 waits for the library's reaper, and the reaper can wait for ever for the
// end of a connection that was lost at an unlucky moment: about once in some hundred closes on a
// busy machine. A daemon must not hang on that when it stops, so the sockets are closed by a thread
// of their own and their owner waits for as long as it likes. What never closes is left to the end
// of the process.
#ifndef CARAVAN_PROTO_BUS_HANGUP_H
#define CARAVAN_PROTO_BUS_HANGUP_H

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>

enum { BUS_HANGUP_MAX = 4, BUS_HANGUP_PATIENCE_MS = 1000 };

struct bus_hangup;

// Takes over n sockets (at most BUS_HANGUP_MAX) whose operations have all been stopped. NULL when
// nothing is left to wait for: n is 0, or there was no thread to be had and they were closed here.
struct bus_hangup *bus_hangup_start(const nng_socket *socks, size_t n);
bool bus_hangup_done(struct bus_hangup *h);    // true for NULL
// Stops waiting; the thread ends by itself, whenever. NULL is fine.
void bus_hangup_forget(struct bus_hangup *h);

#endif

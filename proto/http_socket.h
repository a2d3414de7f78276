// http_socket.h: sockets for the HTTP face: HOST:PORT and unix paths, listening and connecting.
// Internal to proto.
//
// Both sides use the same forms of address, so a client reaches whatever a server was told to bind.
// Sockets are handed over as plain descriptors that the caller closes.
#ifndef CARAVAN_PROTO_HTTP_SOCKET_H
#define CARAVAN_PROTO_HTTP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { HTTP_ADDRESS_SIZE = 280 };    // HOST:PORT with the NUL; a DNS name has at most 253 bytes

// Binds and listens. bound: HOST:PORT with the port that was bound, host in the form given.
// ERR_BUSY when the address is in use.
MUST_CHECK enum err http_socket_listen(const char *address, int *fd, char bound[HTTP_ADDRESS_SIZE],
                                       struct why *why);
// Whether only this machine reaches what is bound.
bool http_socket_is_loopback(int fd);
// A unix socket with mode 0600; replaces the file of a dead process, refuses a live one (ERR_BUSY).
MUST_CHECK enum err http_socket_listen_unix(const char *path, int *fd, struct why *why);
// address: HOST:PORT, or a path (contains '/'). The socket is non-blocking. Deadline on the
// monotonic clock; name resolution does not count.
MUST_CHECK enum err http_socket_connect(const char *address, uint64_t deadline_ms, int *fd,
                                        struct why *why);
// Waits for poll(2) events until the deadline: ERR_OK or ERR_TIMEOUT (no text).
MUST_CHECK enum err http_socket_wait(int fd, short events, uint64_t deadline_ms);

#endif

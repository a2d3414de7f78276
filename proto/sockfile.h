// sockfile.h: the file of a unix socket: what may be bound over, and what may not. Internal to
// proto.
//
// Bus and HTTP listen on paths in the run folder, and a process that was killed leaves its socket
// file behind; binding over it must work, binding over a living one must not. The question is
// answered by connecting. Start-up code, blocking.
#ifndef CARAVAN_PROTO_SOCKFILE_H
#define CARAVAN_PROTO_SOCKFILE_H

#include <sys/un.h>

#include "common/err.h"

// Longest path of a unix socket, without the NUL.
#define SOCKFILE_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

MUST_CHECK enum err sockfile_address(const char *path, struct sockaddr_un *out, struct why *why);
// Removes the socket file that a dead process left at `path`. ERR_BUSY when somebody listens there,
// ERR_EXISTS when it is no socket. Two processes that start at the same moment can both pass; the
// lock of the run folder keeps that from happening.
MUST_CHECK enum err sockfile_make_way(const char *path, struct why *why);

#endif

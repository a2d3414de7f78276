// sockfile.c: telling a live unix socket from the file of a dead one.
//
// A process that is killed leaves its socket file behind, and bind(2) refuses the path for ever
// after. The file says nothing about its owner; connect(2) does: ECONNREFUSED means that nobody
// listens. Anything that is not a socket is left alone, since a mistyped path must not cost a user
// a file.
#include "proto/sockfile.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELLO_MS = 200 };

enum err sockfile_address(const char *path, struct sockaddr_un *out, struct why *why)
{
    size_t len = strlen(path);
    if (len == 0 || len > SOCKFILE_PATH_MAX) {
        return why_set(why, ERR_LIMIT, "socket path '%s': %zu bytes, expected 1..%zu", path, len,
                       SOCKFILE_PATH_MAX);
    }
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, path, len);
    return ERR_OK;
}

enum err sockfile_make_way(const char *path, struct why *why)
{
    struct sockaddr_un a;
    struct stat st;
    enum err e = sockfile_address(path, &a, why);
    if (e != ERR_OK) {
        return e;
    }
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? ERR_OK : why_set(why, ERR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISSOCK(st.st_mode)) {
        return why_set(why, ERR_EXISTS, "%s: exists and is no socket", path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return why_set(why, ERR_IO, "%s: socket: %s", path, strerror(errno));
    }
    int rc = connect(fd, (const struct sockaddr *)&a, sizeof a);
    int cause = rc == 0 ? 0 : errno;
    if (rc ==
        0) {    // let a bus listener say its hello: see bus_server.c on peers that leave too early
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)poll(&p, 1, HELLO_MS);
    }
    close(fd);
    if (rc == 0 || cause == EAGAIN) {    // EAGAIN: a live listener with a full backlog
        return why_set(why, ERR_BUSY, "%s: in use by another process", path);
    }
    if (cause != ECONNREFUSED) {
        return why_set(why, ERR_IO, "%s: connect: %s", path, strerror(cause));
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return why_set(why, ERR_IO, "%s: unlink: %s", path, strerror(errno));
    }
    return ERR_OK;
}

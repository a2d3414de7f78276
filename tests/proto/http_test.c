// http_test.c: the HTTP face as curl would see it, and the client against peers of all kinds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "proto/http.h"
#include "proto/http_socket.h"
#include "proto/sockfile.h"

enum { TIMEOUT_MS = 10000 };

struct fixture {
    char dir[64], socket[96];
    struct http_server *server;
    int n_requests;
};

static void handler(void *arg, const char *path, struct http_reply *out)
{
    struct fixture *f = arg;
    f->n_requests++;
    if (strcmp(path, "/status") == 0) {
        *out = (struct http_reply){.status = 200,
                                   .content_type = "application/json",
                                   .body = strdup("{\"step\":3}"),
                                   .len = 10};
    } else if (strcmp(path, "/empty") == 0) {
        *out = (struct http_reply){.status = 200, .content_type = "text/plain"};
    } else if (strcmp(path, "/large") == 0) {
        *out = (struct http_reply){.status = 200,
                                   .content_type = "text/plain",
                                   .body = calloc(1, 1 << 20),
                                   .len = 1 << 20};
    } else {
        *out = (struct http_reply){.status = 404,
                                   .content_type = "text/plain",
                                   .body = strdup("no such page\n"),
                                   .len = 13};
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "/tmp/caravan-http-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->socket, sizeof f->socket, "%s/http.sock", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_server_destroy(f->server);
    assert_int_equal(fs_remove_tree(f->dir, NULL), ERR_OK);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *address, const char *path)
{
    struct why why = {""};
    if (http_server_create(address, path, handler, f, &f->server, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
}

static void expect_page(const char *address, const char *path, int expected, const char *text)
{
    int status = 0;
    char *body = NULL;
    size_t len = 0;
    struct why why = {""};
    if (http_get(address, path, TIMEOUT_MS, 4096, &status, &body, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(status, expected);
    assert_int_equal(len, strlen(text));
    assert_string_equal(body, text);
    free(body);
}

static void expect_no_page(const char *address, const char *path, uint32_t timeout_ms,
                           enum err expected, const char *says)
{
    int status = -1;
    char *body = NULL;
    size_t len = 0;
    struct why why = {""};
    enum err e = http_get(address, path, timeout_ms, 4096, &status, &body, &len, &why);
    if (e != expected || strstr(why.text, says) == NULL) {
        fail_msg("got %s \"%s\", expected %s \"%s\"", err_text(e), why.text, err_text(expected),
                 says);
    }
    assert_null(body);
    assert_int_equal(status, -1);
}

// Sends bytes as they are and returns the beginning of the answer.
static void raw(const char *address, const char *request, char *answer, size_t size)
{
    int fd = -1;
    size_t got = 0;
    uint64_t deadline = clock_mono_ms() + TIMEOUT_MS;
    struct why why = {""};
    if (http_socket_connect(address, deadline, &fd, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (;;) {
        assert_int_equal(http_socket_wait(fd, POLLIN, deadline), ERR_OK);
        ssize_t n = recv(fd, answer + got, size - 1 - got, 0);
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
    }
    answer[got] = 0;
    close(fd);
}

// ---- server ----
static void pages_are_served_over_tcp_and_the_unix_socket(void **state)
{
    struct fixture *f = *state;
    start(f, "127.0.0.1:0", f->socket);
    const char *address = http_server_address(f->server);
    assert_int_equal(strncmp(address, "127.0.0.1:", 10), 0);
    assert_string_not_equal(address, "127.0.0.1:0");
    expect_page(address, "/status", 200, "{\"step\":3}");
    expect_page(f->socket, "/status", 200, "{\"step\":3}");
    expect_page(address, "/status?pretty=1", 200, "{\"step\":3}");
    expect_page(address, "/nothing", 404, "no such page\n");
    expect_page(address, "/empty", 200, "");
}

static void either_listener_may_stand_alone(void **state)
{
    struct fixture *f = *state;
    start(f, "", f->socket);
    assert_string_equal(http_server_address(f->server), "");
    expect_page(f->socket, "/status", 200, "{\"step\":3}");
    http_server_destroy(f->server);
    f->server = NULL;
    start(f, "localhost:0", NULL);
    expect_page(http_server_address(f->server), "/status", 200, "{\"step\":3}");
    struct http_server *s = NULL;
    assert_int_equal(http_server_create("", NULL, handler, f, &s, NULL), ERR_INVALID);
    assert_null(s);
}

// The status tells prompts and paths: other users of the machine do not get it through the socket.
static void the_socket_is_for_its_owner_and_goes_with_the_server(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    start(f, "", f->socket);
    assert_int_equal(stat(f->socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    http_server_destroy(f->server);
    f->server = NULL;
    assert_false(fs_exists(f->socket));
}

static void an_address_in_use_is_named(void **state)
{
    struct fixture *f = *state;
    struct http_server *s = NULL;
    struct why why = {""};
    start(f, "127.0.0.1:0", f->socket);
    const char *address = http_server_address(f->server);
    assert_int_equal(http_server_create(address, NULL, handler, f, &s, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, address));
    assert_int_equal(http_server_create("", f->socket, handler, f, &s, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, f->socket));
    assert_null(s);
    expect_page(f->socket, "/status", 200, "{\"step\":3}");
}

static void a_dead_socket_file_is_replaced_and_other_files_are_not(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un a;
    struct why why = {""};
    struct http_server *s = NULL;
    assert_int_equal(sockfile_address(f->socket, &a, NULL), ERR_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    start(f, "", f->socket);
    expect_page(f->socket, "/status", 200, "{\"step\":3}");
    http_server_destroy(f->server);
    f->server = NULL;
    assert_int_equal(fs_write_file(f->socket, "precious", 8, &why), ERR_OK);
    assert_int_equal(http_server_create("", f->socket, handler, f, &s, &why), ERR_EXISTS);
    assert_true(fs_exists(f->socket));
}

static void bad_addresses_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "127.0.0.1",       ":80",    "127.0.0.1:", "127.0.0.1:080", "127.0.0.1:x1",
        "127.0.0.1:65536", "::1:80", "[]:80"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_server *s = NULL;
        struct why why = {""};
        assert_int_equal(http_server_create(bad[i], NULL, handler, f, &s, &why), ERR_INVALID);
        assert_non_null(strstr(why.text, bad[i]));
        assert_null(s);
    }
    char path[300];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = 0;
    struct http_server *s = NULL;
    assert_int_equal(http_server_create("", path, handler, f, &s, NULL), ERR_LIMIT);
}

// Pages are read only: nothing that claims to change something gets as far as the daemon.
static void only_get_and_head_are_answered(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    start(f, "", f->socket);
    raw(f->socket,
        "POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        "Connection: close\r\n\r\nhi",
        answer, sizeof answer);
    assert_int_equal(strncmp(answer, "HTTP/1.1 405 ", 13), 0);
    assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
    raw(f->socket, "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer,
        sizeof answer);
    assert_int_equal(strncmp(answer, "HTTP/1.1 405 ", 13), 0);
    assert_int_equal(f->n_requests, 0);
    raw(f->socket, "HEAD /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer,
        sizeof answer);
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(answer, "Content-Length: 10\r\n"));
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");    // no body
}

static void long_paths_and_headers_are_refused(void **state)
{
    struct fixture *f = *state;
    char answer[4096], request[40000], x[32000];
    start(f, "", f->socket);
    memset(x, 'x', sizeof x);
    snprintf(request, sizeof request,
             "GET /%.600s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", x);
    raw(f->socket, request, answer, sizeof answer);
    assert_int_equal(strncmp(answer, "HTTP/1.1 414 ", 13), 0);
    snprintf(request, sizeof request,
             "GET /status HTTP/1.1\r\nHost: x\r\nX: %.30000s\r\nConnection: close\r\n\r\n", x);
    raw(f->socket, request, answer, sizeof answer);
    assert_int_not_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    assert_int_equal(f->n_requests, 0);
    expect_page(f->socket, "/status", 200, "{\"step\":3}");
}

// ---- client ----
static void a_body_over_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    start(f, "", f->socket);
    expect_no_page(f->socket, "/large", TIMEOUT_MS, ERR_LIMIT, "a body of 1048576 bytes");
    int status;
    char *body;
    size_t len;
    assert_int_equal(http_get(f->socket, "/large", TIMEOUT_MS, 1 << 20, &status, &body, &len, NULL),
                     ERR_OK);
    assert_int_equal(len, 1 << 20);
    free(body);
}

static void nobody_there_is_said_so(void **state)
{
    struct fixture *f = *state;
    start(f, "127.0.0.1:0", NULL);
    char address[64];
    snprintf(address, sizeof address, "%s", http_server_address(f->server));
    http_server_destroy(f->server);
    f->server = NULL;
    expect_no_page(address, "/status", TIMEOUT_MS, ERR_NOT_FOUND, "nobody listens there");
    expect_no_page(f->socket, "/status", TIMEOUT_MS, ERR_NOT_FOUND, "nobody listens there");
    expect_no_page("nonsense", "/status", TIMEOUT_MS, ERR_INVALID, "expected HOST:PORT");
    expect_no_page(f->socket, "status", TIMEOUT_MS, ERR_INVALID, "is no path of a page");
    expect_no_page(f->socket, "/a b", TIMEOUT_MS, ERR_INVALID, "is no path of a page");
}

// A peer that accepts one connection, reads the request, sends fixed bytes and closes (or holds,
// when bytes is NULL).
struct peer {
    pthread_t thread;
    int listener;
    const char *bytes;
};

static void *peer_main(void *arg)
{
    struct peer *p = arg;
    char request[2048];
    int fd = accept(p->listener, NULL, NULL);
    ssize_t n = recv(fd, request, sizeof request, 0);
    if (n > 0 && p->bytes != NULL) {
        n = send(fd, p->bytes, strlen(p->bytes), MSG_NOSIGNAL);
    } else {
        n = recv(fd, request, sizeof request, 0);    // until the client gives up
    }
    close(fd);
    return NULL;
}

static void with_peer(struct fixture *f, const char *bytes, uint32_t timeout_ms, enum err expected,
                      const char *says)
{
    struct peer p = {.bytes = bytes};
    assert_int_equal(http_socket_listen_unix(f->socket, &p.listener, NULL), ERR_OK);
    assert_int_equal(pthread_create(&p.thread, NULL, peer_main, &p), 0);
    if (expected == ERR_OK) {
        expect_page(f->socket, "/", 200, says);
    } else {
        expect_no_page(f->socket, "/", timeout_ms, expected, says);
    }
    pthread_join(p.thread, NULL);
    close(p.listener);
}

static void a_silent_peer_costs_no_more_than_the_deadline(void **state)
{
    uint64_t start_ms = clock_mono_ms();
    with_peer(*state, NULL, 200, ERR_TIMEOUT, "no answer in time");
    assert_in_range(clock_mono_ms() - start_ms, 199, TIMEOUT_MS);
}

static void strange_answers_are_named(void **state)
{
    struct fixture *f = *state;
    with_peer(f, "HTTP/1.0 200 OK\r\n\r\nup to the end", TIMEOUT_MS, ERR_OK, "up to the end");
    with_peer(f, "HTTP/1.1 200\r\ncontent-length: 2 \r\n\r\nok", TIMEOUT_MS, ERR_OK, "ok");
    with_peer(f, "220 mail.example.org ready\r\n", TIMEOUT_MS, ERR_CORRUPT, "is no HTTP");
    with_peer(f, "HTTP/1.1 20x OK\r\n\r\n", TIMEOUT_MS, ERR_CORRUPT, "is no HTTP");
    with_peer(f, "HTTP/1.1 999 OK\r\n\r\n", TIMEOUT_MS, ERR_CORRUPT, "is no HTTP");
    with_peer(f, "", TIMEOUT_MS, ERR_CORRUPT, "is no HTTP (0 bytes)");
    with_peer(f, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", TIMEOUT_MS, ERR_CLOSED,
              "closed after 5 of 9 bytes");
    with_peer(f, "HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\n", TIMEOUT_MS, ERR_CORRUPT,
              "content length '-9'");
    with_peer(f, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", TIMEOUT_MS,
              ERR_CORRUPT, "content length '99999999999999999999'");
    with_peer(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", TIMEOUT_MS,
              ERR_UNSUPPORTED, "transfer encoding 'chunked'");
}

static void an_endless_answer_is_cut(void **state)
{
    static char header[20000], body[6000] = "HTTP/1.1 200 OK\r\n\r\n";
    memset(header, 'h', sizeof header - 1);
    with_peer(*state, header, TIMEOUT_MS, ERR_CORRUPT, "is no HTTP (16384 bytes)");
    memset(body + strlen(body), 'b', sizeof body - 1 - strlen(body));
    with_peer(*state, body, TIMEOUT_MS, ERR_LIMIT, "a body over 4096 bytes");
}

// ---- posts ----

enum { BODY_MAX = 1000, BODIES_MAX = 1500, MANY = 24 };

// Takes posts to /echo; answers at once, or keeps the exchanges for the test.
struct desk {
    struct http_server *server;
    bool keep;
    pthread_mutex_t lock;
    pthread_cond_t came;
    size_t n;
    struct {
        struct http_exchange *exchange;
        char body[BODY_MAX + 1];
    } kept[MANY];
};

static bool accept_echo(void *arg, const char *path, struct http_reply *out)
{
    (void)arg;
    if (strcmp(path, "/echo") == 0) {
        return true;
    }
    *out = (struct http_reply){
        .status = 404, .content_type = "text/plain", .body = strdup("no\n"), .len = 3};
    return false;
}

static void echo(struct http_exchange *x, const char *body, size_t len)
{
    struct http_reply r = {.status = 200, .content_type = "text/plain", .len = len};
    r.body = malloc(len + 1);
    assert_non_null(r.body);
    memcpy(r.body, body, len);
    http_exchange_reply(x, &r);
}

static void on_echo(void *arg, struct http_exchange *x, const char *path, const char *body,
                    size_t len)
{
    struct desk *d = arg;
    assert_string_equal(path, "/echo");
    if (!d->keep) {
        echo(x, body, len);
        return;
    }
    pthread_mutex_lock(&d->lock);
    assert_true(d->n < MANY && len <= BODY_MAX);
    d->kept[d->n].exchange = x;
    memcpy(d->kept[d->n].body, body, len);
    d->kept[d->n].body[len] = 0;
    d->n++;
    pthread_cond_signal(&d->came);
    pthread_mutex_unlock(&d->lock);
}

static void desk_page(void *arg, const char *path, struct http_reply *out)
{
    (void)arg;
    (void)path;
    *out = (struct http_reply){
        .status = 200, .content_type = "text/plain", .body = strdup("page"), .len = 4};
}

static struct http_posting posting(struct desk *d)
{
    *d = (struct desk){.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    return (struct http_posting){.handler = desk_page,
                                 .accept = accept_echo,
                                 .post = on_echo,
                                 .arg = d,
                                 .body_max = BODY_MAX,
                                 .bodies_max = BODIES_MAX,
                                 .upload_ms = TIMEOUT_MS};
}

static const char *open_desk(struct desk *d, const char *address, const struct http_posting *p)
{
    struct why why = {""};
    if (http_server_create_posting(address, p, &d->server, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return http_server_address(d->server);
}

static int dial(const char *address)
{
    int fd = -1;
    struct why why = {""};
    if (http_socket_connect(address, clock_mono_ms() + TIMEOUT_MS, &fd, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

// Everything until the other side closes.
static void hear(int fd, char *answer, size_t size)
{
    uint64_t deadline = clock_mono_ms() + TIMEOUT_MS;
    size_t got = 0;
    ssize_t n;
    do {
        assert_int_equal(http_socket_wait(fd, POLLIN, deadline), ERR_OK);
        n = recv(fd, answer + got, size - 1 - got, 0);
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    answer[got] = 0;
    close(fd);
}

static void expect_answer(int fd, const char *status, const char *says)
{
    char answer[4096];
    hear(fd, answer, sizeof answer);
    if (strncmp(answer, status, strlen(status)) != 0 || strstr(answer, says) == NULL) {
        fail_msg("got \"%s\", expected %s and \"%s\"", answer, status, says);
    }
}

static int post(const char *address, const char *headers, const char *body)
{
    char request[4096];
    int fd = dial(address);
    snprintf(
        request, sizeof request,
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
        headers, strlen(body), body);
    say(fd, request);
    return fd;
}

static void a_posted_body_is_handed_over_whole(void **state)
{
    (void)state;
    struct desk d;
    struct http_posting p = posting(&d);
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    expect_answer(post(address, "", "{\"a\":1}"), "HTTP/1.1 200 ", "\r\n\r\n{\"a\":1}");
    expect_answer(post(address, "", ""), "HTTP/1.1 200 ", "Content-Length: 0\r\n");
    int fd = dial(address);
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\nabc\r\n");
    say(fd, "2\r\nde\r\n0\r\n\r\n");
    expect_answer(fd, "HTTP/1.1 200 ", "\r\n\r\nabcde");
    expect_page(address, "/any", 200, "page");
    http_server_destroy(d.server);
}

static void wait_for(struct desk *d, size_t n)
{
    pthread_mutex_lock(&d->lock);
    while (d->n < n) {
        pthread_cond_wait(&d->came, &d->lock);
    }
    pthread_mutex_unlock(&d->lock);
}

// The verdicts of one request come while others wait: an answer is bound to its exchange, not to
// the order of arrival, and pages are served meanwhile.
static void answers_come_from_other_threads_in_any_order(void **state)
{
    (void)state;
    struct desk d;
    int fds[MANY];
    struct http_posting p = posting(&d);
    p.bodies_max = BODY_MAX * MANY;
    d.keep = true;
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    for (int i = 0; i < MANY; i++) {
        char body[16];
        snprintf(body, sizeof body, "number %d.", i);
        fds[i] = post(address, "", body);
    }
    wait_for(&d, MANY);
    expect_page(address, "/any", 200, "page");
    for (size_t i = MANY; i-- > 0;) {
        echo(d.kept[i].exchange, d.kept[i].body, strlen(d.kept[i].body));
    }
    for (int i = 0; i < MANY; i++) {
        char body[24];
        snprintf(body, sizeof body, "\r\n\r\nnumber %d.", i);
        expect_answer(fds[i], "HTTP/1.1 200 ", body);
    }
    http_server_destroy(d.server);
}

// Who stops a server has answered everybody; the answers must not be lost with the connections.
static void answers_on_their_way_are_sent_before_the_server_goes(void **state)
{
    (void)state;
    struct desk d;
    struct http_posting p = posting(&d);
    d.keep = true;
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    int fd = post(address, "", "late");
    wait_for(&d, 1);
    echo(d.kept[0].exchange, "late", 4);
    http_server_destroy(d.server);
    expect_answer(fd, "HTTP/1.1 200 ", "\r\n\r\nlate");
}

// Nobody may fill the memory, nor send for ever.
static void bodies_over_the_limit_are_refused(void **state)
{
    (void)state;
    struct desk d;
    struct http_posting p = posting(&d);
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    static const char chunked[] = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n";
    char chunk[800];
    snprintf(chunk, sizeof chunk, "258\r\n%0600d\r\n", 0);    // 0x258 = 600
    int fd = dial(address);    // not one byte of the body is waited for
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    expect_answer(fd, "HTTP/1.1 413 ", "a body over 1000 bytes");
    fd = dial(address);
    say(fd, chunked);
    say(fd, chunk);
    say(fd, chunk);
    say(fd, "0\r\n\r\n");
    expect_answer(fd, "HTTP/1.1 413 ", "a body over 1000 bytes");
    fd = dial(address);
    say(fd, chunked);
    for (int i = 0; i < 4; i++) {
        (void)send(fd, chunk, strlen(chunk), MSG_NOSIGNAL);
    }
    expect_answer(fd, "", "");    // cut
    expect_answer(post(address, "", "after"), "HTTP/1.1 200 ", "after");
    http_server_destroy(d.server);
}

static void bodies_in_all_have_a_limit_too(void **state)
{
    (void)state;
    struct desk d;
    struct http_posting p = posting(&d);
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    int first = dial(address);
    say(first, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: "
               "close\r\nContent-Length: 1000\r\n\r\n");
    assert_int_equal(http_socket_wait(first, POLLIN, clock_mono_ms() + TIMEOUT_MS), ERR_OK);
    int second = dial(address);
    say(second, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 501\r\n\r\n");
    expect_answer(second, "HTTP/1.1 503 ", "Retry-After: 1\r\n");
    char body[BODY_MAX + 1];
    snprintf(body, sizeof body, "%01000d", 7);
    say(first, body);
    expect_answer(first, "HTTP/1.1 100 ", "7");
    snprintf(body, sizeof body, "%0501d", 8);
    expect_answer(post(address, "", body), "HTTP/1.1 200 ", "8");
    http_server_destroy(d.server);
}

static void a_path_that_takes_no_posts_says_so_before_the_body(void **state)
{
    (void)state;
    struct desk d;
    struct http_posting p = posting(&d);
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    int fd = dial(address);
    say(fd, "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    expect_answer(fd, "HTTP/1.1 404 ", "no\n");
    fd = dial(address);
    say(fd, "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    expect_answer(fd, "HTTP/1.1 405 ", "Allow: ");
    http_server_destroy(d.server);
}

// A silent client loses its connection, and so does one that sends a byte now and then.
static void slow_bodies_are_cut(void **state)
{
    (void)state;
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n";
    struct desk d;
    struct http_posting p = posting(&d);
    p.idle_s = 1;
    const char *address = open_desk(&d, "127.0.0.1:0", &p);
    int fd = dial(address);
    say(fd, head);
    say(fd, "x");
    expect_answer(fd, "", "");
    http_server_destroy(d.server);
    p = posting(&d);
    p.upload_ms = 100;
    address = open_desk(&d, "127.0.0.1:0", &p);
    fd = dial(address);
    say(fd, head);
    int n = 0;
    while (http_socket_wait(fd, POLLIN, clock_mono_ms() + 20) == ERR_TIMEOUT) {
        assert_true(++n < 500);
        (void)send(fd, "x", 1, MSG_NOSIGNAL);
    }
    close(fd);
    http_server_destroy(d.server);
}

static void others_need_the_token_and_this_machine_does_not(void **state)
{
    (void)state;
    struct desk d;
    struct why why = {""};
    struct http_posting p = posting(&d);
    assert_int_equal(http_server_create_posting("0.0.0.0:0", &p, &d.server, &why), ERR_DENIED);
    assert_non_null(strstr(why.text, "a token is needed"));
    p.token = "secret";
    const char *address = open_desk(&d, "0.0.0.0:0", &p);
    static const char *const wrong[] = {"",
                                        "Authorization: secret\r\n",
                                        "Authorization: Bearer secre\r\n",
                                        "Authorization: Bearer secrets\r\n",
                                        "Authorization: Bearer Secret\r\n",
                                        "Authorization: Bearer \r\n"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        expect_answer(post(address, wrong[i], "a"), "HTTP/1.1 401 ", "WWW-Authenticate: Bearer");
    }
    expect_answer(post(address, "Authorization: Bearer secret\r\n", "a"), "HTTP/1.1 200 ", "a");
    expect_answer(post(address, "authorization: bearer secret\r\n", "a"), "HTTP/1.1 200 ", "a");
    expect_page(address, "/status", 401, "expected Authorization: Bearer TOKEN\n");
    expect_page(address, "/healthz", 200, "page");
    http_server_destroy(d.server);
    address = open_desk(&d, "127.0.0.1:0", &p);
    expect_answer(post(address, "", "a"), "HTTP/1.1 200 ", "a");
    http_server_destroy(d.server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pages_are_served_over_tcp_and_the_unix_socket),
        TEST(either_listener_may_stand_alone),
        TEST(the_socket_is_for_its_owner_and_goes_with_the_server),
        TEST(an_address_in_use_is_named),
        TEST(a_dead_socket_file_is_replaced_and_other_files_are_not),
        TEST(bad_addresses_are_refused),
        TEST(only_get_and_head_are_answered),
        TEST(long_paths_and_headers_are_refused),
        TEST(a_body_over_the_limit_is_refused),
        TEST(nobody_there_is_said_so),
        TEST(a_silent_peer_costs_no_more_than_the_deadline),
        TEST(strange_answers_are_named),
        TEST(an_endless_answer_is_cut),
        cmocka_unit_test(a_posted_body_is_handed_over_whole),
        cmocka_unit_test(answers_come_from_other_threads_in_any_order),
        cmocka_unit_test(answers_on_their_way_are_sent_before_the_server_goes),
        cmocka_unit_test(bodies_over_the_limit_are_refused),
        cmocka_unit_test(bodies_in_all_have_a_limit_too),
        cmocka_unit_test(a_path_that_takes_no_posts_says_so_before_the_body),
        cmocka_unit_test(slow_bodies_are_cut),
        cmocka_unit_test(others_need_the_token_and_this_machine_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

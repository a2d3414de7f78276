// plugins_test.c: a folder of plug-ins of both kinds, through the pool: what they may do, what they
// cannot, and what happens when files come, change, are broken and go.
#include "tests/verifier/poolrig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static char folder[] = "/tmp/caravan-plugins-XXXXXX";

// ---- the folder ----

static void path_of(char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", folder, name);
}

// Puts a file there in one step, as a careful author does.
static void put_bytes(const char *name, const void *data, size_t len, mode_t mode)
{
    char path[256], draft[256];
    path_of(path, name);
    path_of(draft, ".draft");
    int fd = open(draft, O_CREAT | O_TRUNC | O_WRONLY, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    fchmod(fd, mode);
    close(fd);
    assert_int_equal(rename(draft, path), 0);
}

static void put_copy(const char *name, const char *from)
{
    int fd = open(from, O_RDONLY);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *data = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    put_bytes(name, data, (size_t)st.st_size, 0644);
    free(data);
}

static void put_script(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text), 0755);
}

static void remove_file(const char *name)
{
    char path[256];
    path_of(path, name);
    (void)unlink(path);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int empty_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"a.so", "b.so", "c.so", "d.so", "e.so", "p", "q", ".draft"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        remove_file(names[i]);
    }
    return 0;
}

// ---- rows ----

#define DO "[{\"id\":\"probe:do\"}]"

struct answer {
    bool done;
    enum score_outcome outcome;
    double reward;
    char cause[SCORE_CAUSE_BYTES];
    char version[SCORE_VERSION_BYTES];
    size_t n;
};

static void on_answer(void *arg, const struct score_result *r, uint32_t us)
{
    struct answer *a = arg;
    (void)us;
    assert_false(a->done);
    *a = (struct answer){.done = true, .outcome = r->outcome, .reward = r->reward};
    snprintf(a->cause, sizeof a->cause, "%s", r->cause);
    a->n = r->n_components;
    if (r->n_components > 0) {
        snprintf(a->version, sizeof a->version, "%s", r->components[0].version);
    }
}

static void submit(struct poolrig *r, const char *checks, const char *response, struct answer *a)
{
    struct score_request req = {.checks = support_text(checks),
                                .ground_truth = support_text("\"t\""),
                                .prompt = support_text("p"),
                                .response = support_text(response)};
    struct why why = {{0}};
    *a = (struct answer){0};
    assert_int_equal(workpool_submit(r->pool, &req, 0, on_answer, a, &why), ERR_OK);
}

static struct answer ask(struct poolrig *r, const char *checks, const char *response)
{
    struct answer a;
    submit(r, checks, response, &a);
    while (!a.done) {
        uv_run(r->loop, UV_RUN_ONCE);
    }
    return a;
}

static void open_pool(struct poolrig *r, enum conf_sandbox sandbox)
{
    struct workpool_config c = poolrig_config(sandbox);
    c.worker_binary = VERIFY_WORKER;
    c.plugins = folder;
    c.queue_max = 4096;
    c.n_workers = 2;
    c.deadline_ms = 2000;
    poolrig_open(r, &c);
    if (r->ready_err) {
        print_message("%s\n", r->ready_text);
        poolrig_close(r);
        skip();
    }
}

static void wait_for_refusal(struct poolrig *r, const char *text)
{
    for (;;) {
        const char *refusal;
        for (size_t i = 0; (refusal = plugins_refusal_at(workpool_plugins(r->pool), i)); i++) {
            if (strstr(refusal, text)) {
                return;
            }
        }
        uv_run(r->loop, UV_RUN_ONCE);
    }
}

static void expect(struct poolrig *r, const char *response, enum score_outcome outcome,
                   const char *cause)
{
    struct answer a = ask(r, DO, response);
    if (a.outcome != outcome || !strstr(a.cause, cause)) {
        print_message("%s: %s %g \"%s\"\n", response, score_outcome_name(a.outcome), a.reward,
                      a.cause);
    }
    assert_int_equal(a.outcome, outcome);
    assert_non_null(strstr(a.cause, cause));
}

// ---- shared objects ----

static void object_is_contained(enum conf_sandbox sandbox)
{
    struct poolrig r;
    put_copy("a.so", PROBE_PLUGIN);
    open_pool(&r, sandbox);
    expect(&r, "fine", SCORE_SCORED, "");
    expect(&r, "echo", SCORE_ZERO, "");    // no kwargs
    assert_int_equal(ask(&r, "[{\"id\":\"probe:do\",\"kwargs\":{\"k\":1}}]", "echo").outcome,
                     SCORE_SCORED);
    expect(&r, "undecided", SCORE_UNSCORED, "probe:do: I would rather not");
    expect(&r, "nan", SCORE_UNSCORED, "not between 0 and 1");
    expect(&r, "leave", SCORE_UNSCORED, "without an answer");
    // AddressSanitizer wants to say something about a crash first, which the walls refuse.
    expect(&r, "scribble", SCORE_UNSCORED, SANITIZED ? "plug-in " : "plug-in crash SIG");
    expect(&r, "abort", SCORE_UNSCORED, SANITIZED ? "plug-in " : "plug-in crash SIG");
    static const char *const denied[] = {"fork", "open", "socket", "reply", "kill", "exec"};
    for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
        expect(&r, denied[i], SCORE_UNSCORED, "plug-in sandbox SIGSYS");
        expect(&r, "fine", SCORE_SCORED, "");    // what they did to memory is forgotten
    }
    expect(&r, "spin", SCORE_UNSCORED, "timeout after 2000 ms");
    expect(&r, "fine", SCORE_SCORED, "");
    poolrig_close(&r);
}

static void an_object_is_contained_at_level_full(void **state)
{
    (void)state;
    object_is_contained(CONF_SANDBOX_FULL);
}

static void an_object_is_contained_at_level_seccomp(void **state)
{
    (void)state;
    object_is_contained(CONF_SANDBOX_SECCOMP);
}

static void built_in_and_plugged_in_checks_stand_in_one_row(void **state)
{
    (void)state;
    struct poolrig r;
    put_copy("a.so", PROBE_PLUGIN);
    put_copy("b.so", PROBE_PLUGIN_OTHER);
    open_pool(&r, CONF_SANDBOX_AUTO);
    struct answer a = ask(&r,
                          "[{\"id\":\"probe:do\",\"weight\":2},{\"id\":\"punctuation:no_comma\","
                          "\"weight\":0.5},{\"id\":\"probe:other\",\"weight\":0.25}]",
                          "fine");
    assert_true(a.reward == 2.75);
    assert_int_equal(a.n, 3);
    assert_non_null(strstr(a.version, "1+"));
    a = ask(&r, "[{\"id\":\"probe:do\"},{\"id\":\"probe:nobody\"}]", "fine");
    assert_non_null(strstr(a.cause, "unknown check \"probe:nobody\""));
    poolrig_close(&r);
}

static void what_is_wrong_with_a_file_is_said(void **state)
{
    (void)state;
    struct poolrig r;
    put_copy("a.so", PROBE_PLUGIN);
    put_copy("b.so", PROBE_PLUGIN);
    put_script("c.so", "not an object");
    put_copy("d.so", PROBE_PLUGIN_BUILT_IN);
    put_copy("e.so", PROBE_PLUGIN_GREEDY);
    open_pool(&r, CONF_SANDBOX_AUTO);
    wait_for_refusal(&r, "b.so: probe:do is offered by a.so");
    wait_for_refusal(&r, "c.so: ");
    wait_for_refusal(&r, "d.so: punctuation:no_comma is built in");
    wait_for_refusal(&r, "e.so: sandbox SIGSYS");    // its constructor wanted a socket
    expect(&r, "fine", SCORE_SCORED, "");
    // The way is free for what was only in the way.
    remove_file("a.so");
    struct plugins_check check = {0};
    while (!plugins_check_at(workpool_plugins(r.pool), 0, &check) ||
           strcmp(check.file, "b.so") != 0) {
        uv_run(r.loop, UV_RUN_ONCE);
    }
    expect(&r, "fine", SCORE_SCORED, "");
    poolrig_close(&r);
}

// ---- programs ----

#define HELLO(version)                                                                             \
    "#!/usr/bin/python3\nimport json,sys,os,socket\n"                                              \
    "def say(x): print(json.dumps(x), flush=True)\n"                                               \
    "say({'caravan_plugin':1,'checks':[{'id':'probe:do','version':'" version "'}]})\n"
#define LOOP(body)                                                                                 \
    "n=0\nfor line in sys.stdin:\n ask=json.loads(line); r=ask['response']; n+=1\n" body           \
    " say({'job':ask['job'],'value':1.0})\n"

static bool have_python(void)
{
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("no /usr/bin/python3 here\n");
        return false;
    }
    return true;
}

static void a_program_is_contained(void **state)
{
    (void)state;
    struct poolrig r;
    if (!have_python()) {
        skip();
    }
    put_script("p", HELLO("7") LOOP(
                        " if r=='die': os._exit(3)\n"
                        " if r=='noise': print('noise',flush=True)\n"
                        " if r=='other': say({'job':99,'value':1})\n"
                        " if r=='undecided': say({'job':ask['job'],'undecided':'no'}); continue\n"
                        " if r=='long': print('x'*200000,flush=True)\n"
                        " if r=='child': os.fork() or os.execv('/bin/sleep',['sleep','1000'])\n"
                        " if r in('socket','read','write','proc','mount'):\n"
                        "  try:\n"
                        "   if r=='socket': socket.socket()\n"
                        "   if r=='read': open('/etc/passwd')\n"
                        "   if r=='write': open('/usr/x','w')\n"
                        "   if r=='proc': os.listdir('/proc/self')\n"
                        "   if r=='mount': os.unshare(0x10000000) if hasattr(os,'unshare') else "
                        "open('/no')\n"
                        "   say({'job':ask['job'],'value':0.0}); continue\n"
                        "  except OSError: pass\n"
                        " if r=='count': say({'job':ask['job'],'value':n/1000}); continue\n"
                        " if r=='spin':\n"
                        "  while True: pass\n"));
    open_pool(&r, CONF_SANDBOX_FULL);
    expect(&r, "fine", SCORE_SCORED, "");
    static const char *const denied[] = {"socket", "read", "write", "proc", "mount"};
    for (size_t i = 0; i < ARRAY_LEN(denied); i++) {
        expect(&r, denied[i], SCORE_SCORED, "");    // it was refused, and said so
    }
    expect(&r, "undecided", SCORE_UNSCORED, "probe:do: no");
    expect(&r, "die", SCORE_UNSCORED, "the program ended with status 3");
    expect(&r, "noise", SCORE_UNSCORED, "the program's reply");
    expect(&r, "other", SCORE_UNSCORED, "the program's reply: job: expected");
    expect(&r, "long", SCORE_UNSCORED, "a line over 65536 bytes");
    expect(&r, "spin", SCORE_UNSCORED, "timeout after 2000 ms");
    expect(&r, "child", SCORE_SCORED, "");
    expect(&r, "fine", SCORE_SCORED, "");
    poolrig_close(&r);
}

static void a_program_needs_level_full(void **state)
{
    (void)state;
    struct poolrig r;
    put_script("p", "#!/bin/sh\n");
    open_pool(&r, CONF_SANDBOX_SECCOMP);
    wait_for_refusal(&r, "p: a program needs sandbox level full");
    expect(&r, "fine", SCORE_UNSCORED, "unknown check");
    poolrig_close(&r);
}

static void a_program_that_says_no_hello_is_refused(void **state)
{
    (void)state;
    struct poolrig r;
    put_script("p", "#!/bin/sh\necho hello\nread x\n");
    put_script("q", "#!/bin/sh\nexit 5\n");
    open_pool(&r, CONF_SANDBOX_FULL);
    wait_for_refusal(&r, "p: its first line: ");
    wait_for_refusal(&r, "q: the program ended with status 5");
    poolrig_close(&r);
}

// ---- replaced while running ----

static void a_broken_replacement_leaves_the_old_one(void **state)
{
    (void)state;
    struct poolrig r;
    put_copy("a.so", PROBE_PLUGIN);
    open_pool(&r, CONF_SANDBOX_AUTO);
    struct answer before = ask(&r, DO, "fine");
    put_script("a.so", "half a file");
    wait_for_refusal(&r, "a.so: ");
    struct answer after = ask(&r, DO, "fine");
    assert_int_equal(after.outcome, SCORE_SCORED);
    assert_string_equal(before.version, after.version);
    poolrig_close(&r);
}

// Replacements while jobs are always in flight: every one is answered once, by one version or the
// other, and each version is seen.
static void replacements_lose_no_job(void **state)
{
    (void)state;
    enum { SWAPS = 10, AHEAD = 32 };
    struct poolrig r;
    size_t per_swap = getenv("CARAVAN_LONG") ? 10000 : SANITIZED ? 20 : 200;
    put_copy("a.so", PROBE_PLUGIN);
    open_pool(&r, CONF_SANDBOX_AUTO);
    alarm(600);
    static struct answer ahead[AHEAD];
    size_t swaps = 0, answered = 0, first = 0;
    const char *want = "1+";
    for (size_t i = 0; i < AHEAD; i++) {
        submit(&r, DO, "fine", &ahead[i]);
    }
    size_t since = 0;
    while (swaps < SWAPS || since < per_swap) {
        struct answer *a = &ahead[first];
        while (!a->done) {
            uv_run(r.loop, UV_RUN_ONCE);
        }
        assert_int_equal(a->outcome, SCORE_SCORED);
        assert_true(strncmp(a->version, "1+", 2) == 0 || strncmp(a->version, "2+", 2) == 0);
        answered++;
        since++;
        if (swaps < SWAPS && since >= per_swap && strncmp(a->version, want, 2) == 0) {
            want = ++swaps % 2 ? "2+" : "1+";
            put_copy("a.so", swaps % 2 ? PROBE_PLUGIN_2 : PROBE_PLUGIN);
            since = 0;
        }
        submit(&r, DO, "fine", a);
        first = (first + 1) % AHEAD;
    }
    assert_true(answered >= SWAPS * per_swap);
    poolrig_close(&r);
    for (size_t i = 0; i < AHEAD; i++) {
        assert_true(ahead[i].done);
    }
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    struct why why = {{0}};
    struct workpool *p;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct workpool_config c = poolrig_config(CONF_SANDBOX_AUTO);
    c.plugins = "/nowhere/plugins";
    assert_int_equal(workpool_create(&loop, &c, NULL, NULL, &p, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/nowhere/plugins"));
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_teardown(f, empty_folder)
    const struct CMUnitTest tests[] = {
        CLAIM(an_object_is_contained_at_level_full),
        CLAIM(an_object_is_contained_at_level_seccomp),
        CLAIM(built_in_and_plugged_in_checks_stand_in_one_row),
        CLAIM(what_is_wrong_with_a_file_is_said),
        CLAIM(a_program_is_contained),
        CLAIM(a_program_needs_level_full),
        CLAIM(a_program_that_says_no_hello_is_refused),
        CLAIM(a_broken_replacement_leaves_the_old_one),
        CLAIM(replacements_lose_no_job),
        CLAIM(a_missing_folder_is_named),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

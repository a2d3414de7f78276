// pluginobject.c: dlopen once, fork for every call.
//
// The child has nothing but a copy of this process and one shared page to answer through. Before it
// calls the plug-in it takes a filter that leaves it memory and the clock. So a plug-in that
// overwrites memory, runs away or dies does that to its own call. _Fork instead of fork: handlers
// that the object registered for forks would run in this process. The page is believed as far as
// its shape goes.
#include "verifier/pluginobject.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verifier/plugin.h"
#include "verifier/pluginline.h"
#include "verifier/sandbox.h"

enum { CHILD_NO_WALLS = 121 };
enum answer_state { ANSWER_NONE, ANSWER_VALUE, ANSWER_UNDECIDED };

struct answer {
    uint32_t state;
    double value;
    char why[PLUGINLINE_CAUSE_BYTES];
};

static const struct caravan_check *offered;
static struct answer *page;

static enum err copy_text(char *out, size_t cap, const char *text, const char *what,
                          struct why *why)
{
    size_t len = text ? strnlen(text, cap) : cap;
    if (len >= cap) {
        return why_set(why, ERR_INVALID, "%s: expected up to %zu characters", what, cap - 1);
    }
    memcpy(out, text, len);
    out[len] = 0;
    return ERR_OK;
}

static enum err read_offer(const struct caravan_plugin *p, struct jobframe_check *checks, size_t *n,
                           struct why *why)
{
    if (!p || p->abi != CARAVAN_PLUGIN_ABI) {
        return why_set(why, ERR_INVALID, "caravan_plugin: interface %u, expected %u",
                       p ? (unsigned)p->abi : 0u, CARAVAN_PLUGIN_ABI);
    }
    if (p->n_checks == 0 || p->n_checks > JOBFRAME_MAX_CHECKS || !p->checks) {
        return why_set(why, ERR_INVALID, "it offers %u checks, expected 1 to %d",
                       (unsigned)p->n_checks, JOBFRAME_MAX_CHECKS);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < p->n_checks && !e; i++) {
        const struct caravan_check *c = &p->checks[i];
        e = copy_text(checks[i].id, sizeof checks[i].id, c->id, "id", why);
        e = e ? e
              : copy_text(checks[i].version, sizeof checks[i].version, c->version, "version", why);
        e = e ? e
              : copy_text(checks[i].doc, sizeof checks[i].doc, c->doc ? c->doc : "", "doc", why);
        if (!e && !c->score) {
            e = why_set(why, ERR_INVALID, "%s: no score function", checks[i].id);
        }
    }
    *n = p->n_checks;
    return e ? e : pluginline_check(checks, *n, why);
}

enum err pluginobject_load(const char *path, struct jobframe_check *checks, size_t *n,
                           struct why *why)
{
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return why_set(why, ERR_NOMEM, "no shared page");
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        return why_set(why, ERR_INVALID, "%s", dlerror());
    }
    const struct caravan_plugin *(*entry)(void);
    *(void **)&entry = dlsym(object, "caravan_plugin");
    if (!entry) {
        return why_set(why, ERR_INVALID, "it has no symbol caravan_plugin");
    }
    const struct caravan_plugin *p = entry();
    enum err e = read_offer(p, checks, n, why);
    if (e) {
        return e;
    }
    offered = p->checks;
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        return why_set(why, ERR_INVALID, "it started a process while it was loaded");
    }
    return ERR_OK;
}

// A copy with a NUL behind it; in the child, so nobody frees it.
static struct caravan_text text_of(struct score_text t)
{
    char *copy = malloc(t.len + 1);
    if (!copy) {
        _exit(CHILD_NO_WALLS);
    }
    if (t.len > 0) {
        memcpy(copy, t.data, t.len);
    }
    copy[t.len] = 0;
    return (struct caravan_text){copy, t.len};
}

static _Noreturn void run_child(pid_t parent, size_t index, const struct score_plugin_input *in)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || !sandbox_enter_call()) {
        _exit(CHILD_NO_WALLS);
    }
    const struct caravan_input input = {.response = text_of(in->response),
                                        .prompt = text_of(in->prompt),
                                        .ground_truth = text_of(in->ground_truth),
                                        .kwargs = text_of(in->kwargs),
                                        .stopped = in->stopped};
    double value = 0;
    int rc = offered[index].score(&input, &value, page->why, sizeof page->why);
    page->value = value;
    page->state = rc == 0 ? ANSWER_VALUE : ANSWER_UNDECIDED;
    _exit(0);
}

static void take_answer(struct score_result *out)
{
    struct answer a = *page;
    a.why[sizeof a.why - 1] = 0;
    if (a.state == ANSWER_VALUE && a.value >= 0 && a.value <= 1) {
        out->outcome = a.value > 0 ? SCORE_SCORED : SCORE_ZERO;
        out->reward = a.value;
    } else if (a.state == ANSWER_UNDECIDED) {
        score_unscored(out, a.why[0] ? a.why : "undecided");
    } else if (a.state == ANSWER_VALUE) {
        score_unscored(out, "the plug-in's value is not between 0 and 1");
    } else {
        score_unscored(out, "the plug-in left without an answer");
    }
}

void pluginobject_run(size_t index, const struct score_plugin_input *in, struct score_result *out)
{
    *out = (struct score_result){0};
    *page = (struct answer){0};
    pid_t parent = getpid();
    pid_t child = _Fork();
    if (child == 0) {
        run_child(parent, index, in);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        score_unscored(out, "no process for the plug-in's call");
        return;
    }
    char cause[SCORE_CAUSE_BYTES];
    if (WIFSIGNALED(status)) {
        (void)snprintf(cause, sizeof cause, "plug-in %s %s",
                       WTERMSIG(status) == SIGSYS ? "sandbox" : "crash",
                       sandbox_signal_name(WTERMSIG(status)));
        score_unscored(out, cause);
    } else if (WEXITSTATUS(status) == CHILD_NO_WALLS) {
        score_unscored(out, "no memory or no walls for the plug-in's call");
    } else {
        take_answer(out);
    }
}

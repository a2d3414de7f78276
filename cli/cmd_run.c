// cmd_run.c: one machine, all roles: starts a learner, actors and verifiers and sees to it that
// they live.
//
//   a child died             what happens
//   learner, exit 0          the run is complete: all stop, summary, 0
//   learner, exit 130        somebody stopped it: all stop, 130
//   learner, other exit      its last ERROR line is shown: all stop, 1
//   learner, by a signal     starts again with --resume; after GIVE_UP deaths without a step
//                            between them, all stop, 1
//   actor, verifier          starts again after a pause that doubles; after GIVE_UP exits in a row
//                            by its own decision within YOUNG_MS of its start, all stop, 1
//   SIGINT, SIGTERM, SIGHUP  all stop within 5 s, 130; a second one: SIGKILL at once
//
// Thread: a libuv loop. /status is fetched on libuv's worker threads, since http_get blocks.
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "cli/commands.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "cli/settings.h"
#include "cli/statusview.h"
#include "cli/summary.h"
#include "cli/supervisor.h"
#include "common/clock.h"
#include "common/fs.h"

enum {
    POLL_MS = 300,
    STATUS_TIMEOUT_MS = 1000,
    GIVE_UP = 5,
    YOUNG_MS = 10000,
    FIRST_PAUSE_MS = 100,
    LONGEST_PAUSE_MS = 10000,
};

struct options {
    const char *resume;
    bool branch, check, no_show;
    struct arg_list set;
};

static const struct arg args[] = {
    {"resume", ARG_TEXT, offsetof(struct options, resume), 0, 0, "RUN",
     "go on with the run in folder RUN instead of starting a new one"},
    {"branch", ARG_FLAG, offsetof(struct options, branch), 0, 0, NULL,
     "with --resume: from the newest checkpoint, when this machine computes other weights"},
    {"set", ARG_LIST, offsetof(struct options, set), 0, 0, "KEY=VALUE",
     "override one key of the configuration, as often as you like"},
    {"check", ARG_FLAG, offsetof(struct options, check), 0, 0, NULL,
     "validate everything, print a memory plan, start nothing"},
    {"no-show", ARG_FLAG, offsetof(struct options, no_show), 0, 0, NULL, "no live progress"},
    {0},
};

enum role { ROLE_LEARNER, ROLE_ACTOR, ROLE_VERIFIER };

struct member {
    enum role role;
    unsigned failures;    // in a row
};

struct runner {
    struct conf conf;
    char address[CONF_STR + 16];
    char *config_path, *socket_path;
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_timer_t poll;
    uv_work_t fetch;
    bool fetching;
    json_t *fetched;
    struct supervisor *supervisor;
    struct member member[SUPERVISOR_CHILDREN];
    size_t n;
    struct progress *progress;
    double step_at_death;    // of the learner's last death by a signal
    double step;             // newest seen in /status
    bool stopping;
    int rc;
};

// ---- stopping ----

static void on_handle_closed(uv_handle_t *h)
{
    (void)h;
}

static void on_all_stopped(void *arg)
{
    struct runner *r = arg;
    for (size_t i = 0; i < ARRAY_LEN(r->signals); i++) {
        uv_close((uv_handle_t *)&r->signals[i], on_handle_closed);
    }
    uv_close((uv_handle_t *)&r->poll, on_handle_closed);
}

static void stop_all(struct runner *r, int rc)
{
    if (!r->stopping) {
        r->stopping = true;
        r->rc = rc;
        supervisor_stop(r->supervisor, on_all_stopped, r);
    }
}

static void on_signal(uv_signal_t *h, int signal)
{
    struct runner *r = h->data;
    if (r->stopping) {
        supervisor_kill(r->supervisor);
        return;
    }
    progress_note(r->progress, "%s: stopping (once more to kill)",
                  signal == SIGINT ? "Ctrl-C" : "asked to end");
    stop_all(r, CLI_STOPPED);
}

// ---- a child has ended ----

static void say_last_words(struct runner *r, size_t child)
{
    char *words = supervisor_last_words(r->supervisor, child);
    progress_note(r->progress, "%s", words ? words : "(it left no log)");
    progress_note(r->progress, "the whole log: %s/log/%s.log", r->conf.run_dir,
                  supervisor_name(r->supervisor, child));
    free(words);
}

static uint64_t pause_ms(unsigned failures)
{
    uint64_t pause = (uint64_t)FIRST_PAUSE_MS << MIN(failures, 10u);
    return MIN(pause, (uint64_t)LONGEST_PAUSE_MS);
}

static enum err learner_args(struct runner *r, size_t child, bool resume, bool branch)
{
    const char *fresh[] = {"--config", r->config_path, NULL};
    const char *again[] = {
        "--resume", r->conf.run_dir, "--config", r->config_path, branch ? "--branch" : NULL, NULL};
    return supervisor_set_args(r->supervisor, child, resume ? again : fresh);
}

static void learner_ended(struct runner *r, size_t child, int64_t status, int signal)
{
    struct member *m = &r->member[child];
    if (signal == 0) {
        if (status != 0 && status != CLI_STOPPED) {
            progress_note(r->progress, "the learner ended with an error:");
            say_last_words(r, child);
        }
        stop_all(r, status == 0 ? CLI_OK : status == CLI_STOPPED ? CLI_STOPPED : CLI_FAILED);
        return;
    }
    m->failures = r->step > r->step_at_death ? 1 : m->failures + 1;
    r->step_at_death = r->step;
    if (m->failures >= GIVE_UP) {
        progress_note(r->progress,
                      "the learner was killed by signal %d (%s) %u times in a row:", signal,
                      strsignal(signal), m->failures);
        say_last_words(r, child);
        stop_all(r, CLI_FAILED);
        return;
    }
    // It may have died before its first transaction: then there is nothing to resume.
    struct why why;
    bool exists = settings_check_run(r->conf.run_dir, &why) == ERR_OK;
    progress_note(r->progress,
                  "the learner was killed by signal %d (%s); starting it again (restart %u)",
                  signal, strsignal(signal), supervisor_starts(r->supervisor, child));
    if (learner_args(r, child, exists, false)) {
        stop_all(r, CLI_FAILED);
        return;
    }
    supervisor_start_later(r->supervisor, child, pause_ms(m->failures - 1));
}

static void helper_ended(struct runner *r, size_t child, int64_t status, int signal)
{
    struct member *m = &r->member[child];
    const char *name = supervisor_name(r->supervisor, child);
    bool young = supervisor_age_ms(r->supervisor, child) < YOUNG_MS;
    m->failures = young ? m->failures + 1 : 1;
    if (signal == 0 && m->failures >= GIVE_UP) {
        progress_note(r->progress,
                      "%s ended %u times in a row, the last time with status %lld:", name,
                      m->failures, (long long)status);
        say_last_words(r, child);
        stop_all(r, CLI_FAILED);
        return;
    }
    if (signal) {
        progress_note(r->progress,
                      "%s was killed by signal %d (%s); starting it again (restart %u)", name,
                      signal, strsignal(signal), supervisor_starts(r->supervisor, child));
    } else {
        progress_note(r->progress, "%s ended with status %lld; starting it again (restart %u)",
                      name, (long long)status, supervisor_starts(r->supervisor, child));
    }
    supervisor_start_later(r->supervisor, child, pause_ms(m->failures - 1));
}

static void on_ended(void *arg, size_t child, int64_t status, int signal)
{
    struct runner *r = arg;
    if (r->member[child].role == ROLE_LEARNER) {
        learner_ended(r, child, status, signal);
    } else {
        helper_ended(r, child, status, signal);
    }
}

// ---- progress ----

static void fetch_work(uv_work_t *w)
{
    struct runner *r = w->data;
    struct why why;
    if (status_fetch(r->socket_path, STATUS_TIMEOUT_MS, &r->fetched, &why)) {
        r->fetched = NULL;    // it starts, or is busy: the next poll tells
    }
}

static void fetch_done(uv_work_t *w, int status)
{
    struct runner *r = w->data;
    r->fetching = false;
    if (status == 0 && !r->stopping) {
        r->step = r->fetched ? status_num(r->fetched, "step") : r->step;
        progress_update(r->progress, r->fetched);
    }
    json_decref(r->fetched);
    r->fetched = NULL;
}

static void on_poll(uv_timer_t *t)
{
    struct runner *r = t->data;
    if (r->stopping || r->fetching || !fs_exists(r->socket_path)) {
        return;
    }
    r->fetch.data = r;
    r->fetching = uv_queue_work(&r->loop, &r->fetch, fetch_work, fetch_done) == 0;
}

// ---- starting ----

static enum err add_learner(struct runner *r, const struct options *o, struct why *why)
{
    size_t child;
    enum err e = supervisor_add(r->supervisor, "learner", "caravan-learner", &child, why);
    if (e) {
        return e;
    }
    r->member[child].role = ROLE_LEARNER;
    r->n++;
    return learner_args(r, child, o->resume != NULL, o->branch);
}

static enum err add_actor(struct runner *r, int64_t i, struct why *why)
{
    const struct conf *c = &r->conf;
    char name[32], threads[24], slots[24], kv[24], prefill[24], http[CONF_STR + 48];
    size_t child;
    snprintf(name, sizeof name, "actor-%lld", (long long)i);
    snprintf(http, sizeof http, "%s/%s.sock", c->run_dir, name);
    snprintf(threads, sizeof threads, "%lld", (long long)c->actor_threads);
    snprintf(slots, sizeof slots, "%lld", (long long)c->actor_slots);
    snprintf(kv, sizeof kv, "%lld", (long long)c->actor_kv_mb);
    snprintf(prefill, sizeof prefill, "%lld", (long long)c->actor_prefill_rows);
    const char *args_of_actor[] = {"--connect",
                                   r->address,
                                   "--name",
                                   name,
                                   "--http",
                                   http,
                                   "--threads",
                                   threads,
                                   "--device",
                                   c->actor_device,
                                   "--slots",
                                   slots,
                                   "--kv-mb",
                                   kv,
                                   "--prefill-rows",
                                   prefill,
                                   c->token_file[0] ? "--token-file" : NULL,
                                   c->token_file,
                                   NULL};
    enum err e = supervisor_add(r->supervisor, name, "caravan-actor", &child, why);
    if (e) {
        return e;
    }
    r->member[child].role = ROLE_ACTOR;
    r->n++;
    return supervisor_set_args(r->supervisor, child, args_of_actor);
}

static enum err add_verifier(struct runner *r, int64_t i, struct why *why)
{
    const struct conf *c = &r->conf;
    char name[32], workers[24], deadline[24], recycle[24];
    size_t child;
    snprintf(name, sizeof name, "verifier-%lld", (long long)i);
    snprintf(workers, sizeof workers, "%lld", (long long)c->verifier_workers);
    snprintf(deadline, sizeof deadline, "%lld", (long long)c->verifier_deadline_ms);
    snprintf(recycle, sizeof recycle, "%lld", (long long)c->verifier_recycle);
    const char *args_of_verifier[] = {"--connect",
                                      r->address,
                                      "--name",
                                      name,
                                      "--workers",
                                      workers,
                                      "--sandbox",
                                      conf_sandbox_name(c->sandbox),
                                      "--deadline-ms",
                                      deadline,
                                      "--recycle-jobs",
                                      recycle,
                                      "--plugins",
                                      c->plugins,
                                      c->token_file[0] ? "--token-file" : NULL,
                                      c->token_file,
                                      NULL};
    enum err e = supervisor_add(r->supervisor, name, "caravan-verifier", &child, why);
    if (e) {
        return e;
    }
    r->member[child].role = ROLE_VERIFIER;
    r->n++;
    return supervisor_set_args(r->supervisor, child, args_of_verifier);
}

// The folder, and the resolved configuration in it. Only when nobody works there, and never over a
// run that exists unless it is resumed.
static enum err prepare_folder(struct runner *r, const struct options *o, struct why *why)
{
    const char *dir = r->conf.run_dir;
    char *log_dir = fs_path("%s/log", dir), *lock = fs_path("%s/lock", dir);
    char *text = conf_print(&r->conf);
    int fd;
    enum err e = log_dir && lock && text ? ERR_OK : why_set(why, ERR_NOMEM, "out of memory");
    e = e ? e : fs_make_dirs(log_dir, why);
    e = e ? e : fs_lock(lock, &fd, why);
    if (!e) {
        struct why none;
        if (!o->resume && settings_check_run(dir, &none) == ERR_OK) {
            e = why_set(why, ERR_EXISTS,
                        "%s: there is a run already; go on with it (caravan run --resume %s) or "
                        "choose another folder (--set run_dir=DIR)",
                        dir, dir);
        }
        e = e ? e : fs_write_file(r->config_path, text, strlen(text), why);
        fs_unlock(fd);
    }
    e = e ? e : supervisor_create(&r->loop, log_dir, on_ended, r, &r->supervisor, why);
    free(text);
    free(log_dir);
    free(lock);
    return e;
}

static enum err add_all(struct runner *r, const struct options *o, struct why *why)
{
    enum err e = add_learner(r, o, why);
    for (int64_t i = 0; i < r->conf.actor_count && !e; i++) {
        e = add_actor(r, i, why);
    }
    for (int64_t i = 0; i < r->conf.verifier_count && !e; i++) {
        e = add_verifier(r, i, why);
    }
    for (size_t i = 0; i < r->n && !e; i++) {
        e = supervisor_start(r->supervisor, i, why);
    }
    return e;
}

static enum err prepare(struct runner *r, const struct options *o, struct why *why)
{
    const char *dir = r->conf.run_dir;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    if (uv_loop_init(&r->loop)) {
        return why_set(why, ERR_NOMEM, "cannot make an event loop");
    }
    snprintf(r->address, sizeof r->address, r->conf.listen[0] ? "%s" : "ipc://%s/bus",
             r->conf.listen[0] ? r->conf.listen : dir);
    r->config_path = fs_path("%s/config.yaml", dir);
    r->socket_path = fs_path("%s/http.sock", dir);
    if (!r->config_path || !r->socket_path) {
        return why_set(why, ERR_NOMEM, "out of memory");
    }
    enum err e = prepare_folder(r, o, why);
    if (!e && progress_create(dir, isatty(STDOUT_FILENO), !o->no_show, &r->progress)) {
        e = why_set(why, ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers) && !e; i++) {
        uv_signal_init(&r->loop, &r->signals[i]);
        r->signals[i].data = r;
        uv_signal_start(&r->signals[i], on_signal, numbers[i]);
    }
    return e;
}

static int finish(struct runner *r)
{
    struct buf text;
    struct why why;
    if (r->rc == CLI_STOPPED) {
        printf("stopped; go on with: caravan run --resume %s\n", r->conf.run_dir);
    }
    if (r->rc != CLI_OK) {
        return r->rc;
    }
    buf_init(&text, 0);
    enum err e = summary_print(r->conf.run_dir, &text, &why);
    printf("\nThe run in %s is complete.\n\n", r->conf.run_dir);
    if (e) {
        fprintf(stderr, "caravan run: no summary: %s\n", why.text);
    } else {
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_fini(&text);
    return CLI_OK;
}

static int supervise(const struct command *self, const struct options *o, struct runner *r)
{
    struct why why;
    enum err e = prepare(r, o, &why);
    if (e) {
        return cli_fail(self, &why);
    }
    printf("run folder %s\n", r->conf.run_dir);
    fflush(stdout);
    uv_timer_init(&r->loop, &r->poll);
    r->poll.data = r;
    uv_timer_start(&r->poll, on_poll, POLL_MS, POLL_MS);
    e = add_all(r, o, &why);
    if (e) {
        (void)cli_fail(self, &why);
        stop_all(r, CLI_FAILED);
    }
    uv_run(&r->loop, UV_RUN_DEFAULT);
    progress_update(r->progress, NULL);    // the last lines of metrics.jsonl
    progress_destroy(r->progress);
    supervisor_destroy(r->supervisor);
    uv_loop_close(&r->loop);
    return finish(r);
}

static int check_only(const struct command *self, const struct conf *c)
{
    struct buf text;
    struct why why;
    buf_init(&text, 0);
    enum err e = plan_check(c, &text, &why);
    if (!e) {
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_fini(&text);
    return e ? cli_fail(self, &why) : CLI_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    struct words words;
    struct why why;
    struct runner r = {0};
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (words.n == (o.resume != NULL)) {
        return cli_complain(self, "give a configuration file or --resume RUN");
    }
    if (o.branch && !o.resume) {
        return cli_complain(self, "--branch belongs to --resume RUN");
    }
    if (o.resume ? settings_from_run(o.resume, &o.set, &r.conf, &why)
                 : settings_from_file(words.v[0], &o.set, &r.conf, &why)) {
        return cli_fail(self, &why);
    }
    rc = o.check ? check_only(self, &r.conf) : supervise(self, &o, &r);
    free(r.config_path);
    free(r.socket_path);
    return rc;
}

const struct command cmd_run = {
    .name = "run",
    .synopsis = "CONFIG | --resume RUN",
    .help = "run learner, actors and verifiers on this machine",
    .more = "Ctrl-C stops everything within 5 seconds; caravan run --resume RUN goes on.\n"
            "Exit status: 0 complete, 130 stopped, 1 an error, 2 a wrong command line.",
    .args = args,
    .max_words = 1,
    .run = run,
};

// slab_test.c: weights through shared memory in whole runs: the same tokens as through the bus, and
// a run that goes on when the slabs do not serve.
#include "tests/system/world.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "learner/publish_slab.h"

static char *read_log(const char *run, const char *who)
{
    char *path = fs_path("%s/log/%s.log", run, who);
    char *data;
    size_t len;
    enum err e = fs_read_file(path, 64 << 20, &data, &len, NULL);
    free(path);
    return e ? strdup("") : data;    // not there yet
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p += strlen(what)) {
        n++;
    }
    return n;
}

// All weight hashes of a run in order, one per line.
static char *hashes_of(const char *run)
{
    char *path = fs_path("%s/metrics.jsonl", run), *line = NULL;
    FILE *f = fopen(path, "re");
    struct buf out;
    size_t cap = 0;
    buf_init(&out, 1 << 20);
    assert_non_null(f);
    while (getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        const char *hash = json_string_value(json_object_get(row, "weights_hash"));
        assert_int_equal(hash ? buf_printf(&out, "%s\n", hash) : ERR_OK, ERR_OK);
        json_decref(row);
    }
    fclose(f);
    free(line);
    free(path);
    return buf_take(&out);
}

static char *run_synchronous(const char *run, const char *slab)
{
    char *out;
    int rc = world_run(&out,
                       "caravan run run.yaml --set run_dir=%s --set learner.slab=%s "
                       "--set model.path=talker --set data.train=words.jsonl "
                       "--set rollout.staleness_max=0 --set rollout.max_tokens=60 "
                       "--set rollout.group_size=8 --set rollout.groups_per_step=8 "
                       "--set loss.replace_max=0 --set data.eval_n=0 --set stop.steps=6",
                       run, slab);
    if (rc != 0) {
        fail_msg("status %d\n%s", rc, out);
    }
    free(out);
    free(world_audit_clean(run));
    assert_true(world_sum(run, "logprob_compared_tokens") > 0);
    assert_true(world_sum(run, "logprob_mismatched_tokens") == 0);
    return hashes_of(run);
}

// A step's weights depend on every token and log-prob of its batch: equal hashes over a run are equal
// tokens, bit for bit.
static void a_slab_and_chunks_lead_to_the_same_weights(void **state)
{
    (void)state;
    char *slab = run_synchronous("shared", "auto"), *chunks = run_synchronous("sent", "off");
    assert_true(count(slab, "\n") >= 5);
    assert_string_equal(slab, chunks);
    free(slab);
    free(chunks);
    char *shared = read_log("shared", "actor-0"), *sent = read_log("sent", "actor-0");
    assert_true(count(shared, "path=slab") >= 5);
    assert_int_equal(count(shared, "path=chunks"), 0);
    assert_true(count(sent, "path=chunks") >= 5);
    assert_int_equal(count(sent, "path=slab"), 0);
    free(shared);
    free(sent);
}

struct watched {
    const char *run;
    struct process *distant;
};

static bool both_have_loaded_five(void *arg)
{
    struct watched *w = arg;
    if (!fs_exists(w->distant->out)) {
        return false;    // it has only just been started
    }
    char *near = read_log(w->run, "actor-0"), *far = world_output(w->distant);
    bool yes = count(near, "newest=1 path=slab") >= 5 && count(far, "newest=1 path=chunks") >= 5;
    free(near);
    free(far);
    return yes;
}

// An actor on another machine cannot map anything: it takes part all the same, in the same run.
static void both_ways_serve_one_run(void **state)
{
    (void)state;
    struct process p = world_spawn(
        "caravan run run.yaml --set run_dir=mixed --set model.path=talker "
        "--set data.train=words.jsonl --set rollout.max_tokens=100 --set loss.replace_max=0 "
        "--set rollout.groups_per_step=6 --set data.eval_n=0 --set stop.steps=0");
    world_until_steps("mixed", 1);
    struct process distant =
        world_spawn("caravan-actor --connect ipc://mixed/bus --slab off --name distant");
    struct watched w = {"mixed", &distant};
    world_until(both_have_loaded_five, &w, "five versions in either actor");
    world_signal(&p, SIGINT);
    assert_int_equal(world_wait(&p, 8000), 130);
    world_signal(&distant, SIGTERM);
    assert_int_equal(world_wait(&distant, 8000), 0);
    char *far = world_output(&distant);
    assert_int_equal(count(far, "path=slab"), 0);
    free(far);
    free(world_audit_clean("mixed"));
    assert_true(world_sum("mixed", "logprob_mismatched_tokens") == 0);
}

// Takes a shared lock on every slab of the learner that is not held yet, like an actor that hangs.
struct grip {
    pid_t learner;
    struct {
        ino_t slab;
        int fd;
    } held[PUBLISH_SLABS];
    size_t n_held;
    const char *run;
    size_t chunks_before, slab_before;
};

static void hold(struct grip *g, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat s;
    bool known = fd < 0 || fstat(fd, &s) != 0 || g->n_held == ARRAY_LEN(g->held);
    for (size_t i = 0; !known && i < g->n_held; i++) {
        known = g->held[i].slab == s.st_ino;
    }
    if (!known && flock(fd, LOCK_SH | LOCK_NB) == 0) {
        g->held[g->n_held].slab = s.st_ino;
        g->held[g->n_held++].fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
}

static void hold_all(struct grip *g)
{
    char *folder = fs_path("/proc/%d/fd", (int)g->learner), link[64];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = fs_path("%s/%s", folder, e->d_name);
        ssize_t n = readlink(path, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        if (strncmp(link, "/memfd:caravan-weights", 22) == 0) {
            hold(g, path);
        }
        free(path);
    }
    if (d) {
        closedir(d);
    }
    free(folder);
}

static bool versions_come_in_chunks(void *arg)
{
    struct grip *g = arg;
    if (kill(g->learner, 0) != 0) {
        world_print_ends_of_logs();
        fail_msg("the learner ended because somebody holds its slabs");
    }
    hold_all(g);
    char *learner = read_log(g->run, "learner"), *actor = read_log(g->run, "actor-0");
    bool yes = count(learner, "SLABS_EXHAUSTED") >= 1 && count(actor, "path=chunks") >= 3;
    g->slab_before = count(actor, "path=slab");
    free(learner);
    free(actor);
    return yes;
}

static bool versions_come_in_slabs_again(void *arg)
{
    struct grip *g = arg;
    char *actor = read_log(g->run, "actor-0");
    bool yes = count(actor, "path=slab") >= g->slab_before + 3;
    free(actor);
    return yes;
}

// Somebody who never lets go may cost memory and speed, not the run.
static void readers_that_hang_do_not_stop_a_run(void **state)
{
    (void)state;
    struct process p = world_spawn(
        "caravan run run.yaml --set run_dir=held --set model.path=talker "
        "--set data.train=words.jsonl --set rollout.max_tokens=40 --set loss.replace_max=0 "
        "--set data.eval_n=0 --set stop.steps=0");
    world_until_steps("held", 1);
    struct grip g = {.learner = world_child(&p, "caravan-learner"), .run = "held"};
    assert_true(g.learner > 0);
    world_until(versions_come_in_chunks, &g, "three versions in chunks");
    for (size_t i = 0; i < g.n_held; i++) {
        close(g.held[i].fd);
    }
    world_until(versions_come_in_slabs_again, &g, "three versions in slabs");
    world_signal(&p, SIGINT);
    assert_int_equal(world_wait(&p, 8000), 130);
    free(world_audit_clean("held"));
    assert_true(world_sum("held", "logprob_mismatched_tokens") == 0);
}

static bool loaded_after_restart(void *arg)
{
    char *actor = read_log(arg, "actor-0");
    const char *again = strstr(actor, "LEARNER_RESTARTED");
    bool yes = again && count(again, "path=slab") >= 3;
    free(actor);
    return yes;
}

// The learner that restarts has other slabs under names that may look alike.
static void a_restarted_learner_has_new_slabs(void **state)
{
    (void)state;
    struct process p = world_spawn(
        "caravan run run.yaml --set run_dir=again --set model.path=talker "
        "--set data.train=words.jsonl --set rollout.max_tokens=40 --set loss.replace_max=0 "
        "--set data.eval_n=0 --set stop.steps=0");
    world_until_steps("again", 2);
    pid_t learner = world_child(&p, "caravan-learner");
    assert_true(learner > 0);
    assert_int_equal(kill(learner, SIGKILL), 0);
    world_until(loaded_after_restart, "again", "slabs of the next learner");
    world_signal(&p, SIGINT);
    assert_int_equal(world_wait(&p, 8000), 130);
    free(world_audit_clean("again"));
    assert_true(world_sum("again", "logprob_mismatched_tokens") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slab_and_chunks_lead_to_the_same_weights),
        cmocka_unit_test(both_ways_serve_one_run),
        cmocka_unit_test(readers_that_hang_do_not_stop_a_run),
        cmocka_unit_test(a_restarted_learner_has_new_slabs),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}

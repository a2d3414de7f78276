// saver_test.c: claims about a checkpoint that is written beside training.
//
// The device's table of ops is replaced by one that holds the save at its first read of the state
// until the step beside it has run its backward pass, and that notes what has ended when AdamW
// begins. So the claims need no sleeps and no luck.

#include "rig.h"

enum { DEADLINE_S = 60 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t compute;
    bool hold, held, backward_done, saved, saved_before_update;
    const struct device_ops *real;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void tell(bool *what)
{
    pthread_mutex_lock(&world.lock);
    *what = true;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static void wait_for(const bool *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&world.lock);
    while (!*what && pthread_cond_timedwait(&world.changed, &world.lock, &until) == 0) {
    }
    pthread_mutex_unlock(&world.lock);
}

static void slow_download(struct device *d, void *host, const void *src, size_t bytes)
{
    if (world.hold && !pthread_equal(pthread_self(), world.compute)) {
        tell(&world.held);
        wait_for(&world.backward_done);
    }
    world.real->download(d, host, src, bytes);
}

static double noting_sum_squares(struct device *d, size_t n, const float *x)
{
    tell(&world.backward_done);    // the gradient norm is what follows the last backward pass
    return world.real->sum_squares(d, n, x);
}

static void noting_adamw(struct device *d, size_t n, const struct adamw *a, float *p, float *m,
                         float *v, const float *grad, enum dtype t, void *rounded)
{
    pthread_mutex_lock(&world.lock);
    world.saved_before_update = world.saved;
    pthread_mutex_unlock(&world.lock);
    world.real->adamw(d, n, a, p, m, v, grad, t, rounded);
}

static struct rig_saved outcome;

static void on_saved(void *arg, enum err e, const struct why *why)
{
    rig_on_saved(arg, e, why);
    tell(&world.saved);
}

static void hook(struct rig *r, struct device_ops *ops)
{
    world.real = r->device->ops;
    world.compute = pthread_self();
    world.hold = true;
    world.held = world.backward_done = world.saved = world.saved_before_update = false;
    *ops = *world.real;
    ops->download = slow_download;
    ops->sum_squares = noting_sum_squares;
    ops->adamw = noting_adamw;
    r->device->ops = ops;
    outcome = (struct rig_saved){.err = ERR_TIMEOUT};
}

static void begin(struct rig *r, const char *path, const atomic_bool *cancel)
{
    MUST(trainer_save_begin(r->trainer, path, r->version - 1, r->version, cancel, on_saved,
                            &outcome, &why));
}

// Training does not stand still for a checkpoint, and a checkpoint does not see half an update.
static void a_save_runs_beside_forward_and_backward_and_before_the_update(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct device_ops ops;
    char path[96];
    rig_open(&r, 2, NULL);
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);
    rig_roll(&r, 2, &rolls);
    (void)snprintf(path, sizeof path, "%s/checkpoint", r.dir);
    hook(&r, &ops);
    begin(&r, path, NULL);
    wait_for(&world.held);
    assert_true(world.held && !world.saved);
    struct train_result result = rig_step(&r, &rolls);    // its backward pass lets the save go on
    assert_true(world.backward_done);
    assert_true(world.saved_before_update);
    assert_int_equal(outcome.err, ERR_OK);
    assert_true(result.save_wait_s >= 0);
    world.hold = false;

    // What was saved is the state before that step: it leads to the same weights again.
    uint64_t step = 0, version = 0;
    MUST(trainer_load(r.trainer, path, &step, &version, &why));
    assert_true(step == 1 && version == 2);
    publish_forget_after(r.publish, 2);
    r.version = 2;
    assert_true(hash_equal(rig_step(&r, &rolls).weights_hash, result.weights_hash));
    rig_close(&r);
}

// Ctrl-C does not wait for a disk.
static void a_cancelled_save_leaves_nothing_and_the_step_beside_it_ends_too(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    struct device_ops ops;
    char path[96], tmp[112];
    atomic_bool cancel = false;
    rig_open(&r, 1, NULL);
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);
    rig_roll(&r, 2, &rolls);
    (void)snprintf(path, sizeof path, "%s/checkpoint", r.dir);
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    hook(&r, &ops);
    begin(&r, path, &cancel);
    wait_for(&world.held);
    atomic_store(&cancel, true);
    struct train_step s = rig_step_of(&r, &rolls);
    struct train_result result;
    assert_int_equal(trainer_step(r.trainer, &s, &result, &cancel, NULL), ERR_CANCELLED);
    tell(&world.backward_done);    // the save goes on from its first read, and looks
    trainer_save_wait(r.trainer);
    assert_int_equal(outcome.err, ERR_CANCELLED);
    assert_false(fs_exists(path));
    assert_false(fs_exists(tmp));
    assert_int_equal(publish_newest(r.publish), 2);
    world.hold = false;
    MUST(trainer_step(r.trainer, &s, &result, NULL, &why));    // the state is whole
    rig_close(&r);
}

// The run goes on without it; recovery has more to run again.
static void a_disk_that_refuses_is_reported_and_training_goes_on(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    char path[96], file[96];
    rig_open(&r, 1, NULL);
    (void)snprintf(file, sizeof file, "%s/file", r.dir);
    (void)snprintf(path, sizeof path, "%s/file/checkpoint", r.dir);
    MUST(fs_write_file(file, "x", 1, &why));
    outcome = (struct rig_saved){.err = ERR_OK};
    begin(&r, path, NULL);
    trainer_save_wait(r.trainer);
    assert_int_not_equal(outcome.err, ERR_OK);
    assert_non_null(strstr(outcome.why.text, path));
    rig_roll(&r, 1, &rolls);
    rig_step(&r, &rolls);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_save_runs_beside_forward_and_backward_and_before_the_update),
        cmocka_unit_test(a_cancelled_save_leaves_nothing_and_the_step_beside_it_ends_too),
        cmocka_unit_test(a_disk_that_refuses_is_reported_and_training_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

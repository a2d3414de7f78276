// publish_slab_test.c: claims about the rotation of slabs.
//
// The newest version must stay readable whatever else happens, and the learner must never wait for
// a reader: it takes another slab, or none.

#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct rig rig;
    struct publish_slabs *slabs;
    struct weightslab_layout layout;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    rig_open(&f->rig, 1, NULL);
    const struct model_config *c = source_config(f->rig.source);
    MUST(publish_slabs_create(f->rig.device, c, DTYPE_BF16, &f->slabs, &why));
    f->layout = (struct weightslab_layout){f->rig.device->ops->numerics_id, DTYPE_BF16,
                                           weights_panel_bytes(f->rig.device, c, DTYPE_BF16)};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    publish_slabs_destroy(f->slabs);
    rig_close(&f->rig);
    free(f);
    return 0;
}

static struct hash128 hash_of(uint64_t version)
{
    return hash_bytes(&version, sizeof version);
}

// NULL: the version got no slab.
static struct weightslab *publish(struct fixture *f, uint64_t version)
{
    struct weightslab *s = publish_slab_claim(f->slabs);
    publish_slab_finish(f->slabs, s, version, hash_of(version), &(struct weights_sums){{version}});
    return s;
}

static struct weightview *read_version(struct fixture *f, uint64_t version)
{
    struct weightslab_name name;
    struct weightview *v = NULL;
    struct hash128 hash;
    struct weights_sums sums;
    assert_true(publish_slab_find(f->slabs, version, &name, &hash));
    assert_true(hash_equal(hash, hash_of(version)));
    MUST(weightview_map(&name, &f->layout, &v, &why));
    MUST(weightview_hold(v, version, hash, &sums, &why));
    assert_int_equal(sums.stripe[0], version);
    return v;
}

static void two_slabs_take_turns(void **state)
{
    struct fixture *f = *state;
    struct weightslab *last = NULL;
    for (uint64_t version = 1; version <= 6; version++) {
        struct weightslab *s = publish(f, version);
        assert_non_null(s);
        assert_ptr_not_equal(s, last);
        last = s;
        weightview_unmap(read_version(f, version));
    }
    assert_int_equal(publish_slabs_count(f->slabs), 2);
}

static void only_the_newest_version_is_found(void **state)
{
    struct fixture *f = *state;
    struct weightslab_name name;
    struct hash128 hash;
    assert_false(publish_slab_find(f->slabs, 0, &name, &hash));
    publish(f, 1);
    publish(f, 2);
    assert_false(publish_slab_find(f->slabs, 0, &name, &hash));
    assert_false(publish_slab_find(f->slabs, 1, &name, &hash));
    assert_true(publish_slab_find(f->slabs, 2, &name, &hash));
    publish_slab_finish(f->slabs, NULL, 3, hash_of(3), NULL);
    assert_false(publish_slab_find(f->slabs, 2, &name, &hash));
    assert_false(publish_slab_find(f->slabs, 3, &name, &hash));
}

// A step that fails after its slab was claimed: actors that come now still map what counts.
static void a_version_in_vain_leaves_the_newest(void **state)
{
    struct fixture *f = *state;
    publish(f, 1);
    weightslab_abandon(publish_slab_claim(f->slabs));
    weightview_unmap(read_version(f, 1));
}

// An evaluation pinned to a version, an actor that hangs: each costs a slab, up to the bound; then
// versions do without, and the first one that lets go ends that.
static void readers_that_hold_on_cost_slabs_and_no_time(void **state)
{
    struct fixture *f = *state;
    struct weightview *held[PUBLISH_SLABS];
    for (uint64_t i = 0; i < PUBLISH_SLABS; i++) {
        assert_non_null(publish(f, i + 1));
        held[i] = read_version(f, i + 1);
        assert_int_equal(publish_slabs_count(f->slabs), i + 1);
    }
    assert_null(publish(f, 10));
    assert_null(publish(f, 11));
    assert_int_equal(publish_slabs_count(f->slabs), PUBLISH_SLABS);
    weightview_drop(held[1]);
    assert_non_null(publish(f, 12));
    weightview_unmap(read_version(f, 12));
    for (size_t i = 0; i < PUBLISH_SLABS; i++) {
        weightview_unmap(held[i]);
    }
}

// Locks all slabs of this process that it sees, lets go of them and looks again, until told to stop.
static void *grab(void *arg)
{
    atomic_bool *stop = arg;
    int fds[64];
    while (!atomic_load(stop)) {
        size_t n = 0;
        DIR *d = opendir("/proc/self/fd");
        for (struct dirent *e; d && n < ARRAY_LEN(fds) && (e = readdir(d));) {
            char *path = fs_path("/proc/self/fd/%s", e->d_name), link[64];
            ssize_t len = readlink(path, link, sizeof link - 1);
            link[len > 0 ? len : 0] = '\0';
            if (strncmp(link, "/memfd:caravan-weights", 22) == 0) {
                fds[n++] = open(path, O_RDONLY | O_CLOEXEC);
                (void)flock(fds[n - 1], LOCK_SH | LOCK_NB);
            }
            free(path);
        }
        if (d) {
            closedir(d);
        }
        while (n > 0) {
            close(fds[--n]);
        }
    }
    return NULL;
}

// Any process of the same user may lock a slab, also one that is still being made.
static void a_slab_locked_while_it_is_made_is_one_that_is_held(void **state)
{
    struct fixture *f = *state;
    atomic_bool stop = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, grab, &stop), 0);
    for (int round = 0; round < 500; round++) {
        publish_slabs_destroy(f->slabs);
        MUST(publish_slabs_create(f->rig.device, source_config(f->rig.source), DTYPE_BF16,
                                  &f->slabs, &why));
        publish(f, 1);
        assert_int_equal(publish_slabs_count(f->slabs), 1);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(publish(f, 2));
    weightview_unmap(read_version(f, 2));
}

static void a_reader_that_dies_costs_nothing(void **state)
{
    struct fixture *f = *state;
    int told[2];
    char byte;
    struct weightslab *first = publish(f, 1);
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)read_version(f, 1);
        (void)!write(told[1], "", 1);
        pause();
        _exit(1);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    struct weightslab *second = publish(f, 2), *third = publish(f, 3);
    assert_true(second != first && third != first && third != second);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ptr_equal(publish(f, 4), first);
    close(told[0]);
    close(told[1]);
}

// The second slab is made before anybody waits for it.
static void one_spare_is_reserved(void **state)
{
    struct fixture *f = *state;
    publish_slab_reserve(f->slabs);
    assert_int_equal(publish_slabs_count(f->slabs), 0);
    publish(f, 1);
    publish_slab_reserve(f->slabs);
    publish_slab_reserve(f->slabs);
    assert_int_equal(publish_slabs_count(f->slabs), 2);
    weightview_unmap(read_version(f, 1));
    assert_non_null(publish(f, 2));
    assert_int_equal(publish_slabs_count(f->slabs), 2);
}

static void devices_with_memory_of_their_own_are_refused(void **state)
{
    struct fixture *f = *state;
    struct device_ops ops = *f->rig.device->ops;
    struct device apart = *f->rig.device;
    struct publish_slabs *none = NULL;
    ops.unified = false;
    apart.ops = &ops;
    assert_int_equal(
        publish_slabs_create(&apart, source_config(f->rig.source), DTYPE_BF16, &none, NULL),
        ERR_UNSUPPORTED);
    assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_slabs_take_turns),
        TEST(only_the_newest_version_is_found),
        TEST(a_version_in_vain_leaves_the_newest),
        TEST(readers_that_hold_on_cost_slabs_and_no_time),
        TEST(a_slab_locked_while_it_is_made_is_one_that_is_held),
        TEST(a_reader_that_dies_costs_nothing),
        TEST(one_spare_is_reserved),
        TEST(devices_with_memory_of_their_own_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// weightslab_test.c: claims about memory that a learner writes and actors read.
//
// Three things must never happen: an actor decodes from bytes that are being replaced, a learner
// waits for an actor that is gone, and a name from the network makes an actor open, map or die of
// something that is no slab. Readers of one process count like readers of several, since locks
// belong to open files; where death matters, a child dies.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/model.h"
#include "model/weightslab.h"

enum { BYTES = 3 * 4096 + 100, PAGE = 4096, NOBODY = 65534 };

static const struct weightslab_layout LAYOUT = {"cpu-f32-1", DTYPE_BF16, BYTES};
static const struct hash128 OWNER = {{1, 2, 3}}, HASH = {{9, 8, 7}}, OTHER = {{4}};

static struct weightslab *make(void)
{
    struct weightslab *s = NULL;
    struct why why = {""};
    if (weightslab_create(&LAYOUT, OWNER, NULL, &s, &why)) {
        fail_msg("%s", why.text);
    }
    return s;
}

// A slab with a whole version, all bytes equal to it.
static void fill(struct weightslab *s, uint64_t version)
{
    assert_true(weightslab_claim(s));
    memset(weightslab_panels(s), (int)version, BYTES);
    weightslab_finish(s, version, HASH, &(struct weights_sums){{100 + version, [15] = 1}});
}

static struct weightview *map(struct weightslab *s)
{
    struct weightslab_name name = weightslab_name(s);
    struct weightview *v = NULL;
    struct why why = {""};
    if (weightview_map(&name, &LAYOUT, &v, &why)) {
        fail_msg("%s", why.text);
    }
    return v;
}

static enum err hold(struct weightview *v, uint64_t version)
{
    struct weights_sums sums;
    enum err e = weightview_hold(v, version, HASH, &sums, NULL);
    if (!e) {
        assert_int_equal(sums.stripe[0], 100 + version);
        assert_int_equal(sums.stripe[15], 1);
    }
    return e;
}

static bool all_equal(const uint8_t *bytes, uint8_t value)
{
    for (size_t i = 0; i < BYTES; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

// One mapping serves version after version: that is what it is made for.
static void a_reader_sees_each_version_in_place(void **state)
{
    (void)state;
    struct weightslab *s = make();
    struct weightview *v = map(s);
    assert_int_equal((uintptr_t)weightview_panels(v) % 64, 0);
    for (uint64_t version = 1; version < 5; version++) {
        fill(s, version);
        assert_int_equal(hold(v, version), ERR_OK);
        assert_true(all_equal(weightview_panels(v), (uint8_t)version));
        weightview_drop(v);
    }
    weightview_unmap(v);
    weightslab_destroy(s);
}

static void what_a_reader_holds_is_not_written(void **state)
{
    (void)state;
    struct weightslab *s = make();
    fill(s, 1);
    struct weightview *a = map(s), *b = map(s);
    assert_int_equal(hold(a, 1), ERR_OK);
    assert_int_equal(hold(b, 1), ERR_OK);
    assert_false(weightslab_claim(s));
    weightview_drop(a);
    assert_false(weightslab_claim(s));
    assert_true(all_equal(weightview_panels(b), 1));
    weightview_unmap(b);    // drops, too
    assert_true(weightslab_claim(s));
    weightslab_abandon(s);
    weightview_unmap(a);
    weightslab_destroy(s);
}

// An actor that crashes tells nobody. Its hold must end with it, or the learner runs out of slabs.
static void a_reader_that_dies_lets_go(void **state)
{
    (void)state;
    struct weightslab *s = make();
    int told[2];
    char byte = 0;
    fill(s, 1);
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        struct weightview *v = map(s);
        byte = hold(v, 1) == ERR_OK;
        (void)!write(told[1], &byte, 1);
        pause();
        _exit(1);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    assert_false(weightslab_claim(s));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(weightslab_claim(s));
    close(told[0]);
    close(told[1]);
    weightslab_destroy(s);
}

// Torn: the writer is not done, or gave up, or has not begun.
static void what_is_not_whole_is_refused(void **state)
{
    (void)state;
    struct weightslab *s = make();
    struct weightview *v = map(s);
    assert_int_equal(hold(v, 0), ERR_MISMATCH);
    fill(s, 1);
    assert_true(weightslab_claim(s));
    assert_int_equal(hold(v, 1), ERR_BUSY);
    weightslab_abandon(s);
    assert_int_equal(hold(v, 1), ERR_MISMATCH);
    assert_int_equal(hold(v, 0), ERR_MISMATCH);
    fill(s, 2);
    assert_int_equal(hold(v, 2), ERR_OK);
    weightview_unmap(v);
    weightslab_destroy(s);
}

// Overtaken between the learner's answer and the actor's look.
static void another_version_or_hash_is_refused_and_not_held(void **state)
{
    (void)state;
    struct weightslab *s = make();
    struct weightview *v = map(s);
    struct why why = {""};
    struct weights_sums sums;
    fill(s, 7);
    assert_int_equal(weightview_hold(v, 6, HASH, &sums, &why), ERR_MISMATCH);
    assert_non_null(strstr(why.text, "has version 7, expected 6"));
    assert_int_equal(weightview_hold(v, 7, OTHER, &sums, &why), ERR_MISMATCH);
    assert_true(weightslab_claim(s));
    weightview_unmap(v);
    weightslab_destroy(s);
}

// A learner that ends while an actor decodes: the memory stays until the actor is done.
static void a_version_outlives_its_writer(void **state)
{
    (void)state;
    struct weightslab *s = make();
    fill(s, 3);
    struct weightview *v = map(s);
    assert_int_equal(hold(v, 3), ERR_OK);
    weightslab_destroy(s);
    assert_true(all_equal(weightview_panels(v), 3));
    weightview_unmap(v);
}

static void nobody_else_can_write_or_resize(void **state)
{
    (void)state;
    struct weightslab *s = make();
    char path[64];
    fill(s, 1);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", (int)weightslab_name(s).fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {    // of the same user, a name may be opened for writing; the seals stand
        assert_int_equal(write(fd, "x", 1), -1);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(ftruncate(fd, 1 << 20), -1);
        assert_ptr_equal(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        close(fd);
    }
    assert_true(all_equal(weightslab_panels(s), 1));
    weightslab_destroy(s);
}

// ---- names

static void refused(struct weightslab_name name, struct weightslab_layout layout, enum err expected,
                    const char *said)
{
    struct weightview *v = NULL;
    struct why why = {""};
    enum err e = weightview_map(&name, &layout, &v, &why);
    if (e != expected || v || !strstr(why.text, said)) {
        fail_msg("%s: \"%s\", expected %s: \"%s\"", err_text(e), why.text, err_text(expected),
                 said);
    }
}

static struct weightslab_name own_fd(int fd)
{
    return (struct weightslab_name){(uint64_t)getpid(), (uint32_t)fd, OWNER};
}

static void other_layouts_and_owners_are_refused(void **state)
{
    (void)state;
    struct weightslab *s = make();
    struct weightslab_name name = weightslab_name(s), stranger = name;
    fill(s, 1);
    stranger.owner = OTHER;
    refused(stranger, LAYOUT, ERR_MISMATCH, "another writer");
    refused(name, (struct weightslab_layout){"cuda-1", DTYPE_BF16, BYTES}, ERR_MISMATCH,
            "expected cuda-1");
    refused(name, (struct weightslab_layout){"cpu-f32-1", DTYPE_F32, BYTES}, ERR_MISMATCH,
            "expected cpu-f32-1 type 1");
    refused(name, (struct weightslab_layout){"cpu-f32-1", DTYPE_BF16, BYTES - 2}, ERR_MISMATCH,
            "of 12386");
    refused(name, (struct weightslab_layout){"cpu-f32-1", DTYPE_BF16, BYTES + PAGE}, ERR_MISMATCH,
            "20480 bytes, expected 24576");
    weightslab_destroy(s);
}

// A name is two numbers from the network. What they lead to is not opened unless it calls itself a
// slab: opening a FIFO waits, opening some devices does things.
static void names_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/caravan-weights-XXXXXX", link[64];
    int file = mkstemp(path), ends[2], device = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(ftruncate(file, PAGE * 5), 0);
    refused(own_fd(file), LAYOUT, ERR_NOT_FOUND, "is \"/tmp/");
    refused(own_fd(ends[0]), LAYOUT, ERR_NOT_FOUND, "is \"pipe:");
    refused(own_fd(device), LAYOUT, ERR_NOT_FOUND, "is \"/dev/null");
    refused(own_fd(987654), LAYOUT, ERR_NOT_FOUND, "No such file");
    refused((struct weightslab_name){0, 1, OWNER}, LAYOUT, ERR_NOT_FOUND, "process 0");
    refused((struct weightslab_name){UINT64_MAX, 1, OWNER}, LAYOUT, ERR_NOT_FOUND, "process 1844");
    refused((struct weightslab_name){1, UINT32_MAX, OWNER}, LAYOUT, ERR_NOT_FOUND, "file 4294");
    // A symlink is resolved by the open that made the number; the number leads to its target.
    (void)snprintf(link, sizeof link, "%s.link", path);
    assert_int_equal(symlink(path, link), 0);
    int through = open(link, O_RDONLY | O_CLOEXEC);
    refused(own_fd(through), LAYOUT, ERR_NOT_FOUND, "is \"/tmp/");
    pid_t gone = fork();
    if (gone == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    refused((struct weightslab_name){(uint64_t)gone, 3, OWNER}, LAYOUT, ERR_NOT_FOUND, "/proc/");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(path), 0);
    close(through);
    close(file);
    close(device);
    close(ends[0]);
    close(ends[1]);
}

static int lookalike(off_t bytes, int seals)
{
    int fd = memfd_create("caravan-weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

// Without its seals a file could shrink under the reader, and reading past its end is a signal.
static void lookalikes_are_refused(void **state)
{
    (void)state;
    int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    int soft = lookalike((off_t)PAGE * 5, F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
    int small = lookalike(PAGE, all), empty = lookalike((off_t)PAGE * 5, all);
    refused(own_fd(soft), LAYOUT, ERR_MISMATCH, "without the seals");
    refused(own_fd(small), LAYOUT, ERR_MISMATCH, "4096 bytes, expected 20480");
    refused(own_fd(empty), LAYOUT, ERR_MISMATCH, "revision 0");
    close(soft);
    close(small);
    close(empty);
}

static void slabs_of_other_users_are_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(seteuid(NOBODY), 0);
    struct weightslab *s = make();
    fill(s, 1);
    assert_int_equal(seteuid(0), 0);
    refused(weightslab_name(s), LAYOUT, ERR_DENIED, "belongs to user 65534");
    weightslab_destroy(s);
}

static void memory_that_cannot_be_had_is_an_error(void **state)
{
    (void)state;
    struct weightslab *s = NULL;
    struct why why = {""};
    struct weightslab_layout huge = {"cpu-f32-1", DTYPE_BF16, (size_t)1 << 60};
    assert_int_equal(weightslab_create(&huge, OWNER, NULL, &s, &why), ERR_NOMEM);
    assert_non_null(strstr(why.text, "weight slab"));
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_sees_each_version_in_place),
        cmocka_unit_test(what_a_reader_holds_is_not_written),
        cmocka_unit_test(a_reader_that_dies_lets_go),
        cmocka_unit_test(what_is_not_whole_is_refused),
        cmocka_unit_test(another_version_or_hash_is_refused_and_not_held),
        cmocka_unit_test(a_version_outlives_its_writer),
        cmocka_unit_test(nobody_else_can_write_or_resize),
        cmocka_unit_test(other_layouts_and_owners_are_refused),
        cmocka_unit_test(names_that_lead_elsewhere_are_refused),
        cmocka_unit_test(lookalikes_are_refused),
        cmocka_unit_test(slabs_of_other_users_are_refused),
        cmocka_unit_test(memory_that_cannot_be_had_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// publish_test.c: claims about serving, writing, keeping and forgetting versions.
//
// Versions are served from memory, written behind, read back from files, pinned and removed; a
// reader must get the bytes of exactly the version it asked for, or nothing.

#include "learner/publish.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "model/source.h"
#include "reference.h"

enum { BLOB = 3333 * 2 };

// A parameter table of a matrix and a norm. All versions are made in the same memory, one after the
// other, as a trainer does; their bytes are the version's number.
struct fixture {
    char dir[64];
    uint8_t memory[BLOB];
    atomic_int copied;    // how often it was copied from
    struct param list[2];
    struct param_table params;
    struct publish *p;
    uint64_t news;    // last version heard of
};

static void on_news(void *arg, uint64_t version)
{
    ((struct fixture *)arg)->news = version;
}

static void open_again(struct fixture *f, size_t keep)
{
    struct why why = {""};
    char weights[96];
    (void)snprintf(weights, sizeof weights, "%s/weights", f->dir);
    if (publish_create(weights, &f->params, DTYPE_BF16, keep, on_news, f, &f->p, &why)) {
        fail_msg("%s", why.text);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/publish_testXXXXXX");
    if (!mkdtemp(f->dir)) {
        return -1;
    }
    f->list[0] = (struct param){.name = "model.embed_tokens.weight",
                                .kind = PARAM_EMBED,
                                .layer = -1,
                                .rows = 100,
                                .cols = 33,
                                .count = 3300};
    f->list[1] = (struct param){.name = "model.norm.weight",
                                .kind = PARAM_FINAL_NORM,
                                .vector = true,
                                .layer = -1,
                                .rows = 1,
                                .cols = 33,
                                .offset = 3300,
                                .count = 33};
    f->params = (struct param_table){.params = f->list, .n = 2, .total = 3333};
    open_again(f, 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    publish_destroy(f->p);
    int failed = fs_remove_tree(f->dir, NULL) != ERR_OK;
    free(f);
    return failed;
}

static void copy_memory(void *arg, uint64_t offset, size_t n, void *out)
{
    struct fixture *f = arg;
    assert_true(offset + n <= BLOB);
    atomic_fetch_add(&f->copied, 1);
    memcpy(out, f->memory + offset, n);
}

static struct hash128 add(struct fixture *f, uint64_t version)
{
    struct why why = {""};
    if (publish_detach(f->p, &why)) {
        fail_msg("%s", why.text);
    }
    memset(f->memory, (int)version, BLOB);
    struct publish_version v = {version, BLOB, hash_bytes(f->memory, BLOB), 1000 * version};
    if (publish_add(f->p, &v, copy_memory, f, &why)) {
        fail_msg("%s", why.text);
    }
    return v.hash;
}

static void flush(struct fixture *f)
{
    struct why why = {""};
    if (publish_flush(f->p, &why)) {
        fail_msg("%s", why.text);
    }
}

static bool on_disk(const struct fixture *f, unsigned version)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/weights/v%06u.safetensors", f->dir, version);
    return fs_exists(path);
}

// Reads version in two pieces and checks every byte; ERR_NOT_FOUND is passed on.
static enum err read_back(struct fixture *f, uint64_t version, uint64_t expected)
{
    uint8_t bytes[BLOB];
    size_t len = 0, rest = 0;
    struct publish_version v;
    struct why why = {""};
    enum err e = publish_read(f->p, version, 0, 5001, bytes, &len, &v, &why);
    if (e == ERR_NOT_FOUND) {
        return e;
    }
    assert_int_equal(e, ERR_OK);
    assert_int_equal(len, 5001);
    assert_int_equal(v.version, expected);
    assert_int_equal(v.bytes, BLOB);
    assert_int_equal(publish_read(f->p, v.version, 5001, BLOB, bytes + 5001, &rest, &v, &why),
                     ERR_OK);
    assert_int_equal(rest, BLOB - 5001);
    for (size_t i = 0; i < BLOB; i++) {
        assert_int_equal(bytes[i], (uint8_t)expected);
    }
    assert_true(hash_equal(v.hash, hash_bytes(bytes, BLOB)));
    return ERR_OK;
}

static void a_version_is_served_as_soon_as_it_is_added(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(publish_newest(f->p), 0);
    assert_int_equal(read_back(f, 0, 0), ERR_NOT_FOUND);
    add(f, 1);
    assert_int_equal(f->news, 1);
    assert_int_equal(publish_newest(f->p), 1);
    assert_int_equal(read_back(f, 0, 1), ERR_OK);
    assert_int_equal(read_back(f, 1, 1), ERR_OK);
    assert_int_equal(read_back(f, 2, 2), ERR_NOT_FOUND);
}

static void reading_past_the_end_gives_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t byte = 0;
    size_t len = 9;
    struct publish_version v;
    add(f, 1);
    assert_int_equal(publish_read(f->p, 1, BLOB, 1, &byte, &len, &v, NULL), ERR_OK);
    assert_int_equal(len, 0);
    assert_int_equal(publish_read(f->p, 1, UINT64_MAX, 1, &byte, &len, &v, NULL), ERR_OK);
    assert_int_equal(len, 0);
}

// Actors tell from it how long a version took to reach them.
static void the_time_of_the_update_goes_with_the_version(void **state)
{
    struct fixture *f = *state;
    struct publish_version v;
    add(f, 7);
    assert_int_equal(publish_find(f->p, 0, &v, NULL), ERR_OK);
    assert_int_equal(v.version, 7);
    assert_int_equal(v.updated_us, 7000);
    flush(f);
    add(f, 8);
    flush(f);
    assert_int_equal(publish_find(f->p, 7, &v, NULL), ERR_OK);    // from its file
    assert_int_equal(v.updated_us, 7000);
    open_again(f, 2);
    assert_int_equal(publish_find(f->p, 7, &v, NULL), ERR_OK);
    assert_int_equal(v.updated_us, 0);
    assert_int_equal(publish_find(f->p, 9, &v, NULL), ERR_NOT_FOUND);
}

static void versions_only_rise(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    struct publish_version v = {.version = 5, .hash = add(f, 5)};
    assert_int_equal(publish_add(f->p, &v, copy_memory, f, &why), ERR_INVALID);
    assert_non_null(strstr(why.text, "version 5"));
    assert_int_equal(read_back(f, 0, 5), ERR_OK);
}

static void older_versions_are_read_from_their_files(void **state)
{
    struct fixture *f = *state;
    add(f, 1);
    flush(f);
    add(f, 2);
    assert_int_equal(read_back(f, 1, 1), ERR_OK);
    assert_int_equal(read_back(f, 2, 2), ERR_OK);
}

static void only_the_newest_files_and_pinned_ones_stay(void **state)
{
    struct fixture *f = *state;
    publish_pin(f->p, 1);
    publish_pin(f->p, 1);
    for (uint64_t v = 1; v <= 5; v++) {
        add(f, v);
    }
    flush(f);
    assert_true(on_disk(f, 1) && !on_disk(f, 2) && !on_disk(f, 3) && on_disk(f, 4) &&
                on_disk(f, 5));
    assert_int_equal(read_back(f, 1, 1), ERR_OK);
    assert_int_equal(read_back(f, 3, 3), ERR_NOT_FOUND);
    publish_unpin(f->p, 1);
    flush(f);
    assert_true(on_disk(f, 1));
    publish_unpin(f->p, 1);
    flush(f);
    assert_false(on_disk(f, 1));
}

// Recovery publishes again before it knows which versions live samples name.
static void nothing_is_removed_while_held(void **state)
{
    struct fixture *f = *state;
    publish_hold(f->p, true);
    for (uint64_t v = 1; v <= 5; v++) {
        add(f, v);
    }
    flush(f);
    assert_true(on_disk(f, 1) && on_disk(f, 2) && on_disk(f, 5));
    publish_pin(f->p, 2);
    publish_hold(f->p, false);
    flush(f);
    assert_true(!on_disk(f, 1) && on_disk(f, 2) && !on_disk(f, 3) && on_disk(f, 4));
}

// Weights files are ordinary safetensors: any tool opens them.
static void files_hold_the_tensors_by_name(void **state)
{
    struct fixture *f = *state;
    uint8_t flat[BLOB];
    char path[96];
    struct why why = {""};
    add(f, 7);
    flush(f);
    (void)snprintf(path, sizeof path, "%s/weights/v000007.safetensors", f->dir);
    if (safetensors_read_flat(path, &f->params, DTYPE_BF16, flat, &why)) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(flat[0], 7);
    assert_int_equal(flat[BLOB - 1], 7);
}

static void a_restart_finds_what_was_written(void **state)
{
    struct fixture *f = *state;
    char leftover[96];
    add(f, 1);
    add(f, 2);
    publish_destroy(f->p);    // waits for the writer
    (void)snprintf(leftover, sizeof leftover, "%s/weights/v000003.safetensors.tmp", f->dir);
    assert_int_equal(fs_write_file(leftover, "half", 4, NULL), ERR_OK);
    open_again(f, 2);
    assert_int_equal(publish_newest(f->p), 0);
    assert_int_equal(read_back(f, 1, 1), ERR_OK);
    assert_int_equal(read_back(f, 2, 2), ERR_OK);
    assert_false(fs_exists(leftover));
    add(f, 2);    // recovery makes the same version again
    assert_int_equal(read_back(f, 0, 2), ERR_OK);
}

static void a_damaged_file_is_not_served(void **state)
{
    struct fixture *f = *state;
    char path[96];
    add(f, 1);
    flush(f);
    publish_destroy(f->p);
    (void)snprintf(path, sizeof path, "%s/weights/v000001.safetensors", f->dir);
    assert_int_equal(truncate(path, 4000), 0);
    open_again(f, 2);
    assert_int_equal(read_back(f, 1, 1), ERR_NOT_FOUND);
}

static void forgotten_versions_are_gone(void **state)
{
    struct fixture *f = *state;
    publish_pin(f->p, 3);
    for (uint64_t v = 1; v <= 3; v++) {
        add(f, v);
    }
    publish_forget_after(f->p, 2);
    assert_int_equal(publish_newest(f->p), 2);
    assert_int_equal(read_back(f, 3, 3), ERR_NOT_FOUND);
    assert_false(on_disk(f, 3));
    assert_int_equal(read_back(f, 2, 2), ERR_OK);
    add(f, 3);    // the number is free again
    assert_int_equal(read_back(f, 0, 3), ERR_OK);
    publish_unpin(f->p, 3);
}

// The disk refuses every file; actors must not notice until the memory is wanted back, and the next
// version tries again.
static void a_full_disk_is_reported_and_serving_goes_on(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, tight;
    struct why why = {""};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1000;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    add(f, 1);
    enum err e = publish_flush(f->p, &why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(e, ERR_FULL);
    assert_non_null(strstr(why.text, "v000001"));
    assert_false(on_disk(f, 1));
    assert_int_equal(read_back(f, 0, 1), ERR_OK);
    assert_int_equal(publish_detach(f->p, &why), ERR_OK);
    assert_int_equal(read_back(f, 0, 1), ERR_NOT_FOUND);
    add(f, 2);
    flush(f);
    assert_true(on_disk(f, 2));
    assert_int_equal(read_back(f, 0, 2), ERR_OK);
}

// Weights are served from the page cache once they are a file.
static void a_version_that_is_a_file_leaves_memory_alone(void **state)
{
    struct fixture *f = *state;
    for (uint64_t v = 1; v <= 5; v++) {
        add(f, v);
        flush(f);
        int copied = atomic_load(&f->copied);
        memset(f->memory, 0xee, BLOB);
        assert_int_equal(read_back(f, 0, v), ERR_OK);
        assert_int_equal(atomic_load(&f->copied), copied);
    }
}

// Between two updates nobody asks for memory back: detaching then waits for the file, not longer.
static void a_detached_version_is_served_from_its_file(void **state)
{
    struct fixture *f = *state;
    add(f, 1);
    assert_int_equal(publish_detach(f->p, NULL), ERR_OK);
    assert_true(on_disk(f, 1));
    memset(f->memory, 0xee, BLOB);
    assert_int_equal(read_back(f, 0, 1), ERR_OK);
    assert_int_equal(publish_detach(f->p, NULL), ERR_OK);    // again: nothing to wait for
    assert_int_equal(read_back(f, 0, 1), ERR_OK);
}

// For an export: what actors were given last.
static void the_newest_file_can_be_mapped(void **state)
{
    struct fixture *f = *state;
    struct fs_map map;
    const void *blob = NULL;
    assert_int_equal(publish_map(f->p, &map, &blob, NULL), ERR_NOT_FOUND);
    add(f, 1);
    add(f, 2);
    assert_int_equal(publish_map(f->p, &map, &blob, NULL), ERR_OK);
    assert_memory_equal(blob, f->memory, BLOB);
    fs_map_close(&map);
}

static void *read_much(void *arg)
{
    struct fixture *f = arg;
    uint8_t bytes[BLOB];
    struct publish_version v = {0};
    while (v.version < 200) {
        size_t len;
        enum err e = publish_read(f->p, 0, 0, BLOB, bytes, &len, &v, NULL);
        if (e == ERR_OK && !hash_equal(v.hash, hash_bytes(bytes, BLOB))) {
            return (void *)"torn read";
        }
    }
    return NULL;
}

// A version is replaced under its readers all the time; they never see two mixed.
static void readers_and_publisher_do_not_disturb_each_other(void **state)
{
    struct fixture *f = *state;
    pthread_t readers[2];
    void *torn = NULL;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_much, f), 0);
    }
    for (uint64_t v = 1; v <= 200; v++) {
        add(f, v);
    }
    for (int i = 0; i < 2; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(readers[i], &result), 0);
        torn = result ? result : torn;
    }
    assert_null(torn);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_version_is_served_as_soon_as_it_is_added),
        CLAIM(reading_past_the_end_gives_nothing),
        CLAIM(the_time_of_the_update_goes_with_the_version),
        CLAIM(versions_only_rise),
        CLAIM(older_versions_are_read_from_their_files),
        CLAIM(only_the_newest_files_and_pinned_ones_stay),
        CLAIM(nothing_is_removed_while_held),
        CLAIM(files_hold_the_tensors_by_name),
        CLAIM(a_restart_finds_what_was_written),
        CLAIM(a_damaged_file_is_not_served),
        CLAIM(forgotten_versions_are_gone),
        CLAIM(a_full_disk_is_reported_and_serving_goes_on),
        CLAIM(a_version_that_is_a_file_leaves_memory_alone),
        CLAIM(a_detached_version_is_served_from_its_file),
        CLAIM(the_newest_file_can_be_mapped),
        CLAIM(readers_and_publisher_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

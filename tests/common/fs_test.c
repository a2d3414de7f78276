// fs_test.c: a file is complete or absent, whatever goes wrong; and nothing outside the asked path
// is touched.

#include "tests/common/check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/fs.h"

static void expect_file(const char *path, const char *text)
{
    char *data = NULL;
    size_t len = 0;
    struct why why = {{0}};
    if (fs_read_file(path, 1 << 20, &data, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(len, strlen(text));
    assert_string_equal(data, text);
    free(data);
}

static void a_written_file_reads_back_and_leaves_no_temporary(void **state)
{
    (void)state;
    struct why why;
    assert_int_equal(fs_write_file("plain", "hello", 5, &why), ERR_OK);
    assert_int_equal(fs_write_file("plain", "again", 5, &why), ERR_OK);
    expect_file("plain", "again");
    assert_false(fs_exists("plain.tmp"));
}

static void an_aborted_file_never_appears(void **state)
{
    (void)state;
    struct why why;
    struct fs_writer *w = NULL;
    assert_int_equal(fs_writer_open("aborted", &w, &why), ERR_OK);
    assert_int_equal(fs_writer_write(w, "half", 4, &why), ERR_OK);
    assert_false(fs_exists("aborted"));
    fs_writer_abort(w);
    fs_writer_abort(NULL);
    assert_false(fs_exists("aborted"));
    assert_false(fs_exists("aborted.tmp"));
}

// A file size limit answers like a full disk (both end a write half way), and needs no root.
static void a_full_disk_keeps_the_old_file_and_names_the_path(void **state)
{
    (void)state;
    struct why why;
    static char big[1 << 16];
    memset(big, 'x', sizeof big);
    assert_int_equal(fs_write_file("precious", "old", 3, &why), ERR_OK);

    struct rlimit before, small = {.rlim_cur = 10000};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err e = fs_write_file("precious", big, sizeof big, &why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, old_handler);

    assert_int_equal(e, ERR_FULL);
    assert_contains(why.text, "precious");
    expect_file("precious", "old");
    assert_false(fs_exists("precious.tmp"));
}

static void what_is_not_a_readable_file_is_named(void **state)
{
    (void)state;
    struct why why;
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(fs_read_file("absent", 10, &data, &len, &why), ERR_NOT_FOUND);
    assert_contains(why.text, "absent");
    assert_int_equal(fs_read_file(".", 10, &data, &len, &why), ERR_INVALID);
    assert_contains(why.text, "folder");
    // Opening a FIFO without a writer would wait for ever.
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(fs_read_file("fifo", 10, &data, &len, &why), ERR_INVALID);
    assert_contains(why.text, "special");
    struct fs_map map;
    assert_int_equal(fs_map_open("fifo", &map, &why), ERR_INVALID);
    assert_int_equal(fs_write_file("no/such/folder", "x", 1, &why), ERR_NOT_FOUND);
    assert_null(data);
}

static void a_file_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct why why;
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(fs_write_file("ten", "0123456789", 10, &why), ERR_OK);
    assert_int_equal(fs_read_file("ten", 9, &data, &len, &why), ERR_LIMIT);
    assert_contains(why.text, "9 bytes");
    assert_int_equal(fs_read_file("ten", 10, &data, &len, &why), ERR_OK);
    assert_string_equal(data, "0123456789");
    free(data);
}

// Files of /proc say that they are empty.
static void a_file_that_does_not_know_its_size_is_read_whole(void **state)
{
    (void)state;
    struct why why;
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(fs_read_file("/proc/self/maps", 1 << 24, &data, &len, &why), ERR_OK);
    assert_true(len > 0 && data[len - 1] == '\n');
    free(data);
}

// A token is what stands on the first line, whatever the editor left behind it.
static void a_token_is_the_first_line_without_blanks_at_its_end(void **state)
{
    (void)state;
    static const struct {
        const char *text, *token;    // NULL: refused
    } cases[] = {{"s3cret", "s3cret"}, {"s3cret\n", "s3cret"}, {" a b \t\r\nmore", " a b"},
                 {"\nlate", NULL},     {"  \n", NULL},         {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *token = NULL;
        struct why why = {""};
        assert_int_equal(fs_write_file("token", cases[i].text, strlen(cases[i].text), NULL),
                         ERR_OK);
        enum err e = fs_read_token("token", &token, &why);
        assert_int_equal(e, cases[i].token ? ERR_OK : ERR_INVALID);
        if (cases[i].token) {
            assert_string_equal(token, cases[i].token);
        } else {
            assert_non_null(strstr(why.text, "token: "));
        }
        free(token);
    }
}

static void a_mapping_shows_the_bytes_and_an_empty_file_is_fine(void **state)
{
    (void)state;
    struct why why;
    struct fs_map map = {0};
    fs_map_close(&map);
    assert_int_equal(fs_write_file("mapped", "abc", 3, &why), ERR_OK);
    assert_int_equal(fs_map_open("mapped", &map, &why), ERR_OK);
    assert_int_equal(map.len, 3);
    assert_memory_equal(map.data, "abc", 3);
    fs_map_rest(&map);
    assert_memory_equal(map.data, "abc", 3);    // it comes back from the file
    fs_map_close(&map);
    assert_int_equal(fs_write_file("empty", "", 0, &why), ERR_OK);
    assert_int_equal(fs_map_open("empty", &map, &why), ERR_OK);
    assert_int_equal(map.len, 0);
    assert_non_null(map.data);
    fs_map_close(&map);
}

static void folders_are_made_level_by_level(void **state)
{
    (void)state;
    struct why why;
    assert_int_equal(fs_make_dirs("deep/a//b/c/", &why), ERR_OK);
    assert_int_equal(fs_make_dirs("deep/a/b/c", &why), ERR_OK);
    assert_true(fs_exists("deep/a/b/c"));
    assert_int_equal(fs_make_dirs("", &why), ERR_INVALID);
    assert_int_equal(fs_write_file("deep/file", "", 0, &why), ERR_OK);
    assert_int_equal(fs_make_dirs("deep/file/x", &why), ERR_EXISTS);
    assert_contains(why.text, "deep/file");
}

// A link inside a run folder must not let its removal reach what it points to.
static void removing_a_tree_does_not_follow_links(void **state)
{
    (void)state;
    struct why why;
    assert_int_equal(fs_make_dirs("outside", &why), ERR_OK);
    assert_int_equal(fs_write_file("outside/kept", "k", 1, &why), ERR_OK);
    assert_int_equal(fs_make_dirs("tree/x/y", &why), ERR_OK);
    assert_int_equal(fs_write_file("tree/x/y/f", "f", 1, &why), ERR_OK);
    assert_int_equal(symlink("../outside", "tree/link"), 0);
    assert_int_equal(symlink("outside", "direct"), 0);
    assert_int_equal(fs_remove_tree("tree", &why), ERR_OK);
    assert_int_equal(fs_remove_tree("direct", &why), ERR_OK);
    assert_false(fs_exists("tree"));
    assert_false(fs_exists("direct"));
    expect_file("outside/kept", "k");
    assert_int_equal(fs_remove_tree("tree", &why), ERR_OK);
}

static void a_lock_has_one_holder_and_names_it(void **state)
{
    (void)state;
    struct why why;
    int first = -1, second = -1;
    assert_int_equal(fs_lock("lock", &first, &why), ERR_OK);
    assert_int_equal(fs_lock("lock", &second, &why), ERR_BUSY);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_contains(why.text, pid);
    assert_int_equal(second, -1);
    fs_unlock(first);
    assert_int_equal(fs_lock("lock", &second, &why), ERR_OK);
    fs_unlock(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_file_reads_back_and_leaves_no_temporary),
        cmocka_unit_test(an_aborted_file_never_appears),
        cmocka_unit_test(a_full_disk_keeps_the_old_file_and_names_the_path),
        cmocka_unit_test(what_is_not_a_readable_file_is_named),
        cmocka_unit_test(a_file_over_the_limit_is_refused),
        cmocka_unit_test(a_file_that_does_not_know_its_size_is_read_whole),
        cmocka_unit_test(a_token_is_the_first_line_without_blanks_at_its_end),
        cmocka_unit_test(a_mapping_shows_the_bytes_and_an_empty_file_is_fine),
        cmocka_unit_test(folders_are_made_level_by_level),
        cmocka_unit_test(removing_a_tree_does_not_follow_links),
        cmocka_unit_test(a_lock_has_one_holder_and_names_it),
    };
    return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}

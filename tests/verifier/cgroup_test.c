// cgroup_test.c: where groups may be made and where not, on folders that look like the kernel's, and
// on the kernel's own where this test may.
#include "tests/verifier/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fs.h"
#include "verifier/cgroup.h"

static char root[] = "/tmp/caravan-cgroup-XXXXXX";

static void put(const char *name, const char *text)
{
    struct why why;
    char *path = fs_path("%s/%s", root, name);
    assert_int_equal(fs_write_file(path, text, strlen(text), &why), ERR_OK);
    free(path);
}

static int make_root(void **state)
{
    (void)state;
    char path[128];
    if (!mkdtemp(root)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/ours", root);
    return mkdir(path, 0755);
}

static int remove_root(void **state)
{
    (void)state;
    return fs_remove_tree(root, NULL) ? -1 : 0;
}

static void only_a_group_with_controllers_is_a_base(void **state)
{
    (void)state;
    put("ours/cgroup.controllers", "cpu memory pids\n");
    put("ours/cgroup.subtree_control", "");
    put("ours/cgroup.procs", "1\n2\n");
    // The kernel would answer a write with "memory pids"; a plain file keeps what is written last.
    char *base = cgroup_base_in(root, "9:pids:/x\n0::/ours\n");
    assert_null(base);    // nothing was handed down, and others live in the group
    put("ours/cgroup.subtree_control", "memory pids\n");
    assert_null(cgroup_base_in(root, "0::/\n"));    // the machine's
    assert_null(cgroup_base_in(root, "0::/nowhere\n"));
    assert_null(cgroup_base_in(root, "10::/ours\n"));
    assert_null(cgroup_base_in(root, ""));
    put("ours/cgroup.controllers", "cpu io\n");
    assert_null(cgroup_base_in(root, "0::/ours\n"));
}

static void a_group_has_its_limits(void **state)
{
    (void)state;
    struct why why = {{0}};
    char path[160], *text;
    size_t len;
    int fd = -1;
    // The kernel makes these files with the folder.
    snprintf(path, sizeof path, "%s/ours/w", root);
    assert_int_equal(mkdir(path, 0755), 0);
    put("ours/w/memory.max", "max");
    put("ours/w/pids.max", "max");
    put("ours/w/cgroup.procs", "");
    snprintf(path, sizeof path, "%s/ours", root);
    assert_int_equal(cgroup_make(path, "w", 1u << 20, 7, &fd, &why), ERR_OK);
    close(fd);
    snprintf(path, sizeof path, "%s/ours/w/memory.max", root);
    assert_int_equal(fs_read_file(path, 64, &text, &len, &why), ERR_OK);
    assert_memory_equal(text, "1048576", 7);
    free(text);
    snprintf(path, sizeof path, "%s/ours/w/pids.max", root);
    assert_int_equal(fs_read_file(path, 64, &text, &len, &why), ERR_OK);
    assert_memory_equal(text, "7", 1);
    free(text);
    assert_int_equal(cgroup_make("/nowhere", "w", 1, 1, &fd, &why), ERR_IO);
    assert_non_null(strstr(why.text, "/nowhere/w"));
}

// On a real hierarchy: a process joins by the descriptor, is ended with its group, and the group
// goes.
static void a_real_group_ends_what_is_in_it(void **state)
{
    (void)state;
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct why why = {{0}};
    int fd = -1;
    const char *base = NULL;
    for (size_t i = 0; i < ARRAY_LEN(mounts) && !base; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s/cgroup.controllers", mounts[i]);
        if (access(file, F_OK) == 0 && access(mounts[i], W_OK) == 0 &&
            cgroup_make(mounts[i], "caravan-test", 1u << 26, 4, &fd, &why) == ERR_OK) {
            base = mounts[i];
        }
    }
    if (!base) {
        print_message("no control groups to be made here\n");
        skip();
    }
    pid_t pid = fork();
    if (pid == 0) {
        if (write(fd, "0", 1) != 1) {
            _exit(9);
        }
        for (;;) {
            pause();
        }
    }
    char file[128], list[32] = {0}, want[32];
    snprintf(file, sizeof file, "%s/caravan-test/cgroup.procs", base);
    snprintf(want, sizeof want, "%d\n", (int)pid);
    while (strcmp(list, want) != 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        int in = open(file, O_RDONLY);
        ssize_t n = read(in, list, sizeof list - 1);
        list[n > 0 ? n : 0] = 0;
        close(in);
    }
    assert_string_equal(list, want);
    close(fd);
    cgroup_remove(base, "caravan-test");
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 9);
    cgroup_sweep(base, "caravan-test", 1000);
    assert_int_not_equal(access(file, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_group_with_controllers_is_a_base),
        cmocka_unit_test(a_group_has_its_limits),
        cmocka_unit_test(a_real_group_ends_what_is_in_it),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

// sandbox_files.c: what a worker sees of files: a root of its own, and Landlock on top of it.
//
// At level full the root is a tmpfs that holds nothing, or for a plug-in's host its file and a
// read-only view of the system's libraries and programs. Landlock denies the same things a second
// time, at every level, on kernels that have it.
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "verifier/sandbox_steps.h"

// ---- the root ----

#define TMPFS_FLAGS (MS_NOSUID | MS_NODEV)
#define NEW_ROOT "/proc"

// Everything below a folder of the old root, read-only, in the new one; a link stays a link. What
// the machine does not have is left out.
static int show(const char *path)
{
    char at[64], target[256];
    struct stat st;
    (void)snprintf(at, sizeof at, NEW_ROOT "%s", path);
    if (lstat(path, &st) != 0) {
        return 0;
    }
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) {
            return -1;
        }
        target[n] = 0;
        return symlink(target, at);
    }
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    int made = S_ISDIR(st.st_mode) ? mkdir(at, 0755) : open(at, O_CREAT | O_WRONLY | O_EXCL, 0644);
    if (made < 0 || (!S_ISDIR(st.st_mode) && close(made) != 0)) {
        return -1;
    }
    if (mount(path, at, NULL, MS_BIND | MS_REC, NULL) != 0) {
        return -1;
    }
    return (int)syscall(SYS_mount_setattr, AT_FDCWD, at, AT_RECURSIVE, &attr, sizeof attr);
}

// The plug-in's file, from descriptor 3, so that no path of the old root is needed for it.
static int copy_plugin(void)
{
    char chunk[16384];
    ssize_t n = -1;
    int fd = mkdir(NEW_ROOT "/plugin", 0755) == 0
                 ? open(NEW_ROOT SANDBOX_PLUGIN_PATH, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0755)
                 : -1;
    if (fd < 0) {
        return -1;
    }
    for (off_t at = 0; (n = pread(3, chunk, sizeof chunk, at)) > 0; at += n) {
        if (write(fd, chunk, (size_t)n) != n) {
            n = -1;
            break;
        }
    }
    int rc = fchmod(fd, 0755);
    return close(fd) == 0 && n == 0 ? rc : -1;
}

static int furnish_root(const struct sandbox *s)
{
    static const char *const libraries[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache"};
    static const char *const for_programs[] = {"/bin", "/etc/alternatives", "/dev/null",
                                               "/dev/urandom"};
    if (copy_plugin() != 0 || mkdir(NEW_ROOT "/etc", 0755) != 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(libraries) && rc == 0; i++) {
        rc = show(libraries[i]);
    }
    if (s->role == SANDBOX_OBJECT || rc != 0) {
        return rc;
    }
    rc = mkdir(NEW_ROOT "/dev", 0755) != 0 ? -1 : mkdir(NEW_ROOT "/tmp", 01777);
    for (size_t i = 0; i < ARRAY_LEN(for_programs) && rc == 0; i++) {
        rc = show(for_programs[i]);
    }
    return rc != 0 ? rc
                   : mount("none", NEW_ROOT "/tmp", "tmpfs", TMPFS_FLAGS | MS_NOEXEC,
                           "size=16m,nr_inodes=1k,mode=1777");
}

// A tmpfs becomes the root, mounted over /proc because that folder surely exists (the maps above
// were written there): pivot_root(".", ".") stacks the old root on the new one, from where it is
// detached. For a scorer it stays empty.
int sandbox_change_root(const struct sandbox *s)
{
    bool empty = s->role == SANDBOX_SCORER;
    const unsigned long flags = TMPFS_FLAGS | (empty ? MS_NOEXEC : 0);
    const char *size = empty ? "size=4k,nr_inodes=2,mode=555" : "size=72m,nr_inodes=64,mode=755";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", NEW_ROOT, "tmpfs", flags, size) != 0 || (!empty && furnish_root(s) != 0) ||
        chdir(NEW_ROOT) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
        return -1;
    }
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL);
}

// ---- Landlock ----

// Files by what may be done with them, as far as this kernel knows.
static uint64_t handled_files(int abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;    // version 1
    all |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    all |= abi >= 3 ? 1ull << 14 : 0;    // truncate
    all |= abi >= 5 ? 1ull << 15 : 0;    // device ioctl
    return all;
}

static int open_beneath(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat st;
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed_access &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                               LANDLOCK_ACCESS_FS_WRITE_FILE;
    }
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
    return (int)rc;
}

// Nothing but reading, and running, below `readable`; all but running below `writable`. NULL: none.
static int restrict_to(const char *const *readable, const char *const *writable)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
    }
    const uint64_t read =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    // Version 4 adds TCP, version 6 abstract sockets and signals to the outside; all are denied.
    const uint64_t attr[3] = {handled_files((int)abi), abi >= 4 ? 3 : 0, abi >= 6 ? 3 : 0};
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, attr, size, 0);
    if (ruleset < 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; readable && readable[i] && rc == 0; i++) {
        rc = open_beneath(ruleset, readable[i], read);
    }
    for (size_t i = 0; writable && writable[i] && rc == 0; i++) {
        rc = open_beneath(ruleset, writable[i], attr[0] & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE);
    }
    rc = rc ? rc : (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
    return rc;
}

int sandbox_restrict_files(const struct sandbox *s)
{
    static const char *const libraries[] = {"/usr",    "/lib", "/lib64", "/etc/ld.so.cache",
                                            "/plugin", NULL};
    static const char *const system[] = {"/usr", "/lib",    "/lib64",       "/bin",
                                         "/etc", "/plugin", "/dev/urandom", NULL};
    static const char *const own[] = {"/tmp", "/dev/null", NULL};
    switch (s->role) {
    case SANDBOX_SCORER:
        return 0;    // sealed below
    case SANDBOX_OBJECT:
        return restrict_to(libraries, NULL);
    case SANDBOX_PROGRAM:
        return restrict_to(system, own);
    }
    return 0;
}

int sandbox_seal_files(const struct sandbox *s)
{
    return s->role == SANDBOX_PROGRAM ? 0 : restrict_to(NULL, NULL);
}

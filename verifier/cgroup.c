// cgroup.c: files of a few bytes under /sys/fs/cgroup.
//
// memory.max and pids.max exist where the parent has handed these controllers down; what is not
// there is left out, the group still ends everything in it at once (cgroup.kill).
#include "verifier/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

static bool write_file(const char *folder, const char *name, const char *text)
{
    char *path = fs_path("%s/%s", folder, name);
    int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    free(path);
    if (fd < 0) {
        return false;
    }
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

// The first bytes of a file; "" when it cannot be read.
static void read_file(const char *folder, const char *name, char *out, size_t cap)
{
    char *path = fs_path("%s/%s", folder, name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, out, cap - 1) : 0;
    out[n > 0 ? n : 0] = 0;
    if (fd >= 0) {
        close(fd);
    }
    free(path);
}

static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += len) {
        if ((at == text || at[-1] == ' ') && (at[len] == 0 || at[len] == ' ' || at[len] == '\n')) {
            return true;
        }
    }
    return false;
}

// At least one of the two controllers is handed down to the groups in `base`.
static bool hand_down(const char *base)
{
    char on[256];
    (void)write_file(base, "cgroup.subtree_control", "+memory");
    (void)write_file(base, "cgroup.subtree_control", "+pids");
    read_file(base, "cgroup.subtree_control", on, sizeof on);
    return has_word(on, "memory") || has_word(on, "pids");
}

// This process is the only one in the group, and goes into one below it.
static bool step_down(const char *base)
{
    char procs[64], self[32];
    read_file(base, "cgroup.procs", procs, sizeof procs);
    (void)snprintf(self, sizeof self, "%d\n", (int)getpid());
    char *own = fs_path("%s/caravan", base);
    bool moved = own && strcmp(procs, self) == 0 && (mkdir(own, 0755) == 0 || errno == EEXIST) &&
                 write_file(own, "cgroup.procs", "0");
    free(own);
    return moved;
}

char *cgroup_base_in(const char *mount, const char *membership)
{
    char list[256];
    const char *at = strstr(membership, "0::/");
    if (!at || (at != membership && at[-1] != '\n')) {
        return NULL;
    }
    size_t len = strcspn(at + 4, "\n");
    char *base = len > 0 ? fs_path("%s/%.*s", mount, (int)len, at + 4) : NULL;
    // The root group belongs to the whole machine.
    if (!base || access(base, W_OK) != 0) {
        free(base);
        return NULL;
    }
    read_file(base, "cgroup.controllers", list, sizeof list);
    bool usable = (has_word(list, "memory") || has_word(list, "pids")) &&
                  (hand_down(base) || (step_down(base) && hand_down(base)));
    if (!usable) {
        free(base);
        return NULL;
    }
    return base;
}

char *cgroup_base(void)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char membership[4096], probe[8];
    read_file("/proc/self", "cgroup", membership, sizeof membership);
    for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
        read_file(mounts[i], "cgroup.controllers", probe, sizeof probe);
        char *base = probe[0] ? cgroup_base_in(mounts[i], membership) : NULL;
        if (base) {
            return base;
        }
    }
    return NULL;
}

enum err cgroup_make(const char *base, const char *name, uint64_t memory_bytes, uint32_t processes,
                     int *fd, struct why *why)
{
    char memory[32], pids[16];
    char *group = fs_path("%s/%s", base, name), *procs = fs_path("%s/%s/cgroup.procs", base, name);
    (void)snprintf(memory, sizeof memory, "%llu", (unsigned long long)memory_bytes);
    (void)snprintf(pids, sizeof pids, "%u", (unsigned)processes);
    *fd = -1;
    if (group && procs && (mkdir(group, 0755) == 0 || errno == EEXIST)) {
        (void)write_file(group, "memory.max", memory);
        (void)write_file(group, "memory.swap.max", "0");
        (void)write_file(group, "pids.max", pids);
        *fd = open(procs, O_WRONLY | O_CLOEXEC);
    }
    enum err e = *fd >= 0
                     ? ERR_OK
                     : why_set(why, ERR_IO, "control group %s/%s: %s", base, name, strerror(errno));
    free(group);
    free(procs);
    return e;
}

void cgroup_remove(const char *base, const char *name)
{
    char *group = fs_path("%s/%s", base, name);
    if (group) {
        (void)write_file(group, "cgroup.kill", "1");
        (void)rmdir(group);
    }
    free(group);
}

// How many are left.
static size_t sweep_once(const char *base, const char *prefix)
{
    size_t left = 0;
    DIR *d = opendir(base);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char *group = strncmp(e->d_name, prefix, strlen(prefix)) == 0
                          ? fs_path("%s/%s", base, e->d_name)
                          : NULL;
        left += group && rmdir(group) != 0;
        free(group);
    }
    if (d) {
        closedir(d);
    }
    return left;
}

void cgroup_sweep(const char *base, const char *prefix, uint32_t wait_ms)
{
    for (uint32_t waited = 0; base && sweep_once(base, prefix) > 0 && waited < wait_ms; waited++) {
        (void)usleep(1000);
    }
}

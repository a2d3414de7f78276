// cgroup.h: control groups for workers, where this process may make them: memory and number of
// processes of one worker, whatever it does.
//
// Version 2 only, and only a group that is ours alone: delegated to this service (systemd:
// Delegate=yes) with no other process in it. Elsewhere there are none, and the limits of the
// sandbox stand by themselves. Loop thread of the pool.
#ifndef CARAVAN_VERIFIER_CGROUP_H
#define CARAVAN_VERIFIER_CGROUP_H

#include <stdint.h>

#include "common/err.h"

// The folder under which groups can be made (free()), or NULL. This process may be moved into a
// group of its own there, because a group that has groups may hold no process.
char *cgroup_base(void);
// The same for given folders: the mount of version 2 and what /proc/self/cgroup says.
char *cgroup_base_in(const char *mount, const char *membership);

// Makes a group; *fd: its list of processes, for writing, which a process joins by writing "0".
// ERR_IO with `why`.
MUST_CHECK enum err cgroup_make(const char *base, const char *name, uint64_t memory_bytes,
                                uint32_t processes, int *fd, struct why *why);
// Kills what is left in it and removes it, if that can be done at once.
void cgroup_remove(const char *base, const char *name);
// Removes the groups under `base` whose names begin with `prefix` and that are empty by now; waits
// up to wait_ms for those that are not. base NULL is fine.
void cgroup_sweep(const char *base, const char *prefix, uint32_t wait_ms);

#endif

// tiny_model.h: a Hugging Face folder with a tiny model and a tokenizer of single bytes, written by
// the tool make_tiny_model (whose path the build hands over).
#ifndef CARAVAN_TESTS_LEARNER_TINY_MODEL_H
#define CARAVAN_TESTS_LEARNER_TINY_MODEL_H

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

// dir need not exist. seed "1", "2", …: other weights, the same tokenizer.
static inline void tiny_model_make(const char *dir, const char *seed)
{
    char *const argv[] = {(char *)(uintptr_t)MAKE_TINY_MODEL, (char *)(uintptr_t)dir,
                          (char *)(uintptr_t)seed, NULL};
    pid_t pid;
    int status = -1;
    assert_int_equal(posix_spawn(&pid, MAKE_TINY_MODEL, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#endif

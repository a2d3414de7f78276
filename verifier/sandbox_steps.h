// sandbox_steps.h: the steps of sandbox.c that fill files of their own. Internal to the sandbox.
//
// Each returns 0, or -1 with errno.
#ifndef CARAVAN_VERIFIER_SANDBOX_STEPS_H
#define CARAVAN_VERIFIER_SANDBOX_STEPS_H

#include "verifier/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

// sandbox_files.c
int sandbox_change_root(const struct sandbox *s);
int sandbox_restrict_files(const struct sandbox *s);    // what the role may read and write
int sandbox_seal_files(const struct sandbox *s);        // nothing any more

// sandbox_filter.c
int sandbox_filter_loading(const struct sandbox *s);
int sandbox_filter_last(const struct sandbox *s);

#endif

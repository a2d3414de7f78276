// base.h: the few macros that every file may use. No types, no state.
//
// MIN and MAX come from sys/param.h, where they are macros: arguments are evaluated twice.
#ifndef CARAVAN_COMMON_BASE_H
#define CARAVAN_COMMON_BASE_H

#include <stddef.h>
#include <sys/param.h>    // MIN, MAX

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

// CHECK is for programmer errors only: it prints file, line and condition to stderr and aborts.
// Bytes from outside (files, messages, model output) must never be able to reach a failing CHECK.
#define CHECK(cond) ((cond) ? (void)0 : base_check_failed(#cond, __FILE__, __LINE__))

_Noreturn void base_check_failed(const char *cond, const char *file, int line);

#endif

// log.h: one line per event on stderr: time, level, role, EVENT_ID, key=value…
//
//   2026-01-31T12:00:00.123Z WARN learner ROLLOUT_STALE sample=812 lag=5 max=4
//
// Thread-safe (one write(2) per line). An error is logged once, where it stops travelling.
#ifndef CARAVAN_COMMON_LOG_H
#define CARAVAN_COMMON_LOG_H

#include "common/base.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

// Sets the role name that every line carries (copied, at most 31 bytes) and the lowest level
// written. Call once, before threads.
void log_setup(const char *role, enum log_level lowest);

// event: UPPER_SNAKE id, stable across releases. fmt: "key=value key=value"; values with blanks are
// quoted by the caller as "%s". Control characters in the result are replaced by '?', lines are cut
// at 2 KiB.
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define LOG_DEBUG(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define LOG_INFO(event, ...) log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define LOG_WARN(event, ...) log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define LOG_ERROR(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif

// statusview.h: the learner's /status for people: small tolerant readers, numbers and trend lines.
//
// A field that is absent (an older or newer learner) reads as 0 or "", never as an error.
//
// In: the JSON document of /status, fetched over HTTP from a run folder's socket or a port. Out:
// text in a buffer. Only status_fetch blocks; all else is formatting and needs no run.
#ifndef CARAVAN_CLI_STATUSVIEW_H
#define CARAVAN_CLI_STATUSVIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

enum { STATUS_NUMBER_BYTES = 32 };    // a short number or duration, NUL included

// A value by path, "rates.decode_tokens_per_s".
const json_t *status_at(const json_t *o, const char *path);    // NULL when absent
double status_num(const json_t *o, const char *path);
const char *status_str(const json_t *o, const char *path);

// Eight heights of blocks, one column for each value (the newest at the right; more values than
// columns are averaged), scaled between the least and the largest value, at least 0.1 apart.
MUST_CHECK enum err spark_append(struct buf *out, const json_t *values, size_t columns);
// "412", "1.2k", "3.4M"
void status_count(char out[STATUS_NUMBER_BYTES], double x);
// "42 s", "4:12", "1:04:12"
void status_duration(char out[STATUS_NUMBER_BYTES], double seconds);

// GET /status of a run folder, HOST:PORT or socket path.
MUST_CHECK enum err status_fetch(const char *where, uint32_t timeout_ms, json_t **out,
                                 struct why *why);

// Several lines: the whole run at a glance. full: also every peer and every wait.
MUST_CHECK enum err status_print(struct buf *out, const json_t *status, bool full);
// The table over all roles that `caravan top` shows.
MUST_CHECK enum err status_print_peers(struct buf *out, const json_t *status);

#endif

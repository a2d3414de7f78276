// clock.h: two clocks with their units in the name. Leases and deadlines use only the monotonic
// one.
#ifndef CARAVAN_COMMON_CLOCK_H
#define CARAVAN_COMMON_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
// Unix time; for people and the ledger's timestamps, never for deadlines.
int64_t clock_wall_ms(void);
double clock_mono_s(void);

#endif

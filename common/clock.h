// clock.h: two clocks with their units in the name. Leases and deadlines use only the monotonic
// one.
//
// Monotonic times are counted from an arbitrary moment (the start of the machine) and never go
// backwards; they mean nothing in another process on another machine. Wall time may jump. Any
// thread; no call fails.
#ifndef CARAVAN_COMMON_CLOCK_H
#define CARAVAN_COMMON_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
// Unix time; for people and the ledger's timestamps, never for deadlines.
int64_t clock_wall_ms(void);
uint64_t clock_wall_us(void);
double clock_mono_s(void);

#endif

// pack_fuzz.c: arbitrary bytes into the decoder; what it accepts must encode again, and that
// encoding must be stable.
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct msg m, again;
    struct why why;
    if (pack_decode(data, size, &m, &why) != ERR_OK) {
        return 0;
    }
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    CHECK(pack_encode(&m, &a, &why) == ERR_OK);
    CHECK(pack_decode(a.data, a.len, &again, &why) == ERR_OK);
    CHECK(pack_encode(&again, &b, &why) == ERR_OK);
    CHECK(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    msg_free(&m);
    msg_free(&again);
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}

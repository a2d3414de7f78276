// math_fuzz.c: two hostile answers, separated by a NUL byte; whatever comes in, a verdict comes out,
// and it is the same when the two change places.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/math/equiv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct call {
    struct scratch *scratch;
    const char *a, *b;
    size_t na, nb;
};

static void run(void *arg)
{
    const struct call *c = arg;
    struct pyspan x = pytext_decode(c->scratch, c->a, c->na),
                  y = pytext_decode(c->scratch, c->b, c->nb);
    const char *why;
    enum math_verdict forth = math_equiv(c->scratch, x, y, MATH_EVERYDAY, &why);
    CHECK((forth == MATH_UNDECIDED) == (why != NULL));
    enum math_verdict back = math_equiv(c->scratch, y, x, MATH_EVERYDAY, &why);
    CHECK(forth == back || forth == MATH_UNDECIDED || back == MATH_UNDECIDED);
    CHECK(math_equiv(c->scratch, x, x, MATH_EVERYDAY, &why) == MATH_EQUAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 256) {
        return 0;
    }
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t na = nul ? (size_t)(nul - data) : size, from = nul ? na + 1 : size;
    struct scratch s;
    struct why why = {{0}};
    scratch_init(&s, 64u << 20);
    struct call c = {&s, (const char *)data, (const char *)data + from, na, size - from};
    enum err e = scratch_run(&s, run, &c, &why);
    CHECK(e == ERR_OK || e == ERR_LIMIT);
    scratch_fini(&s);
    return 0;
}

// support.h: small helpers of the verifier's tests.
#ifndef CARAVAN_TESTS_VERIFIER_SUPPORT_H
#define CARAVAN_TESTS_VERIFIER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "verifier/score.h"

static inline struct score_text support_text(const char *s)
{
    return (struct score_text){s, strlen(s)};
}

#endif

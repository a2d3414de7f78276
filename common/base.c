// base.c: where a failed CHECK ends.
//
// A CHECK that fails is a bug in the program, so the one useful thing left is a line that names it
// and a core dump. The line is built in a local buffer and written with write(2): stdio may be what
// is broken, or locked by another thread.

#include "common/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void base_check_failed(const char *cond, const char *file, int line)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%s:%d: CHECK failed: %s\n", file, line, cond);
    if (n > 0) {
        size_t len = MIN((size_t)n, sizeof text - 1);
        ssize_t ignored = write(STDERR_FILENO, text, len);
        (void)ignored;
    }
    abort();
}

// err.c: texts of the error codes, and the writing of `struct why`.
//
// A `why` ends in a log line, a terminal or a JSON field, and often quotes bytes that came from
// outside (a key of a config file, a tensor name). So every control character is replaced by '?'
// here, once, and not at each of the places that print one. The text is cut to fit rather than
// allocated: the path that reports "out of memory" must not need memory.

#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
#define X(name, text) [ERR_##name] = text,
    ERR_LIST(X)
#undef X
};

const char *err_text(enum err e)
{
    size_t i = (size_t)e;
    return i < ARRAY_LEN(texts) ? texts[i] : "unknown error";
}

static void replace_controls(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
}

enum err why_set(struct why *why, enum err e, const char *fmt, ...)
{
    if (why != NULL) {
        // Formatted beside the old text: an argument may point into it.
        struct why fresh;
        va_list ap;
        va_start(ap, fmt);
        if (vsnprintf(fresh.text, sizeof fresh.text, fmt, ap) < 0) {
            fresh.text[0] = '\0';
        }
        va_end(ap);
        replace_controls(fresh.text);
        memcpy(why->text, fresh.text, sizeof fresh.text);
    }
    return e;
}

enum err why_prefix(struct why *why, enum err e, const char *fmt, ...)
{
    if (why != NULL) {
        struct why fresh;
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(fresh.text, sizeof fresh.text, fmt, ap);
        va_end(ap);
        if (n < 0) {
            return e;
        }
        size_t used = MIN((size_t)n, sizeof fresh.text - 1);
        if (snprintf(fresh.text + used, sizeof fresh.text - used, ": %s", why->text) < 0) {
            return e;
        }
        replace_controls(fresh.text);
        memcpy(why->text, fresh.text, sizeof fresh.text);
    }
    return e;
}

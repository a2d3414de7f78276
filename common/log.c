// log.c: the one place of the libraries that writes to stderr.
//
// A line is built in a local buffer and leaves in a single write(2), so lines of several threads,
// and of several daemons that share one log file opened with O_APPEND, never mix. Nothing is
// allocated and no lock is taken. A line that cannot be written is lost: there is nowhere left to
// say so.

#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static char role_name[32] = "caravan";
static enum log_level lowest_level = LOG_LEVEL_INFO;

void log_setup(const char *role, enum log_level lowest)
{
    (void)snprintf(role_name, sizeof role_name, "%s", role);
    lowest_level = lowest;
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    return (size_t)level < ARRAY_LEN(names) ? names[level] : "?";
}

// Writes "time LEVEL role EVENT" and returns its length.
static size_t write_head(char *line, size_t cap, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm day;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &day);
    char date[32];
    if (strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &day) == 0) {
        date[0] = '\0';
    }
    int n = snprintf(line, cap, "%s.%03dZ %s %s %s", date, (int)(now.tv_nsec / 1000000),
                     level_name(level), role_name, event);
    return n < 0 ? 0 : MIN((size_t)n, cap - 1);
}

static void write_line(const char *line, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, line, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return;
        }
        line += n;
        len -= (size_t)n;
    }
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if (level < lowest_level) {
        return;
    }
    int saved_errno = errno;
    char line[LINE_MAX_BYTES];
    size_t cap = sizeof line - 1;    // one byte stays free for the newline
    size_t len = write_head(line, cap, level, event);

    if (fmt[0] != '\0' && len + 1 < cap) {
        line[len++] = ' ';
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(line + len, cap - len, fmt, ap);
        va_end(ap);
        if (n > 0) {
            len += MIN((size_t)n, cap - len - 1);
        }
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < 0x20 || c == 0x7f) {
            line[i] = '?';
        }
    }
    line[len++] = '\n';
    write_line(line, len);
    errno = saved_errno;
}

// log_test.c: one event is one line, whatever the values contain.

#include "tests/common/check.h"

#include <fcntl.h>
#include <regex.h>

#include "common/log.h"

// Runs one call with stderr in a file and gives back what was written (free()).
#define CAPTURE(call) (begin_capture(), (call), end_capture())

static int real_stderr;

static void begin_capture(void)
{
    real_stderr = dup(STDERR_FILENO);
    int fd = open("captured", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static char *end_capture(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    char *text = NULL;
    size_t len = 0;
    struct why why;
    assert_int_equal(fs_read_file("captured", 1 << 20, &text, &len, &why), ERR_OK);
    return text;
}

static void a_line_has_time_level_role_event_and_values(void **state)
{
    (void)state;
    char *line = CAPTURE(LOG_WARN("ROLLOUT_STALE", "lag=%d max=%d", 5, 4));
    regex_t re;
    assert_int_equal(regcomp(&re,
                             "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                             "WARN tester ROLLOUT_STALE lag=5 max=4\n$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    assert_int_equal(regexec(&re, line, 0, NULL, 0), 0);
    regfree(&re);
    free(line);
}

static void lower_levels_are_silent(void **state)
{
    (void)state;
    char *line = CAPTURE(LOG_DEBUG("NOISE", "x=1"));
    assert_string_equal(line, "");
    free(line);
}

// A forged line break would let a model's output write log lines of its own.
static void values_cannot_start_a_line(void **state)
{
    (void)state;
    char *line = CAPTURE(LOG_ERROR("BAD", "text=%s", "a\nb\x1b[31m"));
    assert_contains(line, "text=a?b?[31m\n");
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    free(line);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    (void)state;
    char big[5000];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    char *line = CAPTURE(LOG_INFO("LONG", "text=%s", big));
    size_t len = strlen(line);
    assert_true(len > 2000 && len <= 2048);
    assert_int_equal(line[len - 1], '\n');
    free(line);
}

int main(void)
{
    log_setup("tester", LOG_LEVEL_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_role_event_and_values),
        cmocka_unit_test(lower_levels_are_silent),
        cmocka_unit_test(values_cannot_start_a_line),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
    };
    return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}

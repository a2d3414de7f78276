// cmd_top.c: the live table over all roles, in plain ANSI sequences. Without a terminal: one
// snapshot.
//
// On a terminal it asks the learner for /status, draws, and waits for a key or the end of the
// interval; q leaves, Ctrl-C too. It changes nothing in the run, and any number of them may watch.
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/statusview.h"

struct options {
    double interval;
};

static const struct arg args[] = {
    {"interval", ARG_NUM, offsetof(struct options, interval), 0.1, 3600, "SECONDS",
     "between two looks (default 1)"},
    {0},
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

// One look at the run; false: it could not be reached.
static bool look(const char *where, struct buf *text, struct why *why)
{
    json_t *status;
    buf_clear(text);
    if (status_fetch(where, 2000, &status, why)) {
        return false;
    }
    enum err e = buf_printf(text, "run        %s (%s)\n", status_str(status, "run_dir"),
                            status_str(status, "run_id"));
    e = e ? e : status_print(text, status, true);
    json_decref(status);
    return e ? (why_set(why, e, "%s", err_text(e)), false) : true;
}

// Waits for a key or the end of the interval. true: the user wants to leave.
static bool wait_for_key(double seconds)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;
    if (interrupted) {
        return true;
    }
    int n = poll(&fd, 1, (int)(seconds * 1000));
    return interrupted || (n > 0 && (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q'));
}

static int watch(const char *where, double interval, struct buf *text)
{
    struct termios was, raw;
    struct why why;
    bool keys = tcgetattr(STDIN_FILENO, &was) == 0;
    if (keys) {
        raw = was;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    struct sigaction act = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    fputs("\033[?1049h\033[?25l", stdout);    // other screen, no cursor
    do {
        fputs("\033[H\033[J", stdout);
        if (look(where, text, &why)) {
            fwrite(text->data, 1, text->len, stdout);
            printf("\nq quits\n");
        } else {
            printf("%s\n\nq quits\n", why.text);
        }
        fflush(stdout);
    } while (!wait_for_key(interval));
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (keys) {
        tcsetattr(STDIN_FILENO, TCSANOW, &was);
    }
    return CLI_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.interval = 1};
    struct words words;
    struct why why;
    struct buf text;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    buf_init(&text, 0);
    if (!look(words.v[0], &text, &why)) {
        rc = cli_fail(self, &why);
    } else if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO)) {
        rc = watch(words.v[0], o.interval, &text);
    } else {
        fwrite(text.data, 1, text.len, stdout);
        rc = CLI_OK;
    }
    buf_fini(&text);
    return rc;
}

const struct command cmd_top = {
    .name = "top",
    .synopsis = "RUN | HOST:PORT [--interval SECONDS]",
    .help = "live table over all roles",
    .more = "q quits. When the output is not a terminal: one snapshot.",
    .args = args,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};

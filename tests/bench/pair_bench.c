// pair_bench: what actor and learner lose to one another on the cores of one machine.
//
//   pair_bench --model DIR|FILE.gguf [--device cpu] [--repeats 5] [--seconds 6] [--threads N]
//              [--micro N] [--policies LIST] [--quiet P] [--at-least SUM]
//
// Two processes, one that decodes and one that trains (pair_role.h), are measured alone, each with
// all cores, and side by side. What counts is
//     decode_pair / decode_alone + train_pair / train_alone
// which is 1 for two programs that take turns without loss, more where one fills the other's gaps
// and less where they get into each other's way. --policies compares ways to share: a list of
// ACTOR/LEARNER, each a number of threads with an optional nice level, such as 2/2,1/2,2+5/2.
//
// One repeat is one window of each kind: decode alone, train alone, every policy. The ratios of a
// repeat are taken within it, so that other users of the machine meet both sides of a fraction
// alike; the table shows the median of the repeats and their spread. `others` is the share of the
// machine that neither process used and that was not idle; with --quiet P a window in which it
// passed P percent is measured again, ten times at most.
//
// This process makes no threads; the roles are this program executed anew with --role.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/bench.h"
#include "common/clock.h"
#include "tests/bench/kit.h"
#include "tests/bench/pair_role.h"

enum { MAX_REPEATS = 100, MAX_POLICIES = 16, MAX_TRIES = 10, DECODE = 0, TRAIN = 1, ROLES = 2 };

static const char *const role_name[ROLES] = {"decode", "train"};

struct share {
    int threads, nice;
};

struct policy {
    char text[32];
    struct share share[ROLES];
};

struct process {
    pid_t pid;
    FILE *orders, *answers;
};

// What one window showed; a role that did not take part has rate 0.
struct window {
    double rate[ROLES];    // tokens per second
    double others;         // of the machine, 0..1
};

struct director {
    struct pair_options options;
    const char *role;    // a role's process: which one; NULL in the director
    int board;           // file descriptor of the shared page
    int repeats, threads;
    double seconds, at_least, quiet;
    struct policy policies[MAX_POLICIES];
    size_t n_policies;
    atomic_bool *halt;    // on the shared page
    struct process roles[ROLES];
    struct window alone[ROLES][MAX_REPEATS], pair[MAX_POLICIES][MAX_REPEATS];
};

_Noreturn static void fail(const char *text)
{
    fprintf(stderr, "pair_bench: %s\n", text);
    exit(1);
}

// ---- processes

static void map_board(struct director *d)
{
    if (d->board < 0) {
        d->board = memfd_create("pair_bench", 0);
        CHECK(d->board >= 0 && ftruncate(d->board, (off_t)sizeof *d->halt) == 0);
    }
    d->halt = mmap(NULL, sizeof *d->halt, PROT_READ | PROT_WRITE, MAP_SHARED, d->board, 0);
    CHECK(d->halt != MAP_FAILED);
}

static void execute_role(const struct director *d, const char *role)
{
    char board[16], micro[16];
    snprintf(board, sizeof board, "%d", d->board);
    snprintf(micro, sizeof micro, "%d", d->options.micro_batches);
    execl("/proc/self/exe", "pair_bench", "--model", d->options.model, "--device",
          d->options.device, "--micro", micro, "--board", board, "--role", role, (char *)NULL);
    _exit(127);
}

// The role's stdin and stdout become pipes. It dies with us: at work it does not look at its stdin.
static void start_role(struct director *d, int role)
{
    struct process *p = &d->roles[role];
    pid_t director = getpid();
    int in[2], out[2];
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != director) {
            _exit(127);
        }
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execute_role(d, role_name[role]);
    }
    close(in[0]);
    close(out[1]);
    p->orders = fdopen(in[1], "w");
    p->answers = fdopen(out[0], "r");
    CHECK(p->orders && p->answers);
}

static void read_answer(struct director *d, int role, char *line, size_t size)
{
    if (!fgets(line, (int)size, d->roles[role].answers)) {
        fail("a role ended before its time");
    }
}

static void start_roles(struct director *d)
{
    char line[128];
    for (int r = 0; r < ROLES; r++) {
        start_role(d, r);
    }
    for (int r = 0; r < ROLES; r++) {
        read_answer(d, r, line, sizeof line);
    }
}

static void stop_roles(struct director *d)
{
    for (int r = 0; r < ROLES; r++) {
        fclose(d->roles[r].orders);
        fclose(d->roles[r].answers);
        (void)waitpid(d->roles[r].pid, NULL, 0);
    }
}

// ---- windows

// share[r]: NULL for a role that rests.
static struct window run_window(struct director *d, const struct share *const share[ROLES])
{
    char line[128];
    struct window w = {0};
    double busy = bench_machine_busy(), from = clock_mono_s(), used = 0;
    atomic_store(d->halt, false);
    for (int r = 0; r < ROLES; r++) {
        if (share[r]) {
            fprintf(d->roles[r].orders, "run %f %d %d\n", d->seconds, share[r]->threads,
                    share[r]->nice);
            fflush(d->roles[r].orders);
        }
    }
    for (int r = 0; r < ROLES; r++) {
        double tokens, wall, cpu;
        if (share[r]) {
            read_answer(d, r, line, sizeof line);
            if (sscanf(line, "ran %lf %lf %lf", &tokens, &wall, &cpu) != 3) {
                fail(line);
            }
            w.rate[r] = tokens / wall;
        }
    }
    atomic_store(d->halt, true);
    for (int r = 0; r < ROLES; r++) {
        double cpu = 0;
        if (share[r]) {
            read_answer(d, r, line, sizeof line);
            if (sscanf(line, "idle %lf", &cpu) != 1) {
                fail(line);
            }
            used += cpu;
        }
    }
    w.others = bench_others(busy, clock_mono_s() - from, used);
    return w;
}

static struct window quiet_window(struct director *d, const struct share *const share[ROLES])
{
    struct window w = run_window(d, share);
    for (int i = 1; i < MAX_TRIES && w.others > d->quiet; i++) {
        struct window again = run_window(d, share);
        w = again.others < w.others ? again : w;
    }
    return w;
}

static struct window measure_alone(struct director *d, int role)
{
    const struct share all = {d->threads, 0};
    const struct share *share[ROLES] = {NULL, NULL};
    share[role] = &all;
    return quiet_window(d, share);
}

static struct window measure_pair(struct director *d, const struct policy *p)
{
    const struct share *share[ROLES] = {&p->share[DECODE], &p->share[TRAIN]};
    return quiet_window(d, share);
}

static double ratio(const struct director *d, size_t policy, int repeat, int role)
{
    return d->pair[policy][repeat].rate[role] / d->alone[role][repeat].rate[role];
}

// One line per repeat, so that a bench that is cut short has still said something.
static void print_repeat(const struct director *d, int repeat)
{
    fprintf(stderr, "repeat %d of %d:", repeat + 1, d->repeats);
    for (size_t i = 0; i < d->n_policies; i++) {
        double decode = ratio(d, i, repeat, DECODE), train = ratio(d, i, repeat, TRAIN);
        fprintf(stderr, "  %s %.3f + %.3f = %.3f, others %.0f%%", d->policies[i].text, decode,
                train, decode + train, 100 * d->pair[i][repeat].others);
    }
    fprintf(stderr, "\n");
}

// The order turns by one with every repeat.
static void measure_repeat(struct director *d, int repeat)
{
    size_t kinds = ROLES + d->n_policies;
    for (size_t i = 0; i < kinds; i++) {
        size_t k = (i + (size_t)repeat) % kinds;
        if (k < ROLES) {
            d->alone[k][repeat] = measure_alone(d, (int)k);
        } else {
            d->pair[k - ROLES][repeat] = measure_pair(d, &d->policies[k - ROLES]);
        }
    }
    print_repeat(d, repeat);
}

// ---- the table

static void print_alone(const struct director *d, int role)
{
    double rate[MAX_REPEATS], others[MAX_REPEATS];
    for (int i = 0; i < d->repeats; i++) {
        rate[i] = d->alone[role][i].rate[role];
        others[i] = d->alone[role][i].others;
    }
    struct bench_spread s = bench_spread(rate, (size_t)d->repeats);
    char text[32], *cell[ROLES] = {"", ""};
    snprintf(text, sizeof text, "%.0f (%.0f-%.0f)", s.median, s.least, s.most);
    cell[role] = text;
    printf("%-6s alone  %-20s %-20s %37s %5.0f%%\n", role_name[role], cell[DECODE], cell[TRAIN], "",
           100 * bench_spread(others, (size_t)d->repeats).median);
}

// Returns the median of the sums.
static double print_pair(const struct director *d, size_t policy)
{
    double v[6][MAX_REPEATS];    // rates, ratios, their sum, others
    struct bench_spread s[6];
    for (int i = 0; i < d->repeats; i++) {
        for (int r = 0; r < ROLES; r++) {
            v[r][i] = d->pair[policy][i].rate[r];
            v[ROLES + r][i] = ratio(d, policy, i, r);
        }
        v[4][i] = v[2][i] + v[3][i];
        v[5][i] = d->pair[policy][i].others;
    }
    for (size_t k = 0; k < ARRAY_LEN(s); k++) {
        s[k] = bench_spread(v[k], (size_t)d->repeats);
    }
    char decode[32], train[32];
    snprintf(decode, sizeof decode, "%.0f (%.0f-%.0f)", s[0].median, s[0].least, s[0].most);
    snprintf(train, sizeof train, "%.0f (%.0f-%.0f)", s[1].median, s[1].least, s[1].most);
    printf("%-12s  %-20s %-20s %7.3f %7.3f   %6.3f (%.3f-%.3f) %5.0f%%\n", d->policies[policy].text,
           decode, train, s[2].median, s[3].median, s[4].median, s[4].least, s[4].most,
           100 * s[5].median);
    return s[4].median;
}

static double print_table(const struct director *d)
{
    double first = 0;
    printf("%-12s  %-20s %-20s %7s %7s   %6s %15s %6s\n", "threads", "decode tokens/s",
           "train tokens/s", "decode", "train", "sum", "(spread)", "others");
    for (int r = 0; r < ROLES; r++) {
        print_alone(d, r);
    }
    for (size_t i = 0; i < d->n_policies; i++) {
        double sum = print_pair(d, i);
        first = i == 0 ? sum : first;
    }
    return first;
}

// ---- command line

_Noreturn static void usage(void)
{
    fprintf(stderr, "usage: pair_bench --model DIR|FILE.gguf [--device KIND] [--repeats N] "
                    "[--seconds S] [--threads N]\n"
                    "                  [--micro N] [--policies ACTOR/LEARNER,...] [--quiet P] "
                    "[--at-least SUM]\n"
                    "  --threads   of each role alone (default: all cores)\n"
                    "  --micro     micro-batches of an optimiser step (default 4)\n"
                    "  --policies  threads[+nice] of both roles side by side (default: all cores "
                    "each)\n"
                    "  --quiet     measure a window again when others used more than P percent\n"
                    "  --at-least  exit status 1 if the first policy's sum is below\n");
    exit(2);
}

static void parse_share(const char *text, struct share *s)
{
    int used = 0;
    s->nice = 0;
    bool ok = sscanf(text, "%d%n", &s->threads, &used) == 1;
    if (ok && text[used] == '+') {
        int more = 0;
        ok = sscanf(text + used, "+%d%n", &s->nice, &more) == 1;
        used += more;
    }
    if (!ok || text[used] || s->threads < 1 || s->threads > 256 || s->nice < 0 || s->nice > 19) {
        usage();
    }
}

static void parse_policies(struct director *d, const char *text)
{
    char copy[512], *rest = copy, *one;
    snprintf(copy, sizeof copy, "%s", text);
    d->n_policies = 0;
    while ((one = strsep(&rest, ","))) {
        if (d->n_policies == MAX_POLICIES) {
            usage();
        }
        struct policy *p = &d->policies[d->n_policies++];
        snprintf(p->text, sizeof p->text, "%s", one);
        char *slash = strchr(one, '/');
        if (!slash) {
            usage();
        }
        *slash = '\0';
        parse_share(one, &p->share[DECODE]);
        parse_share(slash + 1, &p->share[TRAIN]);
    }
}

static void parse_option(struct director *d, const char *name, const char *value)
{
    if (strcmp(name, "--model") == 0) {
        d->options.model = value;
    } else if (strcmp(name, "--device") == 0) {
        d->options.device = value;
    } else if (strcmp(name, "--repeats") == 0) {
        d->repeats = (int)kit_number(name, value, 1, MAX_REPEATS);
    } else if (strcmp(name, "--seconds") == 0) {
        d->seconds = (double)kit_number(name, value, 1, 3600);
    } else if (strcmp(name, "--threads") == 0) {
        d->threads = (int)kit_number(name, value, 1, 256);
    } else if (strcmp(name, "--micro") == 0) {
        d->options.micro_batches = (int)kit_number(name, value, 1, 1000);
    } else if (strcmp(name, "--policies") == 0) {
        parse_policies(d, value);
    } else if (strcmp(name, "--quiet") == 0) {
        d->quiet = (double)kit_number(name, value, 0, 100) / 100;
    } else if (strcmp(name, "--at-least") == 0) {
        d->at_least = atof(value);
    } else if (strcmp(name, "--board") == 0) {
        d->board = (int)kit_number(name, value, 0, 1 << 20);
    } else if (strcmp(name, "--role") == 0) {
        d->role = value;
    } else {
        usage();
    }
}

static int run_role(struct director *d)
{
    struct why why = {""};
    signal(SIGINT, SIG_IGN);    // the director's matter: its end closes our stdin
    if (pair_role_run(d->role, &d->options, d->halt, &why)) {
        fprintf(stderr, "pair_bench: %s: %s\n", d->role, why.text);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct director d = {
        .options = {NULL, "cpu", 4}, .board = -1, .repeats = 5, .seconds = 6, .quiet = 1};
    d.threads = pool_cores();
    char all[32];
    snprintf(all, sizeof all, "%d/%d", d.threads, d.threads);
    parse_policies(&d, all);
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            usage();
        }
        parse_option(&d, argv[i], argv[i + 1]);
    }
    if (!d.options.model) {
        usage();
    }
    map_board(&d);
    if (d.role) {
        return run_role(&d);
    }
    signal(SIGPIPE, SIG_IGN);
    start_roles(&d);
    for (int i = 0; i < d.repeats; i++) {
        measure_repeat(&d, i);
    }
    stop_roles(&d);
    double sum = print_table(&d);
    return sum < d.at_least;
}

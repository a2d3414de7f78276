// board_test.c: claims about the three texts that people and machines read of a run.
//
// The texts are made from views filled by hand; a small checker reads /metrics as strictly as a
// scraper would.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "learner/board_internal.h"
#include "model/utf8.h"

static const char HOSTILE[] = "a\"b\\c\nd\x80\x1b[2J}\xe2\x80\xa8 caravan_up 1";

struct fixture {
    struct run run;
    struct board *board;
    struct coordinator_status status;
    struct coordinator_wait waits[3];
    struct board_peer peers[3];
    struct board_service service;
    struct board_view view;
};

static struct msg_incarnation incarnation(uint8_t n)
{
    return (struct msg_incarnation){.bytes = {n, n, n}};
}

static void say(struct fixture *f, uint8_t who, const struct msg_stat *stats, size_t n)
{
    struct msg_heartbeat h = {.incarnation = incarnation(who),
                              .stats = stats,
                              .n_stats = n,
                              .waits_for = msg_text_of("prompts"),
                              .waits_ms = 1500};
    board_heartbeat(f->board, &h, 1000);
}

static void set_peer(struct fixture *f, size_t i, uint8_t who, enum msg_role role, const char *name)
{
    struct board_peer *p = &f->peers[i];
    *p = (struct board_peer){.incarnation = incarnation(who),
                             .role = role,
                             .leases = 4,
                             .heard_s = 0.5,
                             .alive = true,
                             .heard = &f->board->heard[i]};
    utf8_clean(p->name, sizeof p->name, name, strlen(name));
    utf8_clean(p->detail, sizeof p->detail, "avx2", 4);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->run.run_id, "0123456789abcdef0123456789abcdef");
    strcpy(f->run.dir, "runs/a \"quoted\" one");
    f->run.conf.staleness_max = 2;
    assert_int_equal(board_create(&f->run, &f->board), ERR_OK);
    const struct msg_stat actor[] = {{msg_text_of("decode_tokens_total"), 1e6},
                                     {msg_text_of("slots_busy"), 17},
                                     {msg_text_of("slots_busy"), 18},
                                     {msg_text_of("my_own_figure"), 3},
                                     {msg_text_of("Bad-Name"), 3},
                                     {msg_text_of("x} 1\nevil"), 3},
                                     {msg_text_of("version"), (double)NAN}};
    const struct msg_stat verifier[] = {{msg_text_of("workers"), 2}, {msg_text_of("queue"), 0}};
    say(f, 1, actor, ARRAY_LEN(actor));
    say(f, 2, actor, 1);
    say(f, 3, verifier, ARRAY_LEN(verifier));
    set_peer(f, 0, 1, MSG_ROLE_ACTOR, HOSTILE);
    set_peer(f, 1, 2, MSG_ROLE_ACTOR, HOSTILE);    // the same name again
    set_peer(f, 2, 3, MSG_ROLE_VERIFIER, "verifier-0");
    f->status = (struct coordinator_status){.version = 5,
                                            .step = 4,
                                            .issued = 100,
                                            .by_state = {1, 2, 3, 90, 4},
                                            .groups_bound = 16,
                                            .n_drops = 1,
                                            .drops = {{"unscored:\"x\"", 4, {1, 0, 3}}}};
    f->waits[0] = (struct coordinator_wait){"actor a", "prompts", 40000, false};
    f->service = (struct board_service){
        .queues = {{"journal", 3, 4096}, {"parked", 1, 512}},
        .n_queues = 2,
        .address = "ipc:///tmp/bus",
        .http = "127.0.0.1:1",
    };
    f->view = (struct board_view){.status = &f->status,
                                  .service = &f->service,
                                  .waits = f->waits,
                                  .n_waits = 1,
                                  .peers = f->peers,
                                  .n_peers = 3,
                                  .now_ms = f->board->start_ms + 2500};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    board_destroy(f->board);
    free(f);
    return 0;
}

static void take_a_step(struct fixture *f, double reward)
{
    json_t *row = json_pack("{s:i,s:f,s:f,s:f,s:f}", "step", 4, "reward_mean", reward, "entropy",
                            1.5, "staleness_mean", 0.5, "staleness_max", 1.0);
    struct train_result r = {.tokens = 10, .compared_tokens = 8, .mismatched_tokens = 1};
    board_step(f->board, row, &r);
    json_decref(row);
}

// ---- /status ----

static json_t *status_of(struct fixture *f)
{
    struct why why = {""};
    json_t *o = NULL;
    char *text = board_make_status(f->board, &f->view);
    assert_non_null(text);
    if (json_parse(text, strlen(text), "status", &o, &why)) {
        fail_msg("%s", why.text);
    }
    free(text);
    return o;
}

// What the command line shows must be there; an absent field would read as zero.
static void status_has_every_field_that_is_shown(void **state)
{
    static const char *const paths[] = {"run_id",
                                        "run_dir",
                                        "phase",
                                        "step",
                                        "version",
                                        "uptime_s",
                                        "run_minutes",
                                        "training",
                                        "stopping",
                                        "reward.last",
                                        "reward.trend",
                                        "eval.running",
                                        "eval.last",
                                        "staleness.mean",
                                        "staleness.max",
                                        "staleness.bound",
                                        "rates.decode_tokens_per_s",
                                        "rates.train_tokens_per_s",
                                        "rates.verdicts_per_s",
                                        "verdicts.unscored",
                                        "verdicts.unscored_by_cause",
                                        "groups.live",
                                        "groups.bound",
                                        "queues.journal.len",
                                        "queues.journal.cap",
                                        "drops",
                                        "samples.dropped",
                                        "samples.issued",
                                        "logprob.compared_tokens_total",
                                        "logprob.mismatched_tokens_total",
                                        "peers",
                                        "waits",
                                        "last_step",
                                        "address",
                                        "http",
                                        "recovery.steps_rerun"};
    struct fixture *f = *state;
    json_t *o = status_of(f);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const json_t *at = o;
        char path[64], *rest = path;
        snprintf(path, sizeof path, "%s", paths[i]);
        for (char *key; at && (key = strsep(&rest, "."));) {
            at = json_object_get(at, key);
        }
        if (!at) {
            fail_msg("/status has no %s", paths[i]);
        }
    }
    json_decref(o);
}

static void status_shows_peers_by_what_they_said(void **state)
{
    struct fixture *f = *state;
    json_t *o = status_of(f), *peers = json_object_get(o, "peers");
    assert_int_equal(json_array_size(peers), 3);
    const json_t *p = json_array_get(peers, 0), *stats = json_object_get(p, "stats");
    assert_string_equal(json_string_value(json_object_get(p, "role")), "actor");
    assert_true(json_is_true(json_object_get(p, "alive")));
    assert_int_equal(json_integer_value(json_object_get(p, "waits_ms")), 1500);
    assert_true(json_number_value(json_object_get(stats, "my_own_figure")) == 3);
    assert_null(json_object_get(stats, "Bad-Name"));
    assert_null(json_object_get(stats, "version"));    // NaN is not JSON
    json_decref(o);
}

// A name that would break a terminal, a log or a page keeps its letters and loses the rest.
static void a_hostile_name_is_shown_harmlessly(void **state)
{
    struct fixture *f = *state;
    json_t *o = status_of(f);
    const json_t *name = json_object_get(json_array_get(json_object_get(o, "peers"), 0), "name");
    assert_string_equal(json_string_value(name), "a\"b\\c?d??[2J}? caravan_up 1");
    json_decref(o);
}

static void steps_and_evaluations_show(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < BOARD_TREND + 5; i++) {
        take_a_step(f, i);
    }
    board_eval(f->board, &(struct coordinator_eval){
                             .version = 5, .step = 4, .n_scored = 16, .reward_mean = 0.25});
    f->status.eval_id = 2;
    f->status.eval_n = 20;
    json_t *o = status_of(f), *reward = json_object_get(o, "reward"),
           *eval = json_object_get(o, "eval");
    assert_int_equal(json_array_size(json_object_get(reward, "trend")), BOARD_TREND);
    assert_true(json_number_value(json_object_get(reward, "last")) == BOARD_TREND + 4);
    assert_true(json_number_value(json_object_get(json_object_get(eval, "last"), "reward")) ==
                0.25);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(eval, "running"), "n")),
                     20);
    json_t *logprob = json_object_get(o, "logprob");
    assert_int_equal(json_integer_value(json_object_get(logprob, "mismatched_tokens_total")),
                     BOARD_TREND + 5);
    json_decref(o);
}

static void causes_beyond_the_table_are_counted_as_other(void **state)
{
    struct fixture *f = *state;
    char cause[32];
    for (int i = 0; i < 100; i++) {
        int len = snprintf(cause, sizeof cause, "cause \"%d\"\n", i);
        board_verdict(f->board, MSG_OUTCOME_UNSCORED, cause, (size_t)len);
    }
    board_verdict(f->board, MSG_OUTCOME_SCORE, "", 0);
    json_t *o = status_of(f), *v = json_object_get(o, "verdicts"), *n;
    const char *name;
    json_int_t sum = 0;
    json_object_foreach(json_object_get(v, "unscored_by_cause"), name, n)
    {
        sum += json_integer_value(n);
    }
    assert_int_equal(sum, 100);
    assert_int_equal(json_object_size(json_object_get(v, "unscored_by_cause")), BOARD_CAUSES);
    assert_int_equal(json_integer_value(json_object_get(v, "unscored")), 100);
    json_decref(o);
}

// ---- /metrics ----

enum { SERIES_MAX = 1024 };

struct scrape {
    char *text;
    char type_of[128];    // family of the last TYPE line
    char type[16];
    char *families[256];    // that had a TYPE line
    size_t n_families;
    char *series[SERIES_MAX];
    double value[SERIES_MAX];
    size_t n;
};

static size_t name_length(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == ':') {
        n++;
    }
    return n && !isdigit((unsigned char)s[0]) ? n : 0;
}

// Past the closing brace of a label list; fails the test on anything the format does not allow.
static const char *after_labels(const char *s, const char *line)
{
    for (s++;;) {
        size_t n = name_length(s);
        if (!n || s[n] != '=' || s[n + 1] != '"') {
            fail_msg("label: %s", line);
        }
        for (s += n + 2; *s && *s != '"'; s++) {
            if (*s == '\\' && !strchr("\\\"n", *++s)) {
                fail_msg("escape: %s", line);
            }
            if ((unsigned char)*s < 0x20) {
                fail_msg("control character: %s", line);
            }
        }
        if (*s++ != '"' || (*s != ',' && *s != '}')) {
            fail_msg("label list: %s", line);
        }
        if (*s++ == '}') {
            return s;
        }
    }
}

static void read_comment(struct scrape *p, const char *line)
{
    size_t n = strlen("# TYPE ");
    if (strncmp(line, "# HELP ", n) == 0) {
        assert_true(strlen(line) > n + name_length(line + n) + 1);
        return;
    }
    assert_true(strncmp(line, "# TYPE ", n) == 0);
    snprintf(p->type_of, sizeof p->type_of, "%.*s", (int)name_length(line + n), line + n);
    snprintf(p->type, sizeof p->type, "%s", line + n + strlen(p->type_of) + 1);
    assert_true(strcmp(p->type, "gauge") == 0 || strcmp(p->type, "counter") == 0);
    assert_int_equal(strcmp(p->type, "counter") == 0,
                     strcmp(p->type_of + strlen(p->type_of) - 6, "_total") == 0);
    for (size_t i = 0; i < p->n_families; i++) {
        if (strcmp(p->families[i], p->type_of) == 0) {
            fail_msg("second TYPE of %s", p->type_of);
        }
    }
    assert_true(p->n_families < ARRAY_LEN(p->families));
    p->families[p->n_families++] = strdup(p->type_of);
}

static void read_sample(struct scrape *p, const char *line)
{
    size_t n = name_length(line);
    if (!n || strlen(p->type_of) != n || memcmp(line, p->type_of, n) != 0) {
        fail_msg("sample of a family without TYPE before it: %s", line);
    }
    const char *end = line[n] == '{' ? after_labels(line + n, line) : line + n;
    char *rest;
    if (*end != ' ') {
        fail_msg("no value: %s", line);
    }
    p->value[p->n] = strtod(end + 1, &rest);
    if (rest == end + 1 || *rest) {
        fail_msg("value: %s", line);
    }
    char *series = strndup(line, (size_t)(end - line));
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->series[i], series) == 0) {
            fail_msg("duplicate series: %s", series);
        }
    }
    p->series[p->n++] = series;
    assert_true(p->n < SERIES_MAX);
}

static void scrape(struct fixture *f, struct scrape *p)
{
    *p = (struct scrape){.text = board_make_metrics(f->board, &f->view)};
    assert_non_null(p->text);
    size_t len = strlen(p->text);
    assert_true(len && p->text[len - 1] == '\n');
    json_t *utf8 = json_string(p->text);    // refuses anything else
    assert_non_null(utf8);
    json_decref(utf8);
    char *copy = strdup(p->text), *rest = copy;
    for (char *line; (line = strsep(&rest, "\n")) && rest;) {
        if (line[0] == '#') {
            read_comment(p, line);
        } else {
            read_sample(p, line);
        }
    }
    free(copy);
}

static void scrape_fini(struct scrape *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->series[i]);
    }
    for (size_t i = 0; i < p->n_families; i++) {
        free(p->families[i]);
    }
    free(p->text);
}

static double series(const struct scrape *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->series[i], name) == 0) {
            return p->value[i];
        }
    }
    fail_msg("no series %s in\n%s", name, p->text);
    return 0;
}

// Also with two processes of one hostile name, and a figure named twice in one heartbeat.
static void metrics_are_what_a_scraper_takes(void **state)
{
    struct fixture *f = *state;
    struct scrape p;
    take_a_step(f, 0.5);
    board_verdict(f->board, MSG_OUTCOME_UNSCORED, HOSTILE, strlen(HOSTILE));
    scrape(f, &p);
    assert_true(p.n > 40);
    assert_true(series(&p, "caravan_samples_issued_total") == 100);
    assert_true(series(&p, "caravan_samples{state=\"consumed\"}") == 90);
    assert_true(series(&p, "caravan_samples_dropped_total{reason=\"unscored:\\\"x\\\"\","
                           "length_max=\"3\"}") == 3);
    assert_true(series(&p, "caravan_logprob_mismatched_tokens_total") == 1);
    assert_true(series(&p, "caravan_step_reward") == 0.5);
    assert_true(series(&p, "caravan_policy_version") == 5);
    assert_true(series(&p,
                       "caravan_actor_slots_busy{name=\"a\\\"b\\\\c?d??[2J}? caravan_up 1\","
                       "role=\"actor\",incarnation=\"01010100000000000000000000000000\"}") == 17);
    assert_null(strstr(p.text, "my_own_figure"));
    scrape_fini(&p);
}

static void metrics_hold_before_anything_has_happened(void **state)
{
    struct fixture *f = *state;
    struct scrape p;
    f->view.n_peers = f->view.n_waits = 0;
    f->status = (struct coordinator_status){0};
    scrape(f, &p);
    assert_true(series(&p, "caravan_steps_total") == 0);
    assert_null(strstr(p.text, "caravan_step_reward"));    // no step yet: no figure, not a zero
    scrape_fini(&p);
}

// ---- /healthz ----

static void one_overdue_wait_is_unhealthy_and_named(void **state)
{
    struct fixture *f = *state;
    bool healthy = false;
    char *text = board_make_health(&f->view, &healthy);
    assert_true(healthy);
    assert_string_equal(text, "ok\n");
    free(text);
    f->waits[1] = (struct coordinator_wait){"learner", "a verifier that offers check gsm8k",
                                            f->view.now_ms - 2000, true};
    f->view.n_waits = 2;
    text = board_make_health(&f->view, &healthy);
    assert_false(healthy);
    assert_string_equal(text, "learner waits for a verifier that offers check gsm8k since 2.0 s\n");
    free(text);
    struct scrape p;
    scrape(f, &p);
    assert_true(series(&p, "caravan_overdue_waits") == 1);
    scrape_fini(&p);
}

// ---- text from outside ----

static void cleaning_keeps_letters_of_every_script_and_never_cuts_one(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""},
                 {"Zürich 東京", "Zürich 東京"},
                 {"tab\there", "tab?here"},
                 {"\xff\xfe", "??"},
                 {"\xe6\x9d", "?"},
                 {"\xc2\x9b"
                  "31m",
                  "?31m"},
                 {"123456789012345678901234567890東", "123456789012345678901234567890"}};
    char out[32];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        utf8_clean(out, sizeof out, cases[i].in, strlen(cases[i].in));
        assert_string_equal(out, cases[i].out);
    }
}

// More processes than places: the one unheard of for the longest time makes room.
static void strangers_cannot_push_out_whoever_was_heard_last(void **state)
{
    struct fixture *f = *state;
    const struct msg_stat stat = {msg_text_of("workers"), 1};
    for (uint32_t i = 0; i < 3 * BOARD_PEERS; i++) {
        struct msg_heartbeat h = {.stats = &stat, .n_stats = 1};
        memcpy(h.incarnation.bytes + 4, &i, sizeof i);
        board_heartbeat(f->board, &h, 2000 + i);
    }
    assert_int_equal(f->board->n_heard, BOARD_PEERS);
    for (size_t i = 0; i < BOARD_PEERS; i++) {
        assert_true(f->board->heard[i].heard_ms >= 2000 + 2 * BOARD_PEERS);
    }
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(status_has_every_field_that_is_shown),
        CLAIM(status_shows_peers_by_what_they_said),
        CLAIM(a_hostile_name_is_shown_harmlessly),
        CLAIM(steps_and_evaluations_show),
        CLAIM(causes_beyond_the_table_are_counted_as_other),
        CLAIM(metrics_are_what_a_scraper_takes),
        CLAIM(metrics_hold_before_anything_has_happened),
        CLAIM(one_overdue_wait_is_unhealthy_and_named),
        CLAIM(cleaning_keeps_letters_of_every_script_and_never_cuts_one),
        CLAIM(strangers_cannot_push_out_whoever_was_heard_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

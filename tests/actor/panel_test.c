// panel_test.c: claims about an actor's pages, made from snapshots of the test's own.
//
// What the daemon puts into a snapshot, and that it answers while it decodes, is in service_test.c.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actor/panel.h"
#include "common/clock.h"

enum { NOW = 5000000 };

// A healthy actor in the middle of its work.
static struct panel_snapshot working(void)
{
    struct panel_snapshot s = {.learner = "ipc:///run/bus",
                               .run_id = "run-1",
                               .greeted = true,
                               .heard_ms = NOW - 400,
                               .waits_for = "",
                               .held = 9,
                               .outbox = 2,
                               .submits = 1,
                               .slots = 8,
                               .newest = 8,
                               .loaded = 7,
                               .fetching = 8,
                               .fetched = 100,
                               .fetch_total = 400,
                               .slabs = 2,
                               .versions = {7, 3},
                               .decode_tokens = 1000,
                               .prefill_tokens = 50,
                               .passes = 130,
                               .busy_us = 2500000,
                               .kept_mass_e6 = 750000000,
                               .finished = 40,
                               .slots_busy = 6,
                               .waiting = 1,
                               .kv_pages = 64,
                               .kv_pages_used = 20};
    s.own = (struct panel_own){.name = "actor-0",
                               .device = "cpu (avx2)",
                               .start_ms = NOW - 60000,
                               .decode_per_s = 123.5,
                               .moved_ms = NOW - 100};
    return s;
}

static char *page(const struct panel_snapshot *s, const char *path, int status)
{
    struct http_reply r;
    panel_render(s, NOW, path, &r);
    assert_int_equal(r.status, status);
    assert_non_null(r.body);
    assert_int_equal(r.len, strlen(r.body));
    return r.body;
}

static json_t *parsed(const struct panel_snapshot *s)
{
    char *text = page(s, "/status", 200);
    json_error_t error;
    json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!v) {
        fail_msg("%s in %s", error.text, text);
    }
    free(text);
    return v;
}

// "weights.fetching.total": the number there.
static double at(const json_t *v, const char *path)
{
    char part[64];
    while (*path) {
        size_t n = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        v = json_object_get(v, part);
        path += n + (path[n] == '.');
    }
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static void status_says_what_the_actor_does(void **state)
{
    (void)state;
    struct panel_snapshot s = working();
    json_t *v = parsed(&s);
    assert_string_equal(json_string_value(json_object_get(v, "phase")), "decoding");
    assert_string_equal(json_string_value(json_object_get(v, "device")), "cpu (avx2)");
    assert_true(at(v, "uptime_s") == 60);
    assert_true(at(v, "learner.heard_s") == 0.4);
    assert_true(at(v, "slots.busy") == 6 && at(v, "slots.total") == 8);
    assert_true(at(v, "samples.held") == 9 && at(v, "samples.submitting") == 1);
    assert_true(at(v, "tokens.decode_per_s") == 123.5 && at(v, "tokens.kept_mass") == 0.75);
    assert_true(at(v, "kv_pages.used") == 20);
    assert_true(at(v, "weights.version") == 7 && at(v, "weights.newest") == 8);
    assert_true(at(v, "weights.fetching.bytes") == 100 && at(v, "weights.fetching.total") == 400);
    const json_t *held = json_object_get(json_object_get(v, "weights"), "held");
    assert_int_equal(json_array_size(held), 2);
    assert_int_equal(json_integer_value(json_array_get(held, 1)), 3);
    assert_true(json_is_null(json_object_get(v, "waits")));
    assert_true(at(v, "troubles.count") == 0);
    json_decref(v);
}

static void phases_follow_the_start_and_the_end(void **state)
{
    (void)state;
    static const char *const phases[] = {"connecting", "loading", "idle", "decoding", "stopping"};
    struct panel_snapshot s = {.waits_for = ""};
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        s.greeted = i > 0;
        s.loaded = i > 1;
        s.slots_busy = i > 2;
        s.stopping = i > 3;
        json_t *v = parsed(&s);
        assert_string_equal(json_string_value(json_object_get(v, "phase")), phases[i]);
        json_decref(v);
    }
}

// A monitor must be able to act on it: ready, silent and stuck are told apart.
static void health_names_what_is_wrong(void **state)
{
    (void)state;
    struct panel_snapshot s = working();
    char *text = page(&s, "/healthz", 200);
    assert_string_equal(text, "ok\n");
    free(text);
    for (int i = 0; i < 5; i++) {
        static const char *const says[] = {
            "stopping, up for 60 s\n", "connecting: no answer from the learner for 60 s\n",
            "loading: no weights for 60 s\n", "no word from the learner for 31 s\n",
            "samples in slots and no forward pass for 61 s\n"};
        s = working();
        s.stopping = i == 0;
        s.greeted = i != 1;
        s.loaded = i == 2 ? 0 : 7;
        s.heard_ms = i == 3 ? NOW - 31000 : NOW;
        s.own.moved_ms = i == 4 ? NOW - 61000 : NOW;
        text = page(&s, "/healthz", 503);
        assert_string_equal(text, says[i]);
        free(text);
    }
    s.slots_busy = 0;    // nothing to decode is no stall
    free(page(&s, "/healthz", 200));
}

// Every line of the exposition format: a comment, or a name, a space and a number.
static void metrics_are_what_prometheus_reads(void **state)
{
    (void)state;
    struct panel_snapshot s = working();
    char *text = page(&s, "/metrics", 200), *rest = NULL;
    size_t samples = 0, types = 0;
    bool tokens = false, version = false;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] == '#') {
            types += strncmp(line, "# TYPE caravan_", 15) == 0;
            continue;
        }
        char name[128], *end = NULL;
        assert_int_equal(sscanf(line, "%127[a-z0-9_] ", name), 1);
        assert_int_equal(line[strlen(name)], ' ');
        double value = strtod(line + strlen(name) + 1, &end);
        assert_true(*end == '\0' && isfinite(value));
        tokens |= strcmp(name, "caravan_actor_decode_tokens_total") == 0 && value == 1000;
        version |= strcmp(name, "caravan_actor_policy_version") == 0 && value == 7;
        samples++;
    }
    assert_true(tokens && version);
    assert_true(samples > 15 && samples == types);
    free(text);
}

static void unknown_pages_are_404(void **state)
{
    (void)state;
    struct panel_snapshot s = working();
    static const char *const paths[] = {"", "/", "/status/", "/statusx", "/../status", "/metrics "};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        free(page(&s, paths[i], 404));
    }
}

// ---- over a socket ----

static struct panel *open_panel(const char *name)
{
    struct panel *p = NULL;
    struct why why = {""};
    if (panel_create("127.0.0.1:0", name, "cpu", &p, &why)) {
        fail_msg("%s", why.text);
    }
    return p;
}

static json_t *fetch(const struct panel *p)
{
    char *body = NULL;
    size_t len = 0;
    int status = 0;
    assert_int_equal(
        http_get(panel_address(p), "/status", 10000, 1 << 20, &status, &body, &len, NULL), ERR_OK);
    assert_int_equal(status, 200);
    json_t *v = json_loads(body, 0, NULL);
    assert_non_null(v);
    free(body);
    return v;
}

// The learner's texts and the name may hold anything; the page stays JSON.
static void texts_from_outside_cannot_break_a_page(void **state)
{
    (void)state;
    struct panel *p = open_panel("a\"\n\xff");
    struct panel_snapshot s = working();
    snprintf(s.run_id, sizeof s.run_id, "\xe6\x9d\x1b[2J");
    panel_trouble(p, "LEASE_FAILED", "first");
    char big[2000];
    memset(big, 0xfe, sizeof big - 1);
    big[sizeof big - 1] = '\0';
    panel_trouble(p, "WEIGHTS_REFUSED", big);
    panel_show(p, &s, NOW);
    json_t *v = fetch(p);
    assert_string_equal(json_string_value(json_object_get(v, "name")), "a\"??");
    assert_string_equal(json_string_value(json_object_get(json_object_get(v, "learner"), "run_id")),
                        "??[2J");
    assert_true(at(v, "troubles.count") == 2);
    const json_t *last = json_object_get(json_object_get(v, "troubles"), "last");
    assert_string_equal(json_string_value(json_object_get(last, "event")), "WEIGHTS_REFUSED");
    assert_int_equal(strlen(json_string_value(json_object_get(last, "text"))), PANEL_TEXT - 1);
    json_decref(v);
    panel_destroy(p);
}

static void rates_are_those_of_the_last_ten_seconds(void **state)
{
    (void)state;
    struct panel *p = open_panel("actor");
    struct panel_snapshot s = working();
    uint64_t t = clock_mono_ms();
    for (int i = 0; i <= 120; i++) {    // 30 s, four times a second; 100 tokens/s, then 40
        s.decode_tokens += i > 40 ? 10 : 25;
        s.prefill_tokens += 5;
        panel_show(p, &s, t += 250);
    }
    json_t *v = fetch(p);
    assert_true(fabs(at(v, "tokens.decode_per_s") - 40) < 1e-9);
    assert_true(fabs(at(v, "tokens.prefill_per_s") - 20) < 1e-9);
    json_decref(v);
    s.decode_tokens = 3;    // another engine begins at 0
    panel_show(p, &s, t += 250);
    v = fetch(p);
    assert_true(at(v, "tokens.decode_per_s") == 0);
    json_decref(v);
    panel_destroy(p);
}

static void an_address_that_cannot_be_had_is_named(void **state)
{
    (void)state;
    struct panel *p = NULL, *first = open_panel("actor");
    struct why why = {""};
    assert_true(panel_create(panel_address(first), "b", "cpu", &p, &why) != ERR_OK);
    assert_non_null(strstr(why.text, panel_address(first)));
    assert_true(panel_create("/nowhere/at/all.sock", "b", "cpu", &p, &why) != ERR_OK);
    assert_non_null(strstr(why.text, "/nowhere/at/all.sock"));
    char deep[PANEL_TEXT + 8] = "/";
    memset(deep + 1, 'x', PANEL_TEXT);
    assert_int_equal(panel_create(deep, "b", "cpu", &p, &why), ERR_LIMIT);
    assert_int_equal(panel_create("", "b", "cpu", &p, &why), ERR_OK);    // served to nobody
    assert_string_equal(panel_address(p), "");
    panel_destroy(p);
    panel_destroy(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_says_what_the_actor_does),
        cmocka_unit_test(phases_follow_the_start_and_the_end),
        cmocka_unit_test(health_names_what_is_wrong),
        cmocka_unit_test(metrics_are_what_prometheus_reads),
        cmocka_unit_test(unknown_pages_are_404),
        cmocka_unit_test(texts_from_outside_cannot_break_a_page),
        cmocka_unit_test(rates_are_those_of_the_last_ten_seconds),
        cmocka_unit_test(an_address_that_cannot_be_had_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

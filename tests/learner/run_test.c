// run_test.c: claims about opening a run: what is refused, what is recovered, what a branch is.
//
// Steps are written into the ledger as the coordinator would write them, and run by the run's own
// trainer, on a tiny model.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "learner/run.h"
#include "tiny_model.h"

enum { SAMPLES = 4, TOKENS = 6 };

struct fixture {
    char dir[64], model[96], rows[96];
    struct conf conf;
    struct run run;
    struct hash128 hash[32];    // by version
};

static void write_rows(const struct fixture *f, const char *answer)
{
    char text[2048] = "";
    for (int i = 0; i < 8; i++) {
        char row[200];
        snprintf(row, sizeof row,
                 "{\"messages\": [{\"role\": \"user\", \"content\": \"%d+1?\"}], \"ground_truth\": "
                 "\"%s\", \"dataset\": \"gsm8k\"}\n",
                 i, answer);
        strcat(text, row);
    }
    assert_int_equal(fs_write_file(f->rows, text, strlen(text), NULL), ERR_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/run_testXXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->model, sizeof f->model, "%s/model", f->dir);
    snprintf(f->rows, sizeof f->rows, "%s/rows.jsonl", f->dir);
    tiny_model_make(f->model, "1");
    write_rows(f, "1");
    conf_defaults(&f->conf);
    struct conf *c = &f->conf;
    snprintf(c->run_dir, sizeof c->run_dir, "%s/run", f->dir);
    snprintf(c->model, sizeof c->model, "%s", f->model);
    snprintf(c->train_file, sizeof c->train_file, "%s", f->rows);
    snprintf(c->eval_file, sizeof c->eval_file, "%s", f->rows);
    c->eval_n = 4;
    c->max_prompt_tokens = 200;
    c->max_tokens = 8;
    c->micro_batch_tokens = 256;
    c->learner_threads = 1;
    c->keep_versions = 2;
    c->lr = 1e-2;
    c->warmup_steps = 0;
    f->run.lock_fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    run_close(&f->run);
    int failed = fs_remove_tree(f->dir, NULL) != ERR_OK;
    free(f);
    return failed;
}

static void open_run(struct fixture *f, enum run_mode mode)
{
    struct why why = {""};
    if (run_open(&f->conf, mode, &f->run, &why)) {
        fail_msg("%s", why.text);
    }
}

static void refused(struct fixture *f, enum run_mode mode, enum err e, const char *says,
                    const char *also)
{
    struct why why = {""};
    struct run r;
    enum err got = run_open(&f->conf, mode, &r, &why);
    if (got != e || !strstr(why.text, says) || !strstr(why.text, also)) {
        fail_msg("got %s: \"%s\", expected %s with \"%s\" and \"%s\"", err_text(got), why.text,
                 err_text(e), says, also);
    }
}

static void restart(struct fixture *f, enum run_mode mode)
{
    run_close(&f->run);
    open_run(f, mode);
}

static void sql(const struct fixture *f, const char *text)
{
    char *error = NULL, *path = fs_path("%s/ledger.db", f->conf.run_dir);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s", error);
    }
    sqlite3_close(db);
    free(path);
}

// The ledger of a machine that made version 3 (step 2) otherwise.
static void pretend_other_weights(const struct fixture *f)
{
    sql(f,
        "UPDATE versions SET weights_hash = '00000000000000000000000000000000' WHERE version = 3;"
        "UPDATE steps SET weights_hash = '00000000000000000000000000000000' WHERE step = 2");
}

static char *inside(const struct fixture *f, const char *name)
{
    return fs_path("%s/%s", f->conf.run_dir, name);
}

static bool has(const struct fixture *f, const char *name)
{
    char *path = inside(f, name);
    bool yes = fs_exists(path);
    free(path);
    return yes;
}

// ---- steps ----

static struct ledger_txn *txn(void)
{
    struct ledger_txn *t = ledger_txn_create(1000);
    assert_non_null(t);
    return t;
}

static void apply(struct fixture *f, struct ledger_txn *t)
{
    struct why why = {""};
    if (ledger_write(f->run.ledger, t, &why)) {
        fail_msg("%s", why.text);
    }
    ledger_txn_destroy(t);
}

struct batch {
    uint32_t tokens[SAMPLES][TOKENS];
    float logprobs[SAMPLES][TOKENS];
    struct train_sample samples[SAMPLES];
    struct train_group group;
};

// A scored group of the next task, in the ledger.
static void issue(struct fixture *f, uint64_t version, struct batch *b)
{
    static const struct msg_incarnation owner = {.bytes = {1}};
    struct ledger_heads h;
    assert_int_equal(ledger_get_heads(f->run.ledger, &h, NULL), ERR_OK);
    const struct task *task = tasks_get(f->run.train, h.next_ordinal % tasks_count(f->run.train));
    struct ledger_txn *t = txn();
    ledger_put_group(
        t, &(struct ledger_group){.group_id = h.next_group,
                                  .ordinal = h.next_ordinal,
                                  .prompt = task->prompt,
                                  .n_prompt = task->n_prompt,
                                  .prompt_text = msg_text_of(task->prompt_text),
                                  .dataset = msg_text_of(task->dataset),
                                  .ground_truth = msg_text_of(task->ground_truth),
                                  .kind = msg_text_of(task->kind),
                                  .needs = msg_text_of(task->needs),
                                  .sampling = {.max_tokens = 8, .temperature = 1, .top_p = 1},
                                  .first_sample = h.next_sample,
                                  .n_samples = SAMPLES});
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint64_t id = h.next_sample + i;
        struct msg_segment all = {version, (uint32_t)(task->n_prompt + TOKENS - 1)};
        for (uint32_t k = 0; k < TOKENS; k++) {
            b->tokens[i][k] = 3 + (uint32_t)((id * 31 + k * 7) % 200);
            b->logprobs[i][k] = -5;
        }
        b->samples[i] = (struct train_sample){.sample_id = id,
                                              .tokens = b->tokens[i],
                                              .logprobs = b->logprobs[i],
                                              .n_tokens = TOKENS,
                                              .advantage = i == 0 ? 1.5 : -0.5};
        ledger_put_lease(t, id, 1, owner, version, "");
        ledger_put_receipt(t, &(struct ledger_receipt){.sample_id = id,
                                                       .attempt = 1,
                                                       .owner = owner,
                                                       .tokens = b->tokens[i],
                                                       .logprobs = b->logprobs[i],
                                                       .n_tokens = TOKENS,
                                                       .segments = &all,
                                                       .n_segments = 1,
                                                       .finish = MSG_FINISH_LENGTH,
                                                       .response = msg_text_of("?"),
                                                       .oldest_version = version,
                                                       .newest_version = version});
        ledger_put_verdict(
            t, &(struct ledger_verdict){
                   .sample_id = id, .outcome = MSG_OUTCOME_SCORE, .reward = i == 0, .cause = ""});
    }
    apply(f, t);
    b->group = (struct train_group){task->prompt, task->n_prompt, b->samples, SAMPLES};
}

static struct train_step commit_step(struct fixture *f, struct batch *b)
{
    struct ledger_heads h;
    assert_int_equal(ledger_get_heads(f->run.ledger, &h, NULL), ERR_OK);
    issue(f, h.newest_version, b);
    struct train_step s = {.step = h.last_done + 1,
                           .version = h.newest_version,
                           .new_version = h.next_version,
                           .groups = &b->group,
                           .n_groups = 1};
    train_hyper_at(&f->conf, s.step, &s.hyper);
    struct ledger_txn *t = txn();
    ledger_put_step(t, h.branch, &s, false, "{}");
    apply(f, t);
    return s;
}

// One whole step; returns the new version.
static uint64_t step(struct fixture *f)
{
    struct batch b;
    struct ledger_heads h;
    struct train_result r;
    struct why why = {""};
    struct train_step s = commit_step(f, &b);
    if (trainer_step(f->run.trainer, &s, &r, NULL, &why)) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(ledger_get_heads(f->run.ledger, &h, NULL), ERR_OK);
    struct ledger_txn *t = txn();
    ledger_put_step_done(t, h.branch, s.step, r.weights_hash, "{}");
    apply(f, t);
    f->hash[s.new_version] = r.weights_hash;
    return s.new_version;
}

static void on_saved(void *arg, enum err e, const struct why *why)
{
    (void)why;
    *(enum err *)arg = e;
}

// A checkpoint of the state now, recorded.
static void checkpoint(struct fixture *f, uint64_t version)
{
    char name[64];
    struct ledger_heads h;
    enum err e = ERR_TIMEOUT;
    assert_int_equal(ledger_get_heads(f->run.ledger, &h, NULL), ERR_OK);
    run_checkpoint_dir(name, sizeof name, version);
    char *path = inside(f, name);
    assert_int_equal(
        trainer_save_begin(f->run.trainer, path, h.last_done, version, NULL, on_saved, &e, NULL),
        ERR_OK);
    trainer_save_wait(f->run.trainer);
    assert_int_equal(e, ERR_OK);
    struct ledger_txn *t = txn();
    ledger_put_checkpoint(t, h.last_done, version, name, h.branch);
    apply(f, t);
    free(path);
}

static void assert_serves(struct fixture *f, uint64_t version, struct hash128 hash)
{
    struct publish_version v;
    assert_int_equal(publish_newest(f->run.publish), version);
    assert_int_equal(publish_find(f->run.publish, 0, &v, NULL), ERR_OK);
    assert_true(hash_equal(v.hash, hash));
}

static void on_violation(void *arg, const char *relation, const char *text)
{
    (void)arg;
    print_message("%s: %s\n", relation, text);
}

// ---- claims: beginning ----

static void a_new_run_is_in_the_ledger_and_serves_version_1(void **state)
{
    struct fixture *f = *state;
    struct ledger_version v;
    struct conf stored;
    char *seed = NULL;
    f->conf.seed = 77;
    open_run(f, RUN_START);
    assert_int_equal(strlen(f->run.run_id), 32);
    assert_int_equal(ledger_get_version(f->run.ledger, 1, &v, NULL), ERR_OK);
    assert_serves(f, 1, v.weights_hash);
    assert_int_equal(ledger_get_meta(f->run.ledger, "seed", &seed, NULL), ERR_OK);
    assert_string_equal(seed, "77");
    free(seed);
    assert_int_equal(publish_flush(f->run.publish, NULL), ERR_OK);
    assert_true(has(f, "weights/v000001.safetensors"));
    assert_int_equal(tasks_count(f->run.eval), 4);
    conf_defaults(&stored);
    assert_int_equal(run_stored_conf(f->conf.run_dir, &stored, NULL), ERR_OK);
    assert_int_equal(stored.seed, 77);
    assert_string_equal(stored.model, f->model);
}

static void a_folder_belongs_to_one_learner(void **state)
{
    struct fixture *f = *state;
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    open_run(f, RUN_START);
    refused(f, RUN_RESUME, ERR_BUSY, "run/lock", pid);
    refused(f, RUN_START, ERR_BUSY, "run/lock", pid);
}

static void a_run_is_started_once_and_resumed_only_where_it_is(void **state)
{
    struct fixture *f = *state;
    refused(f, RUN_RESUME, ERR_NOT_FOUND, "/run: ", "no run to resume");
    open_run(f, RUN_START);
    run_close(&f->run);
    refused(f, RUN_START, ERR_EXISTS, "/run: ", "--resume");
    open_run(f, RUN_RESUME);
}

// A mistake in a new run's configuration can be mended and the same command given again.
static void a_mistake_leaves_nothing_to_resume(void **state)
{
    struct fixture *f = *state;
    snprintf(f->conf.model, sizeof f->conf.model, "%s/nowhere.gguf", f->dir);
    refused(f, RUN_START, ERR_NOT_FOUND, "/nowhere.gguf", "");
    snprintf(f->conf.model, sizeof f->conf.model, "%s", f->model);
    snprintf(f->conf.train_file, sizeof f->conf.train_file, "%s/nowhere.jsonl", f->dir);
    refused(f, RUN_START, ERR_NOT_FOUND, "/nowhere.jsonl", "");
    snprintf(f->conf.train_file, sizeof f->conf.train_file, "%s", f->rows);
    f->conf.max_prompt_tokens = 1020;
    refused(f, RUN_START, ERR_LIMIT, "data.max_prompt_tokens 1020", "context of 1024");
    f->conf.max_prompt_tokens = 200;
    open_run(f, RUN_START);
}

// ---- claims: resuming ----

static void a_frozen_key_is_named_with_what_it_was_and_is(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    run_close(&f->run);
    f->conf.group_size = 4;
    refused(f, RUN_RESUME, ERR_MISMATCH, "rollout.group_size", "was started with 8, now it is 4");
    f->conf.group_size = 8;
    f->conf.seed = 5;
    refused(f, RUN_RESUME, ERR_MISMATCH, "seed", "was started with 1, now it is 5");
    f->conf.seed = 1;
    f->conf.lr = 0.5;    // free to change, and kept
    open_run(f, RUN_RESUME);
    struct conf stored;
    conf_defaults(&stored);
    run_close(&f->run);
    assert_int_equal(run_stored_conf(f->conf.run_dir, &stored, NULL), ERR_OK);
    assert_true(stored.lr == 0.5);
    sql(f, "CREATE TABLE one AS SELECT key FROM config_changes WHERE key = 'optim.lr'; "
           "INSERT INTO one SELECT 1/count(*) FROM one");
}

// The names are the same, the bytes are not.
static void changed_files_are_refused_by_their_hashes(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    run_close(&f->run);
    write_rows(f, "2");
    refused(f, RUN_RESUME, ERR_MISMATCH, "data_hash", "");
    write_rows(f, "1");
    tiny_model_make(f->model, "2");
    refused(f, RUN_RESUME, ERR_MISMATCH, "model_hash", "");
    tiny_model_make(f->model, "1");
    open_run(f, RUN_RESUME);
}

static void steps_are_run_again_to_equal_hashes(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    char id[33];
    strcpy(id, f->run.run_id);
    for (int i = 0; i < 3; i++) {
        step(f);
    }
    assert_false(hash_equal(f->hash[2], f->hash[4]));
    restart(f, RUN_RESUME);
    assert_string_equal(f->run.run_id, id);
    assert_int_equal(f->run.steps_rerun, 3);
    assert_serves(f, 4, f->hash[4]);
    step(f);    // and it goes on
    restart(f, RUN_RESUME);
    assert_int_equal(f->run.steps_rerun, 4);
    assert_serves(f, 5, f->hash[5]);
}

static void a_checkpoint_saves_what_comes_before_it(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    step(f);
    checkpoint(f, step(f));
    step(f);
    restart(f, RUN_RESUME);
    assert_int_equal(f->run.steps_rerun, 1);
    assert_true(f->run.checkpoint_step == 2 && f->run.last_step == 3);
    assert_serves(f, 4, f->hash[4]);
}

// A step that was committed and not finished belongs to whoever goes on: the coordinator hands it
// out again.
static void a_step_without_a_result_is_left_for_the_coordinator(void **state)
{
    struct fixture *f = *state;
    struct batch b;
    struct ledger_heads h;
    open_run(f, RUN_START);
    step(f);
    commit_step(f, &b);
    restart(f, RUN_RESUME);
    assert_int_equal(f->run.steps_rerun, 1);
    assert_serves(f, 2, f->hash[2]);
    assert_int_equal(ledger_get_heads(f->run.ledger, &h, NULL), ERR_OK);
    assert_true(h.last_step == 2 && h.last_done == 1);
}

// The disk lost a file: an older checkpoint and more steps lead to the same place.
static void a_damaged_checkpoint_costs_only_time(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    checkpoint(f, step(f));
    checkpoint(f, step(f));
    step(f);
    char *file = inside(f, "checkpoints/v000003/policy.bin");
    assert_int_equal(truncate(file, 100), 0);
    free(file);
    restart(f, RUN_RESUME);
    assert_int_equal(f->run.steps_rerun, 2);
    assert_int_equal(f->run.checkpoint_step, 1);
    assert_serves(f, 4, f->hash[4]);
}

static void folders_that_the_ledger_does_not_name_are_removed(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    checkpoint(f, step(f));
    char *orphan = inside(f, "checkpoints/v000009.tmp"), *other = inside(f, "checkpoints/v000007");
    assert_int_equal(fs_make_dirs(orphan, NULL), ERR_OK);
    assert_int_equal(fs_make_dirs(other, NULL), ERR_OK);
    restart(f, RUN_RESUME);
    assert_false(fs_exists(orphan) || fs_exists(other));
    assert_true(has(f, "checkpoints/v000002/state.json"));
    free(orphan);
    free(other);
}

// The files of versions that recovery passes by stay until the service has pinned what it needs.
static void recovery_removes_no_weights(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    publish_hold(f->run.publish, false);
    for (int i = 0; i < 4; i++) {
        step(f);
        assert_int_equal(publish_flush(f->run.publish, NULL), ERR_OK);
    }
    publish_hold(f->run.publish, true);
    assert_int_equal(publish_flush(f->run.publish, NULL), ERR_OK);
    assert_false(has(f, "weights/v000001.safetensors"));    // keep_versions 2, staleness bound + 2
    restart(f, RUN_RESUME);
    assert_int_equal(publish_flush(f->run.publish, NULL), ERR_OK);
    for (int v = 1; v <= 5; v++) {
        char name[64];
        snprintf(name, sizeof name, "weights/v%06d.safetensors", v);
        assert_true(has(f, name));    // those of the steps run again, too
    }
    publish_hold(f->run.publish, false);
    assert_int_equal(publish_flush(f->run.publish, NULL), ERR_OK);
    assert_false(has(f, "weights/v000001.safetensors"));
    assert_true(has(f, "weights/v000005.safetensors"));
}

// ---- claims: branches ----

static void other_weights_than_recorded_stop_a_resume(void **state)
{
    struct fixture *f = *state;
    open_run(f, RUN_START);
    checkpoint(f, step(f));
    step(f);
    run_close(&f->run);
    pretend_other_weights(f);
    refused(f, RUN_RESUME, ERR_MISMATCH, "version 3: the ledger has weights 0000",
            "--resume branch");
}

// A version number never names two sets of weights.
static void a_branch_goes_on_from_the_checkpoint_under_new_numbers(void **state)
{
    struct fixture *f = *state;
    struct ledger_heads h;
    struct ledger_version v;
    uint64_t violations = 1;
    open_run(f, RUN_START);
    checkpoint(f, step(f));    // version 2
    step(f);
    step(f);    // versions 3 and 4, which this machine cannot make again
    run_close(&f->run);
    pretend_other_weights(f);
    open_run(f, RUN_BRANCH);
    assert_serves(f, 5, f->hash[2]);
    assert_int_equal(ledger_get_heads(f->run.ledger, &h, NULL), ERR_OK);
    assert_true(h.branch == 1 && h.newest_version == 5 && h.last_done == 1);
    assert_int_equal(ledger_get_version(f->run.ledger, 5, &v, NULL), ERR_OK);
    assert_true(v.parent == 2 && v.branch == 1);
    assert_int_equal(step(f), 6);
    assert_int_equal(ledger_audit(f->run.ledger, on_violation, NULL, &violations, NULL), ERR_OK);
    assert_int_equal(violations, 0);
    restart(f, RUN_RESUME);    // from the old checkpoint's files, under the branch's number
    assert_int_equal(f->run.steps_rerun, 1);
    assert_serves(f, 6, f->hash[6]);
}

static void a_branch_without_a_checkpoint_begins_at_the_model(void **state)
{
    struct fixture *f = *state;
    struct ledger_version one;
    open_run(f, RUN_START);
    step(f);
    assert_int_equal(ledger_get_version(f->run.ledger, 1, &one, NULL), ERR_OK);
    restart(f, RUN_BRANCH);
    assert_serves(f, 3, one.weights_hash);
    assert_int_equal(step(f), 4);
    restart(f, RUN_RESUME);
    assert_int_equal(f->run.steps_rerun, 1);
    assert_serves(f, 4, f->hash[4]);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_new_run_is_in_the_ledger_and_serves_version_1),
        CLAIM(a_folder_belongs_to_one_learner),
        CLAIM(a_run_is_started_once_and_resumed_only_where_it_is),
        CLAIM(a_mistake_leaves_nothing_to_resume),
        CLAIM(a_frozen_key_is_named_with_what_it_was_and_is),
        CLAIM(changed_files_are_refused_by_their_hashes),
        CLAIM(steps_are_run_again_to_equal_hashes),
        CLAIM(a_checkpoint_saves_what_comes_before_it),
        CLAIM(a_step_without_a_result_is_left_for_the_coordinator),
        CLAIM(a_damaged_checkpoint_costs_only_time),
        CLAIM(folders_that_the_ledger_does_not_name_are_removed),
        CLAIM(recovery_removes_no_weights),
        CLAIM(other_weights_than_recorded_stop_a_resume),
        CLAIM(a_branch_goes_on_from_the_checkpoint_under_new_numbers),
        CLAIM(a_branch_without_a_checkpoint_begins_at_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

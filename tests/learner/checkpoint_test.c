// checkpoint_test.c: claims about saving the optimiser's state and taking it up again.
//
// The claim behind all others: train, save, train on; load, train on: equal bits. Damage is made by
// hand in the files of moments and policy, and must be found before the state in memory changes.

#include "learner/checkpoint.h"

#include "rig.h"

static void checkpoint_path(const struct rig *r, char out[96])
{
    (void)snprintf(out, 96, "%s/checkpoints/v000003", r->dir);
}

// A run of two steps that ends in a saved checkpoint of version 3.
static void run_and_save(struct rig *r, struct rollouts *rolls, char path[96])
{
    rig_open(r, 1, NULL);
    for (uint64_t i = 0; i < 2; i++) {
        rig_roll(r, i, rolls);
        rig_step(r, rolls);
    }
    checkpoint_path(r, path);
    rig_save(r, path, 2, 3);
}

// The trainer anew, as after a restart, with nothing but the model and the checkpoint.
static void restart(struct rig *r)
{
    rig_stop(r);
    rig_start(r);
}

static void a_resumed_run_takes_the_same_steps(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    char path[96];
    uint64_t step = 0, version = 0;
    struct hash128 hash, again;
    run_and_save(&r, &rolls, path);
    hash = r.hash;
    rig_roll(&r, 7, &rolls);
    struct train_result before = rig_step(&r, &rolls), after;

    restart(&r);
    MUST(trainer_load(r.trainer, path, &step, &version, &why));
    assert_int_equal(step, 2);
    assert_int_equal(version, 3);
    MUST(trainer_publish(r.trainer, 3, &again, &why));
    assert_true(hash_equal(hash, again));
    r.version = 3;
    after = rig_step(&r, &rolls);
    assert_true(hash_equal(before.weights_hash, after.weights_hash));
    assert_true(before.loss == after.loss && before.grad_norm == after.grad_norm);
    assert_int_equal(after.mismatched_tokens, 0);
    rig_close(&r);
}

// Loading undoes later steps in the same process: weights, moments and their count.
static void loading_goes_back_in_time(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    char path[96];
    uint64_t step, version;
    run_and_save(&r, &rolls, path);
    rig_roll(&r, 7, &rolls);
    struct train_result first = rig_step(&r, &rolls), second;
    struct rollouts more = rolls;
    rig_step(&r, &more);
    MUST(trainer_load(r.trainer, path, &step, &version, &why));
    publish_forget_after(r.publish, 3);
    r.version = 3;
    second = rig_step(&r, &rolls);
    assert_true(hash_equal(first.weights_hash, second.weights_hash));
    rig_close(&r);
}

// At step 0 there are no moments yet, and the folder is as small as the policy.
static void a_checkpoint_before_the_first_step_has_no_moments(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    char path[96], *data = NULL;
    size_t len = 1;
    uint64_t step, version;
    rig_open(&r, 1, NULL);
    checkpoint_path(&r, path);
    rig_save(&r, path, 0, 1);
    rig_roll(&r, 1, &rolls);
    struct hash128 hash = rig_step(&r, &rolls).weights_hash;
    char *moments = fs_path("%s/moments.bin", path);
    MUST(fs_read_file(moments, 10, &data, &len, &why));
    assert_int_equal(len, 0);
    free(data);
    free(moments);

    MUST(trainer_load(r.trainer, path, &step, &version, &why));    // over moments that exist
    publish_forget_after(r.publish, 1);
    r.version = 1;
    assert_true(hash_equal(hash, rig_step(&r, &rolls).weights_hash));
    rig_close(&r);
}

static void a_folder_is_replaced_as_a_whole(void **state)
{
    (void)state;
    struct rig r;
    struct rollouts rolls;
    char path[96], other[112];
    uint64_t step, version;
    run_and_save(&r, &rolls, path);
    (void)snprintf(other, sizeof other, "%s/stray", path);
    MUST(fs_write_file(other, "x", 1, &why));
    rig_save(&r, path, 9, 3);
    assert_false(fs_exists(other));
    (void)snprintf(other, sizeof other, "%s.tmp", path);
    assert_false(fs_exists(other));
    MUST(trainer_load(r.trainer, path, &step, &version, &why));
    assert_int_equal(step, 9);
    rig_close(&r);
}

// ---- damage

// Loads and expects an error that contains word; the trainer must be what it was.
static void refused(struct rig *r, const char *path, enum err expected, const char *word)
{
    struct why said = {""};
    uint64_t step = 77, version = 77;
    struct hash128 hash;
    enum err e = trainer_load(r->trainer, path, &step, &version, &said);
    if (e != expected || !strstr(said.text, word)) {
        fail_msg("got %d \"%s\", expected %d and \"%s\"", (int)e, said.text, (int)expected, word);
    }
    assert_true(step == 77 && version == 77);
    MUST(trainer_publish(r->trainer, ++r->version, &hash, &why));
    assert_true(hash_equal(hash, r->hash));
}

// Changes, cuts or appends to a file of the checkpoint.
static void edit(const char *path, const char *name, size_t at, int byte, long cut)
{
    char *file = fs_path("%s/%s", path, name);
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    if (cut >= 0) {
        assert_int_equal(ftruncate(fileno(f), cut), 0);
    } else {
        assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
        assert_int_equal(fputc(byte, f), byte);
    }
    assert_int_equal(fclose(f), 0);
    free(file);
}

static void damage_is_found_before_anything_changes(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t at;
        int byte;
        long cut;
        enum err e;
        const char *word;
    } cases[] = {
        {"moments.bin", 4321, 0x55, -1, ERR_CORRUPT, "moments.bin: checksum"},
        {"policy.bin", 100, 0x55, -1, ERR_CORRUPT, "policy.bin: checksum"},
        {"policy.bin", 0, 0, 1000, ERR_CORRUPT, "policy.bin: 1000 bytes, expected"},
        {"moments.bin", 0, 0, 0, ERR_CORRUPT, "moments.bin: 0 bytes, expected"},
    };
    struct rig r;
    struct rollouts rolls;
    char path[96];
    run_and_save(&r, &rolls, path);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rig_save(&r, path, 2, 3);
        edit(path, cases[i].file, cases[i].at, cases[i].byte, cases[i].cut);
        refused(&r, path, cases[i].e, cases[i].word);
    }
    rig_close(&r);
}

static void unusable_states_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err e;
        const char *word;
    } cases[] = {
        {"{", ERR_INVALID, "state.json"},
        {"[]", ERR_CORRUPT, "not an object"},
        {"{\"format\": 2}", ERR_INVALID, "format"},
        {"{\"format\":1,\"step\":1,\"version\":1,\"optimiser_steps\":1,\"parameters\":5,"
         "\"moments\":"
         "false,\"policy_xxh3\":\"00000000000000000000000000000000\",\"moments_xxh3\":\"x\"}",
         ERR_CORRUPT, "moments_xxh3"},
        {"{\"format\":1,\"step\":1,\"version\":1,\"optimiser_steps\":1,\"parameters\":5,"
         "\"moments\":"
         "false,\"policy_xxh3\":\"00000000000000000000000000000000\","
         "\"moments_xxh3\":\"00000000000000000000000000000000\"}",
         ERR_MISMATCH, "5 parameters"},
    };
    struct rig r;
    struct rollouts rolls;
    char path[96], state_file[112];
    run_and_save(&r, &rolls, path);
    (void)snprintf(state_file, sizeof state_file, "%s/state.json", path);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        MUST(fs_write_file(state_file, cases[i].text, strlen(cases[i].text), &why));
        refused(&r, path, cases[i].e, cases[i].word);
    }
    assert_int_equal(unlink(state_file), 0);
    refused(&r, path, ERR_NOT_FOUND, "state.json");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resumed_run_takes_the_same_steps),
        cmocka_unit_test(loading_goes_back_in_time),
        cmocka_unit_test(a_checkpoint_before_the_first_step_has_no_moments),
        cmocka_unit_test(a_folder_is_replaced_as_a_whole),
        cmocka_unit_test(damage_is_found_before_anything_changes),
        cmocka_unit_test(unusable_states_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

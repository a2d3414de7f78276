// input_test.c: bad input. Each mistake ends with a message that names the thing, its value and
// what was expected, and with a status that is not 0; none with a crash.
#include "tests/system/world.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>

// Runs a command that must fail with `status` and a message that contains each of the words.
static void fails(int status, const char *command, const char *const *words)
{
    char *out;
    int rc = world_run(&out, "%s", command);
    if (rc != status) {
        fail_msg("%s: status %d, expected %d\n%s", command, rc, status, out);
    }
    for (size_t i = 0; words[i]; i++) {
        if (strstr(out, words[i]) == NULL) {
            fail_msg("%s: \"%s\" does not contain \"%s\"", command, out, words[i]);
        }
    }
    free(out);
}

#define FAILS(status, command, ...) fails(status, command, (const char *const[]){__VA_ARGS__, NULL})

static void put(const char *path, const char *text)
{
    struct why why;
    assert_int_equal(fs_write_file(path, text, strlen(text), &why), ERR_OK);
}

static void copy_model(const char *to, size_t keep_bytes)
{
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "model.safetensors"};
    struct why why;
    assert_int_equal(fs_make_dirs(to, &why), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *from = fs_path("tiny/%s", files[i]), *path = fs_path("%s/%s", to, files[i]), *data;
        size_t len;
        assert_int_equal(fs_read_file(from, 1 << 20, &data, &len, &why), ERR_OK);
        bool weights = i + 1 == ARRAY_LEN(files);
        assert_int_equal(fs_write_file(path, data, weights ? MIN(len, keep_bytes) : len, &why),
                         ERR_OK);
        free(data);
        free(from);
        free(path);
    }
}

static void a_wrong_command_line_is_explained(void **state)
{
    (void)state;
    FAILS(2, "caravan", "caravan: reinforcement", "run ");
    FAILS(2, "caravan trian", "unknown command 'trian'");
    FAILS(2, "caravan run", "give a configuration file or --resume RUN");
    FAILS(2, "caravan run run.yaml --chek", "unknown option --chek");
    FAILS(2, "caravan samples r --step 0", "--step: '0' is not an integer in 1..");
    FAILS(2, "caravan samples r --step 1x", "--step: '1x'");
    FAILS(2, "caravan tasks --kind poems", "poems", "math", "constraints", "mixed");
    FAILS(2, "caravan run run.yaml --resume x", "give a configuration file or --resume RUN");
    FAILS(2, "caravan tokenize", "--model is missing");
}

static void a_wrong_configuration_names_file_line_and_key(void **state)
{
    (void)state;
    put("typo.yaml", "seed: 1\nrolout: {max_tokens: 8}\n");
    FAILS(1, "caravan run typo.yaml --check", "typo.yaml:2", "rolout");
    put("broken.yaml", "seed: [1\n");
    FAILS(1, "caravan run broken.yaml --check", "broken.yaml");
    FAILS(1, "caravan run absent.yaml", "absent.yaml", "No such file");
    FAILS(1, "caravan run run.yaml --set rollout.max_tokens=12abc", "rollout.max_tokens", "12abc");
    FAILS(1, "caravan run run.yaml --set rollout.max_tokens=010", "rollout.max_tokens", "010");
    FAILS(1, "caravan run run.yaml --set optim.lr=nan", "optim.lr", "nan");
    FAILS(1, "caravan run run.yaml --set data.shuffle=maybe", "data.shuffle", "maybe");
    FAILS(1, "caravan run run.yaml --set rollout.staleness_max=-1", "staleness_max", "-1", "0..64");
    FAILS(1, "caravan run run.yaml --set rollout", "--set rollout: expected KEY=VALUE");
    FAILS(1, "caravan run run.yaml --set learner.listen=tcp://0.0.0.0:4000", "learner.token_file");
}

static void a_bad_model_is_named(void **state)
{
    (void)state;
    struct why why;
    FAILS(1, "caravan run run.yaml --set model.path=nowhere --set run_dir=m1", "nowhere");
    copy_model("cut", 20000);
    FAILS(1, "caravan run run.yaml --set model.path=cut --set run_dir=m2", "cut/model.safetensors");
    FAILS(1, "caravan run run.yaml --check --set model.path=cut", "cut/model.safetensors");
    copy_model("shape", 1 << 20);
    char *config;
    size_t len;
    assert_int_equal(fs_read_file("tiny/config.json", 1 << 20, &config, &len, &why), ERR_OK);
    char *at = strstr(config, "\"intermediate_size\":");
    assert_non_null(at);
    char *digits = at + strcspn(at, "0123456789");
    memcpy(digits, "64", 2);    // was 48
    put("shape/config.json", config);
    free(config);
    FAILS(1, "caravan run run.yaml --check --set model.path=shape", "mlp", "64", "48");
    put("noise.gguf", "GGUF this is not one");
    FAILS(1, "caravan run run.yaml --check --set model.path=noise.gguf", "noise.gguf");
    FAILS(1, "caravan logprobs --model noise.gguf", "noise.gguf");
}

static void bad_data_is_named_by_line_and_field(void **state)
{
    (void)state;
    put("rows.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"dataset\":\"gsm8k\","
        "\"ground_truth\":\"1\"}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"b\"}],\"dataset\":\"gsm8k\"}\n");
    FAILS(1, "caravan run run.yaml --check --set data.train=rows.jsonl", "rows.jsonl:2",
          "ground_truth");
    FAILS(1, "caravan run run.yaml --set data.train=rows.jsonl --set run_dir=d1", "rows.jsonl:2",
          "ground_truth");
    FAILS(1, "caravan run run.yaml --check --set data.train=none.jsonl", "none.jsonl");
    FAILS(1, "caravan run run.yaml --check --set data.max_prompt_tokens=5", "commas.jsonl",
          "over the prompt limit");
    FAILS(1, "caravan run run.yaml --check --set rollout.max_tokens=100000", "rollout.max_tokens",
          "context of 1024");
}

// A socket of the test's own on a free port; *port is filled in.
static int take_port(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 1) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    int port, fd = take_port(&port);
    char command[256], number[16];
    snprintf(number, sizeof number, "%d", port);
    snprintf(command, sizeof command,
             "caravan run run.yaml --set run_dir=p1 --set learner.listen=tcp://127.0.0.1:%d", port);
    FAILS(1, command, number, "in use");
    snprintf(command, sizeof command,
             "caravan run run.yaml --set run_dir=p2 --set learner.http=127.0.0.1:%d", port);
    FAILS(1, command, number, "in use");
    close(fd);
}

static void a_run_has_one_learner(void **state)
{
    (void)state;
    struct process p = world_spawn("caravan run run.yaml --set run_dir=one --set stop.steps=0");
    world_until_steps("one", 1);
    FAILS(1, "caravan run --resume one", "one/lock", "in use");
    FAILS(1, "caravan run run.yaml --set run_dir=one", "one/lock", "in use");
    FAILS(1, "caravan-learner --resume one", "one/lock", "in use");
    size_t steps = world_steps("one");
    world_until_steps("one", steps + 2);    // and the first one did not notice
    world_signal(&p, SIGINT);
    assert_int_equal(world_wait(&p, 8000), 130);
    FAILS(1, "caravan run --resume one --set seed=2", "seed", "cannot change at resume");
    FAILS(1, "caravan run --resume one --set data.train=words.jsonl", "data.train");
    FAILS(1, "caravan run --resume two", "two", "no such folder");
    FAILS(1, "caravan audit tiny", "tiny", "not a run folder");
    FAILS(1, "caravan samples one --step 99999", "no samples of step 99999");
    FAILS(1, "caravan export one --version 99999 --out x", "99999", "not on disk");
}

static void an_actor_that_cannot_work_ends_the_run(void **state)
{
    (void)state;
    FAILS(1,
          "caravan run run.yaml --set run_dir=a1 --set model.path=tiny "
          "--set learner.token_file=absent.token",
          "absent.token");
}

// A small tmpfs in a mount namespace of its own; skipped where that is not allowed.
static void a_full_disk_ends_the_run_with_its_name(void **state)
{
    (void)state;
    struct why why;
    char *self = realpath("/proc/self/exe", NULL), *out, script[8192];
    assert_non_null(self);
    *strrchr(self, '/') = '\0';
    assert_int_equal(fs_make_dirs("full", &why), ERR_OK);
    snprintf(script, sizeof script,
             "mount -t tmpfs -o size=1m none full || exit 77\n"
             "exec %s/caravan run run.yaml --set run_dir=full/r --set stop.steps=0\n",
             self);
    put("full.sh", script);
    free(self);
    int rc = world_run(&out, "unshare -Urm sh full.sh");
    if (rc == 77 || strstr(out, "unshare") != NULL || rc == 127) {
        free(out);
        skip();
    }
    if (rc != 1 || strstr(out, "disk is full") == NULL) {
        fail_msg("status %d\n%s", rc, out);
    }
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_command_line_is_explained),
        cmocka_unit_test(a_wrong_configuration_names_file_line_and_key),
        cmocka_unit_test(a_bad_model_is_named),
        cmocka_unit_test(bad_data_is_named_by_line_and_field),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_run_has_one_learner),
        cmocka_unit_test(an_actor_that_cannot_work_ends_the_run),
        cmocka_unit_test(a_full_disk_ends_the_run_with_its_name),
    };
    return cmocka_run_group_tests(tests, world_enter, world_leave);
}

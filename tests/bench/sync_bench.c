// sync_bench: from the end of an optimiser step to the first token decoded with the new weights.
//
//   sync_bench --model DIR|FILE.gguf [--path slab|chunks] [--versions 12] [--slots 16]
//              [--actor-threads 1] [--threads 1] [--pause 2]
//
// Two processes, as in a run: this one is a learner without ledger and verifier (so figures are
// durability apart) with the real trainer, publication and bus; the other is caravan-actor, which
// decodes endless answers. The train thread makes a version every --pause seconds by a real
// optimiser step on a batch that is small, so that the actor decodes undisturbed between two steps.
//
//   sync       from the optimiser's last write to the first token, as the actor reports it
//   optimiser  norm, AdamW, rounding and packing; of that nothing is waited for any more afterwards
//   decode     tokens per second in the WINDOW_MS from the optimiser's last write on (weights
//              arrive), as a share of those in the window before the step
//
// Loop thread: the bus and the counting. Train thread: everything of the trainer.

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "cli/bench.h"
#include "common/clock.h"
#include "common/fs.h"
#include "learner/publish.h"
#include "learner/publish_slab.h"
#include "learner/trainer.h"
#include "proto/bus.h"
#include "proto/limits.h"
#include "tests/bench/kit.h"

enum {
    MAX_VERSIONS = 500,
    PROMPT = 64,
    ANSWER = 192,
    TRAINED = 16,    // tokens of each of the two answers that a step trains on
    HEARTBEAT_MS = 20,
    WINDOW_MS = 500,
    SAMPLES = 1 << 16,
    VOCAB_USED = 4096,
};

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != ERR_OK) {                                                                    \
            fprintf(stderr, "sync_bench: %s\n", why.text);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

struct options {
    const char *model, *path;
    long versions, slots, actor_threads, threads, pause;
};

struct tally {    // one published version
    uint64_t updated_us;
    double optimiser_s, publish_s, sync_ms;
};

struct bench {
    struct options o;
    char dir[64];
    uv_loop_t loop;
    uv_async_t wake;
    struct bus_server *bus;
    struct conf conf;
    struct pool *pool;
    struct device *device;
    struct source *source;
    struct publish *publish;
    struct publish_slabs *slabs;
    struct trainer *trainer;
    char *config;
    char *chunk;
    pid_t actor;
    pthread_t train;

    struct tally versions[MAX_VERSIONS + 2];    // by version
    atomic_uint_fast64_t newest;
    atomic_bool decoding, done;
    struct bus_request *waiting;    // WAIT_VERSION, parked
    uint64_t next_sample;
    // the actor's counter over time
    uint64_t heard_us[SAMPLES];
    double tokens[SAMPLES];
    size_t n_heard;
};

// ---- train thread ----

static void step(struct bench *b, uint64_t version)
{
    static uint32_t prompt[PROMPT], tokens[2][TRAINED];
    static float logprobs[2][TRAINED];
    struct why why = {""};
    struct train_sample samples[2] = {{1, tokens[0], logprobs[0], TRAINED, 1, false, false},
                                      {2, tokens[1], logprobs[1], TRAINED, -1, false, false}};
    struct train_group group = {prompt, PROMPT, samples, 2};
    struct train_step s = {.step = version,
                           .version = version - 1,
                           .new_version = version,
                           .groups = &group,
                           .n_groups = 1};
    struct train_result r;
    for (size_t i = 0; i < TRAINED; i++) {
        tokens[0][i] = (uint32_t)(i + version);
        tokens[1][i] = (uint32_t)(2 * i + version);
        logprobs[0][i] = logprobs[1][i] = -5;
    }
    train_hyper_at(&b->conf, s.step, &s.hyper);
    MUST(trainer_step(b->trainer, &s, &r, NULL, &why));
    b->versions[version] = (struct tally){r.updated_us, r.optimiser_s, r.publish_s, NAN};
    atomic_store(&b->newest, version);
    uv_async_send(&b->wake);
}

static void *train_main(void *arg)
{
    struct bench *b = arg;
    pool_set_fpu();
    while (!atomic_load(&b->decoding)) {
        usleep(10000);
    }
    for (long i = 0; i < b->o.versions + 1; i++) {    // the first one makes its memory
        usleep((useconds_t)(b->o.pause * 1000000));
        step(b, (uint64_t)i + 2);
    }
    usleep((useconds_t)(b->o.pause * 1000000));
    atomic_store(&b->done, true);
    uv_async_send(&b->wake);
    return NULL;
}

// ---- the learner's side of the bus ----

static void on_hello(struct bench *b, struct bus_request *r)
{
    struct msg m = {.type = MSG_WELCOME,
                    .welcome = {.run_id = msg_text_of("bench"),
                                .wait_address = msg_text_of(bus_server_wait_address(b->bus)),
                                .model_config = msg_text_of(b->config),
                                .dtype = CONF_DTYPE_BF16,
                                .newest_version = atomic_load(&b->newest),
                                .seed = 1,
                                .heartbeat_ms = HEARTBEAT_MS}};
    bus_reply(r, &m);
}

static double stat_of(const struct msg_heartbeat *h, const char *name)
{
    for (size_t i = 0; i < h->n_stats; i++) {
        if (strcmp(h->stats[i].name.data, name) == 0) {
            return h->stats[i].value;
        }
    }
    return NAN;
}

static void on_heartbeat(struct bench *b, struct bus_request *r)
{
    const struct msg_heartbeat *h = &bus_request_msg(r)->heartbeat;
    struct msg m = {.type = MSG_HEARTBEAT_REPLY,
                    .heartbeat_reply = {.newest_version = atomic_load(&b->newest)}};
    double tokens = stat_of(h, "decode_tokens_total"), sync = stat_of(h, "publish_to_decode_ms");
    double version = stat_of(h, "version");
    if (b->n_heard < SAMPLES) {
        b->heard_us[b->n_heard] = clock_wall_us();
        b->tokens[b->n_heard++] = tokens;
    }
    if (version >= 2 && version < MAX_VERSIONS + 2 && !isnan(sync)) {
        b->versions[(size_t)version].sync_ms = sync;    // the last word on it counts
    }
    atomic_store(&b->decoding, tokens > 0);
    bus_reply(r, &m);
}

static void on_find(struct bench *b, struct bus_request *r)
{
    struct why why = {""};
    struct weightslab_name name;
    struct hash128 hash;
    struct publish_version v;
    struct msg m = {.type = MSG_WEIGHTS_FOUND};
    struct msg_weights_found *f = &m.weights_found;
    if (publish_find(b->publish, bus_request_msg(r)->find_weights.version, &v, &why)) {
        bus_reply_fault(r, ERR_NOT_FOUND, why.text);
        return;
    }
    f->version = v.version;
    f->weights_hash = v.hash;
    f->updated_us = v.updated_us;
    if (publish_slab_find(b->slabs, f->version, &name, &hash)) {
        f->slab_pid = name.pid;
        f->slab_fd = name.fd;
        f->slab_owner = name.owner;
    }
    bus_reply(r, &m);
}

static void on_fetch(struct bench *b, struct bus_request *r)
{
    const struct msg_fetch_weights *f = &bus_request_msg(r)->fetch_weights;
    struct why why = {""};
    struct msg m = {.type = MSG_WEIGHTS_CHUNK};
    struct msg_weights_chunk *c = &m.weights_chunk;
    struct publish_version v;
    size_t len;
    if (publish_read(b->publish, f->version, f->offset, LIMIT_CHUNK_BYTES, b->chunk, &len, &v,
                     &why)) {
        bus_reply_fault(r, ERR_NOT_FOUND, why.text);
        return;
    }
    c->version = v.version;
    c->total_bytes = v.bytes;
    c->weights_hash = v.hash;
    c->offset = f->offset;
    c->bytes = (struct msg_text){b->chunk, len};
    c->chunk_hash = hash_bytes(b->chunk, len);
    bus_reply(r, &m);
}

static void on_lease(struct bench *b, struct bus_request *r)
{
    const struct msg_lease_generate *l = &bus_request_msg(r)->lease_generate;
    uint32_t prompt[PROMPT];
    uint64_t ids[LIMIT_SAMPLES_PER_GROUP];
    size_t n = MIN((size_t)l->max_samples, (size_t)LIMIT_SAMPLES_PER_GROUP);
    for (size_t i = 0; i < n; i++) {
        ids[i] = ++b->next_sample;
    }
    for (size_t i = 0; i < PROMPT; i++) {
        prompt[i] = (uint32_t)(b->next_sample * 31 + i * 7) % VOCAB_USED;
    }
    struct msg_group g = {.group_id = ids[0],
                          .prompt = prompt,
                          .n_prompt = PROMPT,
                          .sample_ids = ids,
                          .n_samples = n,
                          .attempt = 1,
                          .sampling = {.max_tokens = ANSWER, .temperature = 1, .top_p = 1},
                          .lease_ms = 600000};
    struct msg m = {
        .type = MSG_GENERATE_WORK,
        .generate_work = {.groups = &g, .n_groups = 1, .newest_version = atomic_load(&b->newest)}};
    bus_reply(r, &m);
}

static void answer_version(struct bench *b, struct bus_request *r)
{
    struct msg m = {.type = MSG_VERSION, .version = {.newest_version = atomic_load(&b->newest)}};
    bus_reply(r, &m);
}

static void on_request(void *arg, struct bus_request *r)
{
    struct bench *b = arg;
    const struct msg *m = bus_request_msg(r);
    struct msg ack = {.type = MSG_ACK, .ack = {MSG_ACK_OK, atomic_load(&b->newest)}};
    switch (m->type) {
    case MSG_HELLO:
        on_hello(b, r);
        break;
    case MSG_HEARTBEAT:
        on_heartbeat(b, r);
        break;
    case MSG_FIND_WEIGHTS:
        on_find(b, r);
        break;
    case MSG_FETCH_WEIGHTS:
        on_fetch(b, r);
        break;
    case MSG_LEASE_GENERATE:
        on_lease(b, r);
        break;
    case MSG_SUBMIT_SAMPLE:
        bus_reply(r, &ack);
        break;
    case MSG_WAIT_VERSION:
        if (m->wait_version.have_version < atomic_load(&b->newest) || b->waiting) {
            answer_version(b, r);
        } else {
            b->waiting = r;
        }
        break;
    default:
        bus_reply_fault(r, ERR_INVALID, "not here");
    }
}

static void on_wake(uv_async_t *h)
{
    struct bench *b = h->data;
    if (b->waiting) {
        answer_version(b, b->waiting);
        b->waiting = NULL;
    }
    if (atomic_load(&b->done)) {
        uv_stop(&b->loop);
    }
}

// ---- life ----

// Before this process has threads.
static void start_actor(struct bench *b, const char *self)
{
    char path[512], connect[96], slots[16], threads[16], log[96];
    const char *slash = strrchr(self, '/');
    (void)snprintf(path, sizeof path, "%.*s/caravan-actor", slash ? (int)(slash - self) : 1,
                   slash ? self : ".");
    (void)snprintf(connect, sizeof connect, "ipc://%s/bus", b->dir);
    (void)snprintf(slots, sizeof slots, "%ld", b->o.slots);
    (void)snprintf(threads, sizeof threads, "%ld", b->o.actor_threads);
    (void)snprintf(log, sizeof log, "%s/actor.log", b->dir);
    const char *slab = strcmp(b->o.path, "slab") == 0 ? "auto" : "off";
    b->actor = fork();
    if (b->actor == 0) {
        if (!freopen(log, "w", stderr)) {
            _exit(126);
        }
        execl(path, path, "--connect", connect, "--slots", slots, "--threads", threads, "--slab",
              slab, (char *)NULL);
        _exit(127);
    }
}

static void open_learner(struct bench *b)
{
    struct why why = {""};
    char weights[96], address[96];
    conf_defaults(&b->conf);
    b->conf.max_prompt_tokens = PROMPT;
    b->conf.max_tokens = ANSWER;
    b->conf.micro_batch_tokens = PROMPT + ANSWER;
    b->conf.lr = 1e-7;
    (void)snprintf(weights, sizeof weights, "%s/weights", b->dir);
    (void)snprintf(address, sizeof address, "ipc://%s/bus", b->dir);
    b->chunk = malloc(LIMIT_CHUNK_BYTES);
    CHECK(b->chunk);
    MUST(pool_create((int)b->o.threads, &b->pool, &why));
    MUST(device_open("cpu", b->pool, &b->device, &why));
    MUST(source_open(b->o.model, &b->source, &why));
    b->config = model_config_print(source_config(b->source), DTYPE_BF16);
    MUST(publish_create(weights, source_params(b->source), DTYPE_BF16, 2, NULL, NULL, &b->publish,
                        &why));
    MUST(publish_slabs_create(b->device, source_config(b->source), DTYPE_BF16, &b->slabs, &why));
    MUST(trainer_create(b->device, b->source, &b->conf, b->publish, &b->trainer, &why));
    trainer_share(b->trainer, b->slabs);
    struct hash128 hash;
    MUST(trainer_publish(b->trainer, 1, &hash, &why));
    b->newest = 1;
    CHECK(uv_loop_init(&b->loop) == 0 && uv_async_init(&b->loop, &b->wake, on_wake) == 0);
    b->wake.data = b;
    MUST(bus_server_create(&b->loop, address, on_request, b, &b->bus, &why));
    CHECK(pthread_create(&b->train, NULL, train_main, b) == 0);
}

// ---- figures ----

static double tokens_at(const struct bench *b, double us)
{
    for (size_t i = 1; i < b->n_heard; i++) {
        if ((double)b->heard_us[i] >= us) {
            double from = (double)b->heard_us[i - 1], span = (double)b->heard_us[i] - from;
            double share = span > 0 ? (us - from) / span : 0;
            return b->tokens[i - 1] + share * (b->tokens[i] - b->tokens[i - 1]);
        }
    }
    return NAN;
}

// Tokens in the window from us on, per second.
static double rate_from(const struct bench *b, double us)
{
    return (tokens_at(b, us + WINDOW_MS * 1e3) - tokens_at(b, us)) / (WINDOW_MS * 1e-3);
}

static void print(const char *what, const char *unit, const double *values, size_t n)
{
    if (n == 0) {
        printf("%-34s nothing\n", what);
        return;
    }
    struct bench_spread s = bench_spread(values, n);
    printf("%-34s %8.2f  (%.2f-%.2f) %s\n", what, s.median, s.least, s.most, unit);
}

static void report(const struct bench *b)
{
    double sync[MAX_VERSIONS], optimiser[MAX_VERSIONS], publish[MAX_VERSIONS], kept[MAX_VERSIONS],
        quiet[MAX_VERSIONS];
    size_t n = 0, n_sync = 0, n_kept = 0;
    for (long i = 0; i < b->o.versions; i++) {
        const struct tally *t = &b->versions[i + 3];
        double end = (double)t->updated_us, before = rate_from(b, end - 1e6 * (double)b->o.pause),
               during = rate_from(b, end);
        optimiser[n] = t->optimiser_s * 1e3;
        publish[n++] = t->publish_s * 1e3;
        if (!isnan(t->sync_ms)) {
            sync[n_sync++] = t->sync_ms;
        }
        if (before > 0 && !isnan(during)) {
            quiet[n_kept] = before;
            kept[n_kept++] = during / before;
        }
    }
    printf("path %s, %s, %ld versions, actor: %ld slots, %ld threads; learner: %ld threads\n",
           b->o.path, device_isa(b->device), b->o.versions, b->o.slots, b->o.actor_threads,
           b->o.threads);
    print("sync, end of step to first token", "ms", sync, n_sync);
    print("optimiser, packing included", "ms", optimiser, n);
    print("hand-over after it", "ms", publish, n);
    print("decode undisturbed", "tokens/s", quiet, n_kept);
    print("decode while weights arrive", "of that", kept, n_kept);
}

static void usage(void)
{
    fprintf(stderr, "usage: sync_bench --model DIR|FILE.gguf [--path slab|chunks] [--versions 12] "
                    "[--slots 16]\n                  [--actor-threads 1] [--threads 1] [--pause "
                    "2]\n");
    exit(2);
}

static void parse(struct options *o, const char *name, const char *value)
{
    if (strcmp(name, "--model") == 0) {
        o->model = value;
    } else if (strcmp(name, "--path") == 0 &&
               (strcmp(value, "slab") == 0 || strcmp(value, "chunks") == 0)) {
        o->path = value;
    } else if (strcmp(name, "--versions") == 0) {
        o->versions = kit_number(name, value, 1, MAX_VERSIONS - 1);
    } else if (strcmp(name, "--slots") == 0) {
        o->slots = kit_number(name, value, 1, 1024);
    } else if (strcmp(name, "--actor-threads") == 0) {
        o->actor_threads = kit_number(name, value, 1, 256);
    } else if (strcmp(name, "--threads") == 0) {
        o->threads = kit_number(name, value, 1, 256);
    } else if (strcmp(name, "--pause") == 0) {
        o->pause = kit_number(name, value, 2, 60);
    } else {
        usage();
    }
}

int main(int argc, char **argv)
{
    static struct bench b = {.o = {NULL, "slab", 12, 16, 1, 1, 2},
                             .dir = "/tmp/caravan-sync-XXXXXX"};
    struct why why = {""};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            usage();
        }
        parse(&b.o, argv[i], argv[i + 1]);
    }
    if (!b.o.model) {
        usage();
    }
    CHECK(mkdtemp(b.dir));
    signal(SIGPIPE, SIG_IGN);
    start_actor(&b, argv[0]);
    open_learner(&b);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    pthread_join(b.train, NULL);
    kill(b.actor, SIGTERM);
    (void)waitpid(b.actor, NULL, 0);
    report(&b);
    trainer_destroy(b.trainer);
    publish_slabs_destroy(b.slabs);
    publish_destroy(b.publish);
    MUST(fs_remove_tree(b.dir, &why));
    return 0;    // the bus and the device end with the process
}

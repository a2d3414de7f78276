// plan.c: the figures are the ones that the roles themselves plan with (trainer_memory,
// weights_memory, model_memory, kv_cache_row_bytes), so that the plan cannot drift from them.
//
// What a plan reports is found by opening the same files with the same modules as the daemons do; a
// configuration that passes here fails later only if files or memory change in between.
#include "cli/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor/pages.h"
#include "common/fs.h"
#include "common/pool.h"
#include "learner/tasks.h"
#include "learner/trainer.h"
#include "model/model.h"
#include "model/tokenizer.h"

#define MIB(bytes) ((double)(bytes) / 1048576)
#define WORKER_BYTES ((size_t)6 << 20)      // resident memory of one idle verifier worker
#define PROCESS_BYTES ((size_t)16 << 20)    // of a daemon apart from what it computes with

struct data {
    struct tasks *train, *eval;
    size_t longest;    // prompt
};

static size_t longest_prompt(const struct tasks *t)
{
    size_t longest = 0;
    for (size_t i = 0; i < tasks_count(t); i++) {
        longest = MAX(longest, tasks_get(t, i)->n_prompt);
    }
    return longest;
}

static enum err load_data(const struct conf *c, const struct tokenizer *t, struct data *d,
                          struct why *why)
{
    struct tasks_limits limits = {.max_prompt_tokens = (size_t)c->max_prompt_tokens};
    struct tasks_limits some = limits;
    enum taskgen_kind kind;
    some.max_rows = (size_t)c->eval_n;
    enum err e = taskgen_kind_parse(c->task_kind, &kind, why);
    if (!e && c->train_file[0]) {
        e = tasks_load(c->train_file, t, &limits, &d->train, why);
    } else if (!e) {
        e = tasks_generate(kind, (size_t)c->task_n, c->seed, false, t, &limits, &d->train, why);
    }
    if (!e && c->eval_n > 0 && c->eval_file[0]) {
        e = tasks_load(c->eval_file, t, &some, &d->eval, why);
    }
    d->longest = e ? 0 : longest_prompt(d->train);
    if (!e && d->eval) {
        d->longest = MAX(d->longest, longest_prompt(d->eval));
    }
    return e;
}

static enum err print_data(const struct conf *c, const struct data *d, struct buf *out)
{
    enum err e = buf_printf(out, "data      %s: %zu tasks, longest prompt %zu tokens",
                            c->train_file[0] ? c->train_file : c->task_kind, tasks_count(d->train),
                            d->longest);
    if (!e && tasks_refused(d->train)) {
        e = buf_printf(out, ", %zu left out (over data.max_prompt_tokens %lld)",
                       tasks_refused(d->train), (long long)c->max_prompt_tokens);
    }
    if (!e && c->eval_n > 0) {
        e = buf_printf(out, "; held out: %s",
                       c->eval_file[0]     ? c->eval_file
                       : !c->train_file[0] ? "from the templates"
                                           : "none (data.eval is not set)");
    }
    return e ? e : buf_printf(out, "\n");
}

// One sample with the longest prompt must fit into an actor's cache (engine.h).
static enum err check_cache(const struct conf *c, const struct model_config *m, size_t longest,
                            struct buf *out, struct why *why)
{
    size_t rows = ((size_t)c->actor_kv_mb << 20) / kv_cache_row_bytes(m) / PAGE_ROWS * PAGE_ROWS;
    int64_t tokens = MAX(c->max_tokens, c->eval_n > 0 ? c->eval_max_tokens : 0);
    size_t need = (pages_for(longest) + pages_for((size_t)tokens)) * PAGE_ROWS;
    if (need > rows) {
        return why_set(why, ERR_LIMIT,
                       "actor.kv_mb: %lld MiB hold %zu positions, one sample with the longest "
                       "prompt needs %zu: at least %zu MiB",
                       (long long)c->actor_kv_mb, rows, need,
                       (need * kv_cache_row_bytes(m) >> 20) + 1);
    }
    // A group's prompt stands once for all of its samples.
    size_t group = pages_for(longest) + (size_t)c->group_size * pages_for((size_t)tokens);
    size_t samples = rows / (group * PAGE_ROWS) * (size_t)c->group_size;
    return buf_printf(out,
                      "kv cache  %zu positions in each actor: about %zu samples of full length at "
                      "once, %lld slots\n",
                      rows, samples, (long long)c->actor_slots);
}

static double memory_of_machine_mib(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? MIB((double)pages * (double)size) : 0;
}

// What stands behind a figure that this machine cannot hold, alone or with what runs beside it.
static const char *fits(double mib, bool together)
{
    if (mib <= memory_of_machine_mib()) {
        return "";
    }
    return together ? ": NOT ENOUGH" : "; NOT ENOUGH MEMORY";
}

enum err plan_memory(const struct conf *c, const struct model_config *m, struct buf *out)
{
    enum dtype t = c->dtype == CONF_DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    size_t f32 = weights_blob_bytes(m, DTYPE_F32), copy = trainer_copy_memory(m, c);
    bool shared = c->slab == CONF_SLAB_AUTO;    // two slabs, the learner's own weights in one
    size_t packed = weights_memory(m, t) + (shared ? weights_panel_bytes(NULL, m, t) : 0),
           reference = c->kl_beta > 0 ? weights_memory(m, t) : 0;
    size_t learner = trainer_memory(m, c), state = 4 * f32 + copy + packed + reference;
    struct model_limits al = {.max_rows = (size_t)(c->actor_slots + c->actor_prefill_rows),
                              .max_index = (size_t)(c->actor_slots + c->actor_prefill_rows) *
                                           (size_t)m->max_positions,
                              .max_outs = (size_t)c->actor_slots + 1024,
                              .max_context = (size_t)m->max_positions};
    size_t two = shared ? 0 : 2 * weights_memory(m, t), kv = (size_t)c->actor_kv_mb << 20;
    size_t scratch = model_memory(m, &al), actor = two + kv + scratch + PROCESS_BYTES;
    // One worker more stands ready.
    size_t verifier = PROCESS_BYTES + ((size_t)c->verifier_workers + 1) * WORKER_BYTES;
    double total = MIB(learner + PROCESS_BYTES) + (double)c->actor_count * MIB(actor) +
                   (double)c->verifier_count * MIB(verifier);
    // A GPU takes over what is computed with; what is published stays on the host.
    double gpu = strcmp(c->learner_device, "cuda") != 0 ? 0 : MIB(learner - copy);
    gpu += strcmp(c->actor_device, "cuda") != 0
               ? 0
               : (double)c->actor_count * MIB(actor - PROCESS_BYTES);
    char published[48] = "";
    if (copy > 0) {
        (void)snprintf(published, sizeof published, " published weights %.0f,", MIB(copy));
    }
    enum err e = buf_printf(out,
                            "\nmemory    MiB\n"
                            "learner   %8.0f   masters %.0f, gradients %.0f, moments %.0f,%s\n"
                            "                     training weights %.0f%s%s, activations %.0f%s\n",
                            MIB(learner + PROCESS_BYTES), MIB(f32), MIB(f32), MIB(2 * f32),
                            published, MIB(packed), shared ? " (shared with actors)" : "",
                            reference ? " (and the initial policy for kl_beta)" : "",
                            MIB(learner > state ? learner - state : 0),
                            fits(MIB(learner + PROCESS_BYTES), false));
    e = e ? e
          : buf_printf(out,
                       "actor     %8.0f   weights %.0f (%s), KV cache %.0f, "
                       "activations %.0f; x %lld%s\n",
                       MIB(actor), MIB(two), shared ? "the learner's" : "in use and spare", MIB(kv),
                       MIB(scratch), (long long)c->actor_count, fits(MIB(actor), false));
    e = e ? e
          : buf_printf(out, "verifier  %8.0f   %lld workers; x %lld\n", MIB(verifier),
                       (long long)c->verifier_workers, (long long)c->verifier_count);
    if (!e && gpu > 0) {
        e = buf_printf(out, "gpu       %8.0f   of these, in GPU memory\n", gpu);
    }
    e = e ? e
          : buf_printf(out, "together  %8.0f   of %.0f on this machine%s\n", total - gpu,
                       memory_of_machine_mib(), fits(total - gpu, true));
    return e;
}

static enum err check_model(const struct conf *c, const struct source *s, struct buf *out,
                            struct why *why)
{
    const struct model_config *m = source_config(s);
    if (c->max_prompt_tokens + c->max_tokens > m->max_positions) {
        return why_set(why, ERR_LIMIT,
                       "data.max_prompt_tokens %lld and rollout.max_tokens %lld exceed the model's "
                       "context of %d",
                       (long long)c->max_prompt_tokens, (long long)c->max_tokens, m->max_positions);
    }
    return buf_printf(out,
                      "model     %s (%s): %s, %.1f M parameters, %d layers, hidden %d, vocabulary "
                      "%d, context %d\n",
                      c->model, source_format(s), m->family, (double)source_params(s)->total / 1e6,
                      m->layers, m->hidden, m->vocab, m->max_positions);
}

static enum err check_token(const struct conf *c, struct why *why)
{
    char *text;
    size_t len;
    if (!c->token_file[0]) {
        return ERR_OK;
    }
    enum err e = fs_read_file(c->token_file, 4096, &text, &len, why);
    if (!e) {
        free(text);
    }
    return e ? why_prefix(why, e, "learner.token_file") : ERR_OK;
}

// Actors that join from elsewhere have devices of their own.
static enum err check_devices(const struct conf *c, struct why *why)
{
    const struct {
        const char *key;
        const char *device;
    } all[] = {{"learner.device", c->learner_device}, {"actor.device", c->actor_device}};
    for (size_t i = 0; i < (c->actor_count > 0 ? 2 : 1); i++) {
        struct device *d = NULL;
        enum err e = device_open(all[i].device, NULL, &d, why);
        if (e) {
            return why_prefix(why, e, "%s", all[i].key);
        }
        device_close(d);
    }
    return ERR_OK;
}

enum err plan_check(const struct conf *c, struct buf *out, struct why *why)
{
    struct source *source = NULL;
    struct tokenizer *tokenizer = NULL;
    struct data d = {0};
    enum err e = check_token(c, why);
    e = e ? e : check_devices(c, why);
    e = e ? e : source_open(c->model, &source, why);
    e = e ? e : check_model(c, source, out, why);
    e = e ? e : source_set_template(source, c->chat_template, why);
    e = e ? e : source_tokenizer(source, &tokenizer, why);
    e = e ? e : load_data(c, tokenizer, &d, why);
    e = e ? e : print_data(c, &d, out);
    e = e ? e : check_cache(c, source_config(source), d.longest, out, why);
    e = e ? e : plan_memory(c, source_config(source), out);
    tasks_destroy(d.train);
    tasks_destroy(d.eval);
    tokenizer_destroy(tokenizer);
    source_close(source);
    return e;
}

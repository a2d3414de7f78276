// conf_rows.c: every option of every role, with the words a person reads about it.
//
// To add one: a member in struct conf (conf.h) and a row here. Parsing, range check, manual, resume
// diff and the ledger's copy follow by themselves. Rows of one section stand together, in the order
// the manual prints them. A help text says what the value does and when one would change it; the
// type, range, unit and default are printed from the row and need not be repeated.
#include <string.h>

#include "common/conf_table.h"

#define MEMBER(m) offsetof(struct conf, m), sizeof(((struct conf *)0)->m)
#define TEXT(k, m, dflt, froz, help_)                                                              \
    {                                                                                              \
        k, CONF_TYPE_TEXT, MEMBER(m), 0, 0, NULL, "", dflt, help_, froz                            \
    }
#define CHOICE(k, m, names_, dflt, froz, help_)                                                    \
    {                                                                                              \
        k, CONF_TYPE_CHOICE, MEMBER(m), 0, 0, names_, "", dflt, help_, froz                        \
    }
#define INT(k, m, lo, hi, unit_, dflt, froz, help_)                                                \
    {                                                                                              \
        k, CONF_TYPE_INT, MEMBER(m), lo, hi, NULL, unit_, dflt, help_, froz                        \
    }
#define SEED(k, m, dflt, froz, help_)                                                              \
    {                                                                                              \
        k, CONF_TYPE_SEED, MEMBER(m), 0, 0, NULL, "", dflt, help_, froz                            \
    }
#define NUM(k, m, lo, hi, unit_, dflt, froz, help_)                                                \
    {                                                                                              \
        k, CONF_TYPE_NUM, MEMBER(m), lo, hi, NULL, unit_, dflt, help_, froz                        \
    }
#define FLAG(k, m, dflt, froz, help_)                                                              \
    {                                                                                              \
        k, CONF_TYPE_FLAG, MEMBER(m), 0, 0, NULL, "", dflt, help_, froz                            \
    }
#define ENUM(k, m, names_, dflt, froz, help_)                                                      \
    {                                                                                              \
        k, CONF_TYPE_ENUM, MEMBER(m), 0, 0, names_, "", dflt, help_, froz                          \
    }

// In the order of the enums of conf.h.
static const char *const advantage_names[] = {"mean", "mean_std", NULL};
static const char *const truncated_names[] = {"score", "zero", "mask", "fixed", NULL};
static const char *const combine_names[] = {"auto", "all", "mean", "sum", NULL};
static const char *const unscored_names[] = {"drop", "zero", NULL};
static const char *const schedule_names[] = {"constant", "linear", "cosine", NULL};
static const char *const policy_names[] = {"clip", "cispo", "gspo", NULL};
static const char *const aggregate_names[] = {"token_mean", "seq_mean", "dr_grpo", NULL};
static const char *const kl_names[] = {"k1", "k2", "k3", "k4", NULL};
static const char *const dtype_names[] = {"bf16", "f32", NULL};
static const char *const sandbox_names[] = {"auto", "full", "seccomp", "none", NULL};
static const char *const slab_names[] = {"auto", "off", NULL};
static const char *const old_names[] = {"behaviour", NULL};
static const char *const device_names[] = {"cpu",        "cpu-portable", "cpu-avx2",
                                           "cpu-avx512", "cuda",         NULL};
static const char *const task_names[] = {"math", "constraints", "mixed", NULL};

const struct conf_section conf_sections[] = {
    {"", "The run as a whole."},
    {"model", "What is trained."},
    {"data", "The prompts, and how their answers are checked."},
    {"rollout", "How answers are sampled, and how far the actors may run ahead of the learner."},
    {"reward", "What an answer earns in the cases where no check can say."},
    {"loss", "From rewards to a gradient: GRPO with a clipped importance ratio."},
    {"optim", "AdamW."},
    {"stop", "When the run is over: whichever limit comes first. All 0 runs until Ctrl-C."},
    {"eval",
     "Greedy answers to held-out tasks, to see whether the model learns more than its tasks."},
    {"checkpoint",
     "What is kept on disk. A crash costs at most the time since the last checkpoint."},
    {"learner", "The hub: all other processes connect to it."},
    {"actor", "The processes that generate answers."},
    {"verifier", "The processes that check answers."},
};
const size_t conf_n_sections = ARRAY_LEN(conf_sections);

const struct conf_row conf_rows[] = {
    TEXT("run_dir", run_dir, "", false,
         "Folder of the run: ledger, weights, checkpoints, logs. \"\" makes runs/NAME from the "
         "name of this file."),
    SEED("seed", seed, "1", true,
         "Decides the order of the tasks and every sampled token. The same seed, model and "
         "versions give the same answers."),

    TEXT("model.path", model, "", true,
         "A GGUF file, or a Hugging Face folder with config.json, tokenizer.json and "
         "model.safetensors. Must be set here or on the command line."),
    ENUM("model.dtype", dtype, dtype_names, "bf16", true,
         "Precision of the weights that actors use and that the forward pass of training "
         "sees. The optimiser keeps its own f32 copy either way. f32 takes twice the memory."),

    TEXT(
        "model.chat_template", chat_template, "", true,
        "The format of prompts, in place of the one that the model brings: chatml, llama2, llama3, "
        "mistral, olmo2, qwen2, smollm2, tulu, or the path of a Jinja file. \"\" is the model's "
        "own."),

    TEXT("data.train", train_file, "", true,
         "JSONL file with one task a line: messages, ground_truth, dataset. \"\" trains on tasks "
         "from our own templates, see data.tasks."),
    TEXT("data.eval", eval_file, "", true,
         "JSONL file of held-out tasks in the same format. \"\" holds out tasks from our own "
         "templates."),
    CHOICE("data.tasks", task_kind, task_names, "mixed", true,
           "Kind of the tasks from our own templates, when data.train is \"\": arithmetic, "
           "writing under constraints, or both."),
    INT("data.tasks_n", task_n, 1, 1e7, "tasks", "4096", true,
        "How many tasks the templates give before they repeat (one epoch)."),
    INT("data.eval_n", eval_n, 0, 1e6, "tasks", "200", true,
        "How many held-out tasks are evaluated; 0 evaluates none. Tasks from templates "
        "never equal a training task."),
    FLAG("data.shuffle", shuffle, "true", true,
         "Visit the tasks in a new order each epoch. false keeps the order of the file."),
    INT("data.max_prompt_tokens", max_prompt_tokens, 1, 131072, "tokens", "1024", true,
        "Tasks with a longer prompt are left out when the data is loaded, and counted."),

    INT("rollout.group_size", group_size, 2, 1024, "samples", "8", true,
        "Answers sampled for each prompt. They are compared with one another, so more of "
        "them give a less noisy advantage and cost more generation."),
    INT("rollout.groups_per_step", groups_per_step, 1, 4096, "groups", "8", false,
        "Prompts in one optimiser step. A step trains on group_size times as many answers."),
    INT("rollout.staleness_max", staleness_max, 0, 64, "versions", "1", false,
        "How many optimiser steps old the oldest token of an answer may be when it is "
        "trained on. 0 generates and trains in turn; 1 or 2 let both run at the same time."),
    INT("rollout.max_tokens", max_tokens, 1, 131072, "tokens", "64", false,
        "Longest answer; a longer one is cut there (see reward.truncated)."),
    NUM("rollout.temperature", temperature, 0.01, 10, "", "1", false,
        "Sampling temperature. Training assumes what this says, so 1 is the honest choice; "
        "lower explores less."),
    NUM("rollout.top_p", top_p, 0.001, 1, "", "1", false,
        "Sample only from the most likely tokens that together have this probability; 1 is "
        "off. Below 1 the sampled distribution is no longer the trained one."),
    INT("rollout.top_k", top_k, 0, 1e6, "tokens", "0", false,
        "Sample only from this many of the most likely tokens; 0 is off. The caution of "
        "top_p applies."),
    NUM("rollout.min_p", min_p, 0, 1, "", "0", false,
        "Sample only from tokens at least this many times as probable as the most likely one; 0 "
        "is off. Taken after top_k and top_p, whose caution applies. kept_mass_total over "
        "decode_tokens_total of an actor says how much of the distribution the three leave."),
    FLAG(
        "rollout.ignore_eos", ignore_eos, "false", false,
        "No token ends an answer: all are max_tokens long, those of evaluations too. For measuring "
        "speed at a known length; a model that is trained so forgets how to stop."),
    INT("rollout.lease_ms", lease_ms, 1000, 86400000, "ms", "60000", false,
        "How long an actor or verifier may hold work. Heartbeats renew it; ten seconds without "
        "one end it early."),

    ENUM("reward.truncated", truncated, truncated_names, "score", false,
         "What an answer that was cut at max_tokens earns: what its check says, zero, its "
         "check's word but no place in the loss (mask), or reward.truncated_reward (fixed)."),
    NUM("reward.truncated_reward", truncated_reward, -1e6, 1e6, "", "-10", false,
        "The penalty for not stopping, with truncated: fixed. Tülu 3's PPO recipe has -10 beside a "
        "scale of 10."),
    ENUM("reward.combine", combine, combine_names, "auto", false,
         "How the checks of one row become a reward: 1 if all hold (all), their weighted mean, or "
         "their weighted sum. auto: a list of checks without weights needs all, with weights it is "
         "a sum; an ifeval row earns the mean."),
    NUM("reward.scale", reward_scale, -1e6, 1e6, "", "1", false,
        "Factor on what the checks of a row earn. Tülu 3 uses 10."),
    TEXT("reward.shaping", shaping, "", false,
         "Checks that every answer meets beside its row's own, as a JSON list, each adding weight "
         "times value; a gate that fails makes the reward 0. "
         "'[{\"id\": \"shape:think_answer\", \"weight\": 0.2}]' rewards a form; shape:words_over "
         "with a negative weight punishes length. `caravan verify --list` has all."),
    ENUM("reward.unscored", unscored, unscored_names, "drop", false,
         "What happens to an answer that no verifier could judge after three tries: dropped "
         "from its group, or counted as zero."),

    ENUM("loss.advantage", advantage, advantage_names, "mean_std", false,
         "How a reward becomes an advantage: minus the mean of its group (mean), and also "
         "divided by the group's standard deviation (mean_std)."),
    ENUM("loss.old", old, old_names, "behaviour", false,
         "The policy that the importance ratio is taken to: the one that sampled the tokens."),
    ENUM("loss.policy", policy, policy_names, "clip", false,
         "What is done with the ratio. clip: a token whose ratio has left the bounds in the "
         "direction of its advantage is left alone, as in PPO. cispo: every token keeps its "
         "gradient, weighted by the ratio up to 1 + clip_high. gspo: clip, with one ratio for each "
         "answer, the geometric mean over its tokens; such ratios are close to 1 (its authors take "
         "3e-4 and 4e-4 as bounds), and they cost a forward pass more."),
    ENUM("loss.aggregate", aggregate, aggregate_names, "token_mean", false,
         "What a token counts. token_mean: all tokens of a step the same (DAPO). seq_mean: all "
         "answers the same, so tokens of long answers less (GRPO). dr_grpo: one part in "
         "rollout.max_tokens of its answer, however long that is (Dr. GRPO)."),
    NUM("loss.clip_low", clip_low, 0, 1, "", "0.2", false,
        "The ratio is clipped below 1 - clip_low."),
    NUM("loss.clip_high", clip_high, 0, 10, "", "0.272", false,
        "The ratio is clipped above 1 + clip_high. A little more room above than below "
        "keeps rare tokens alive."),
    NUM("loss.dual_clip", dual_clip, 0, 1000, "", "0", false,
        "With policy clip or gspo: the loss of a token with a negative advantage is at most this "
        "many times that advantage, so that a ratio far above 1 cannot dominate a step. 3 is "
        "usual, "
        "it must be above 1; 0 is off."),
    NUM("loss.kl_beta", kl_beta, 0, 10, "", "0", false,
        "Weight of the KL divergence to the initial model, which holds the model near its "
        "start. 0 is off and saves the memory of a second model."),
    ENUM("loss.kl_estimator", kl_estimator, kl_names, "k3", false,
         "How that divergence is estimated from one token, with d the log-prob minus the initial "
         "model's: k1 is d, k2 is d^2 / 2, k3 is exp(-d) - 1 + d, k4 is d times the importance "
         "ratio. On fresh tokens the gradient of k4 is that of the divergence itself and k2 has "
         "the same mean; k3 is close while the models are; k1 has mean 0, it only adds noise."),
    INT("loss.replace_max", replace_max, 0, 100, "batches", "3", false,
        "Groups whose answers all earned the same teach nothing and are replaced by new "
        "ones, up to this many batches' worth a step; then the step trains on what there "
        "is."),

    NUM("optim.lr", lr, 0, 1, "", "2e-5", false,
        "Learning rate after warm-up. If the reward falls and stays down, halve it."),
    NUM("optim.beta1", beta1, 0, 0.9999, "", "0.9", false, "Decay of the first moment."),
    NUM("optim.beta2", beta2, 0, 0.99999, "", "0.95", false, "Decay of the second moment."),
    NUM("optim.eps", eps, 1e-15, 1, "", "1e-8", false,
        "Added to the root of the second moment before dividing by it."),
    NUM("optim.weight_decay", weight_decay, 0, 10, "", "0", false,
        "Decoupled weight decay, on matrices only."),
    NUM("optim.grad_clip", grad_clip, 0, 1e6, "", "1", false,
        "Largest global norm of the gradient; a larger one is scaled down. 0 is off."),
    ENUM("optim.schedule", schedule, schedule_names, "constant", false,
         "After warm-up the learning rate stays (constant), or falls until stop.steps: by the same "
         "amount each step (linear), or along half a cosine, slowly at both ends (cosine). A "
         "function of the step alone, also over restarts."),
    NUM("optim.lr_min_ratio", lr_min_ratio, 0, 1, "", "0", false,
        "Where linear and cosine end, as a share of optim.lr. A run that goes on past stop.steps "
        "stays there."),
    INT("optim.warmup_steps", warmup_steps, 0, 1e6, "steps", "3", false,
        "The learning rate rises from 0 to optim.lr over so many steps."),
    INT("optim.micro_batch_tokens", micro_batch_tokens, 1, 1e6, "tokens", "640", false,
        "Tokens in one forward and backward pass. More are a little faster and take more "
        "memory; the result is the same up to rounding."),
    FLAG("optim.recompute", recompute, "false", false,
         "Keep only the inputs of layers and run each layer again before its gradients "
         "(activation checkpointing): the same gradients to the bit, most of the activations' "
         "memory saved, a step about a quarter longer."),

    INT("stop.steps", stop_steps, 0, 1e9, "steps", "0", false,
        "Stop after this many optimiser steps; 0 is no limit."),
    INT("stop.epochs", stop_epochs, 0, 1e6, "epochs", "0", false,
        "Stop after this many passes over the tasks; 0 is no limit."),
    NUM("stop.minutes", stop_minutes, 0, 1e6, "minutes", "0", false,
        "Stop after this time, counted from the first lease; 0 is no limit."),

    INT("eval.every_steps", eval_every, 0, 1e6, "steps", "0", false,
        "Evaluate each time so many steps are done. 0 evaluates only before the first and "
        "after the last step."),
    INT("eval.max_tokens", eval_max_tokens, 0, 131072, "tokens", "0", false,
        "Longest answer in an evaluation; 0 takes rollout.max_tokens."),

    INT("checkpoint.every_steps", checkpoint_steps, 0, 1e6, "steps", "20", false,
        "Write a checkpoint after so many steps; 0 never does because of steps."),
    NUM("checkpoint.every_s", checkpoint_seconds, 0, 86400, "seconds", "60", false,
        "Write a checkpoint at the first step after so much time; 0 never does because of time."),
    INT("checkpoint.keep", keep_checkpoints, 1, 1000, "checkpoints", "2", false,
        "How many of the newest checkpoints stay on disk."),
    INT("checkpoint.keep_versions", keep_versions, 1, 1e6, "versions", "8", false,
        "How many of the newest published weights stay on disk. Those that an unfinished "
        "answer names are always kept. `caravan audit` can check only what is kept."),

    INT("learner.threads", learner_threads, 0, 256, "threads", "0", false,
        "Compute threads; 0 takes one for each core."),
    CHOICE("learner.device", learner_device, device_names, "cpu", false,
           "What computes: cpu takes the best instructions that this machine has. One device of "
           "cpu gives the log-probs of any other; gradients differ in their last bits, so a "
           "resumed run keeps to one."),
    TEXT(
        "learner.listen", listen, "", false,
        "Where actors and verifiers connect: ipc://PATH, or tcp://HOST:PORT (the next port is used "
        "too). \"\" is a socket in the run folder, for processes of this machine."),
    TEXT("learner.token_file", token_file, "", false,
         "File with a secret that every process must know. Required when learner.listen can be "
         "reached from other machines."),
    TEXT("learner.http", http, "127.0.0.1:0", false,
         "HOST:PORT of /status, /metrics and /healthz; port 0 takes any free one. They are "
         "also on http.sock in the run folder. Anyone who can reach it can read it."),
    ENUM("learner.slab", slab, slab_names, "auto", false,
         "How weights reach actors on this machine: auto shares memory with them, where the system "
         "allows it; off sends them over the bus, as to other machines. Actors decode the same "
         "tokens either way."),

    INT("actor.count", actor_count, 0, 64, "processes", "1", false,
        "Actors that `caravan run` starts. 0 starts none: they join from elsewhere."),
    INT("actor.threads", actor_threads, 0, 256, "threads", "0", false,
        "Compute threads of each actor; 0 takes one for each core."),
    CHOICE("actor.device", actor_device, device_names, "cpu", false,
           "What computes in each actor; see learner.device."),
    INT("actor.slots", actor_slots, 1, 4096, "samples", "64", false,
        "Answers that an actor decodes at the same time. More are faster in all, until "
        "actor.kv_mb is full."),
    INT("actor.kv_mb", actor_kv_mb, 1, 1048576, "MiB", "320", false,
        "Memory for the keys and values of everything an actor has in flight."),
    INT("actor.prefill_rows", actor_prefill_rows, 1, 8192, "tokens", "256", false,
        "Prompt tokens in one forward pass. Fewer keep running answers moving while new "
        "prompts are read."),

    INT("verifier.count", verifier_count, 0, 64, "processes", "1", false,
        "Verifiers that `caravan run` starts. 0 starts none: they join from elsewhere."),
    INT("verifier.workers", verifier_workers, 1, 256, "processes", "2", false,
        "Sandboxed worker processes of each verifier; each checks one answer at a time."),
    ENUM("verifier.sandbox", sandbox, sandbox_names, "auto", false,
         "How workers are contained: full (namespaces, no network, system calls filtered), "
         "seccomp (system calls filtered), or the better of the two that this machine allows "
         "(auto). none checks answers of a model unprotected, and says so loudly."),
    INT("verifier.deadline_ms", verifier_deadline_ms, 10, 600000, "ms", "2000", false,
        "Time for one check; then its worker is killed and the answer counts as unscored."),
    INT("verifier.recycle_jobs", verifier_recycle, 1, 1e9, "jobs", "1000", false,
        "A worker is replaced by a fresh one after so many checks."),
    TEXT("verifier.plugins", plugins, "", false,
         "Folder of verifiers of your own: shared objects (NAME.so) and programs that speak JSON "
         "lines. It is watched: what is put there is tried and then used while the run goes on."),
};
const size_t conf_n_rows = ARRAY_LEN(conf_rows);

const char *conf_sandbox_name(enum conf_sandbox s)
{
    return sandbox_names[s];
}

bool conf_sandbox_parse(const char *name, enum conf_sandbox *out)
{
    for (size_t i = 0; sandbox_names[i]; i++) {
        if (strcmp(name, sandbox_names[i]) == 0) {
            *out = (enum conf_sandbox)i;
            return true;
        }
    }
    return false;
}

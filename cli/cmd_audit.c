// cmd_audit.c: the two checks of a run that can fail: the ledger against itself, and the recorded
// log-probs against a computation of today.
//
// In: a run folder, whether its run is over or goes on (the ledger is opened for reading). Out: one
// line for each violation and a summary; exit status 1 when anything differs.
//
// The books are the relations that ledger_audit compares. The log-probs are those of received
// samples, oldest first, recomputed under the versions that the samples name (recompute.h);
// --books-only leaves them out. Nothing is repaired.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/recompute.h"
#include "cli/settings.h"
#include "common/fs.h"

struct options {
    int64_t limit, threads, kv_mb;
    bool books_only;
};

static const struct arg args[] = {
    {"limit", ARG_INT, offsetof(struct options, limit), 1, 9e15, "N",
     "recompute only the N oldest samples"},
    {"books-only", ARG_FLAG, offsetof(struct options, books_only), 0, 0, NULL,
     "check the ledger, recompute nothing"},
    {"threads", ARG_INT, offsetof(struct options, threads), 0, 256, "N",
     "compute threads, 0 = all cores"},
    {"kv-mb", ARG_INT, offsetof(struct options, kv_mb), 1, 1 << 20, "N",
     "MiB for keys and values (default 512)"},
    {0},
};

static void on_violation(void *arg, const char *relation, const char *text)
{
    (void)arg;
    printf("VIOLATION %s: %s\n", relation, text);
}

static void on_note(void *arg, const char *text)
{
    (void)arg;
    printf("%s\n", text);
}

static enum err audit_books(struct ledger *l, bool *clean, struct why *why)
{
    uint64_t violations = 0;
    struct ledger_counts c;
    enum err e = ledger_audit(l, on_violation, NULL, &violations, why);
    e = e ? e : ledger_get_counts(l, &c, why);
    if (e) {
        return e;
    }
    uint64_t live =
        c.by_state[LEDGER_GENERATING] + c.by_state[LEDGER_RECEIVED] + c.by_state[LEDGER_SCORED];
    printf("ledger     %" PRIu64 " violations; %" PRIu64 " samples issued = %" PRIu64
           " consumed + %" PRIu64 " dropped + %" PRIu64 " live\n",
           violations, c.issued, c.by_state[LEDGER_CONSUMED], c.by_state[LEDGER_DROPPED], live);
    *clean = violations == 0;
    return ERR_OK;
}

static enum err audit_logprobs(const char *run, struct ledger *l, const struct options *o,
                               bool *clean, struct why *why)
{
    struct conf c;
    struct arg_list none = {0};
    struct recompute_report r = {0};
    struct recompute_options ro = {.limit = (uint64_t)o->limit,
                                   .threads = (int)o->threads,
                                   .kv_bytes = (size_t)o->kv_mb << 20};
    enum err e = settings_from_run(run, &none, &c, why);
    e = e ? e : recompute_run(run, &c, l, &ro, on_note, NULL, &r, why);
    if (e) {
        return e;
    }
    printf("log-probs  %" PRIu64 " of %" PRIu64 " tokens differ; %" PRIu64 " samples, %" PRIu64
           " of them across a swap of weights; %" PRIu64 " skipped, %" PRIu64 " versions loaded\n",
           r.mismatched, r.tokens, r.samples, r.straddling, r.skipped, r.versions_loaded);
    *clean = *clean && r.mismatched == 0 && r.malformed == 0 && r.wrong_versions == 0;
    return ERR_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.kv_mb = 512};
    struct words words;
    struct why why;
    struct ledger *l = NULL;
    bool clean = false;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    const char *dir = words.v[0];
    char *db = fs_path("%s/ledger.db", dir);
    enum err e = db ? settings_check_run(dir, &why) : why_set(&why, ERR_NOMEM, "out of memory");
    e = e ? e : ledger_open_read(db, &l, &why);
    free(db);
    e = e ? e : audit_books(l, &clean, &why);
    if (!e && !o.books_only) {
        e = audit_logprobs(dir, l, &o, &clean, &why);
    }
    ledger_close(l);
    return e ? cli_fail(self, &why) : clean ? CLI_OK : CLI_FAILED;
}

const struct command cmd_audit = {
    .name = "audit",
    .synopsis = "RUN [--limit N] [--books-only]",
    .help = "check the ledger and recompute log-probs bit for bit",
    .more =
        "Exit status 1 when anything differs. Samples of versions that are not on disk any more "
        "are skipped and counted\n(checkpoint.keep_versions says how many are kept).",
    .args = args,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};

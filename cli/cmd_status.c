// cmd_status.c: how a run stands: from its learner while it lives, else from its ledger.
//
// In: a run folder, HOST:PORT, or nothing: then the newest run under runs/, judged by its status
// socket. Out: the formatted view of statusview.h, or the JSON as the learner gave it. When nobody
// answers and the folder holds a run, the summary of its ledger is printed instead.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/settings.h"
#include "cli/statusview.h"
#include "cli/summary.h"
#include "common/fs.h"

struct options {
    bool json;
};

static const struct arg args[] = {
    {"json", ARG_FLAG, offsetof(struct options, json), 0, 0, NULL,
     "the JSON as the learner sends it"},
    {0},
};

// The run folder under runs/ whose status socket is the newest (free()); NULL when there is none.
static char *newest_run(void)
{
    char *best = NULL;
    struct timespec newest = {0};
    DIR *d = opendir("runs");
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct stat st;
        char *sock = entry->d_name[0] == '.' ? NULL : fs_path("runs/%s/http.sock", entry->d_name);
        if (sock && stat(sock, &st) == 0 && S_ISSOCK(st.st_mode) &&
            (!best || st.st_mtim.tv_sec > newest.tv_sec)) {
            free(best);
            best = fs_path("runs/%s", entry->d_name);
            newest = st.st_mtim;
        }
        free(sock);
    }
    if (d) {
        closedir(d);
    }
    return best;
}

static int print_live(const struct command *self, json_t *status, bool json)
{
    struct buf text;
    struct why why;
    buf_init(&text, 0);
    enum err e = ERR_OK;
    if (json) {
        char *dump = json_dumps(status, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        e = dump ? buf_printf(&text, "%s\n", dump) : ERR_NOMEM;
        free(dump);
    } else {
        e = status_print(&text, status, true);
    }
    if (!e) {
        fwrite(text.data, 1, text.len, stdout);
    } else {
        (void)why_set(&why, e, "%s", err_text(e));
    }
    buf_fini(&text);
    return e ? cli_fail(self, &why) : CLI_OK;
}

static int print_from_ledger(const struct command *self, const char *dir)
{
    struct buf text;
    struct why why;
    buf_init(&text, 0);
    enum err e = summary_print(dir, &text, &why);
    if (!e) {
        printf("no learner runs in %s; its ledger says:\n\n", dir);
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_fini(&text);
    return e ? cli_fail(self, &why) : CLI_OK;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    struct words words;
    struct why why, none = {{0}};
    json_t *status;
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    char *where = words.n ? strdup(words.v[0]) : newest_run();
    if (!where) {
        return cli_complain(self, "no run under runs/; name a run folder or HOST:PORT");
    }
    if (status_fetch(where, 5000, &status, &why) == ERR_OK) {
        rc = print_live(self, status, o.json);
        json_decref(status);
    } else if (settings_check_run(where, &none) == ERR_OK && !o.json) {
        rc = print_from_ledger(self, where);
    } else {
        // A word with a colon is an address; anything else is meant as a folder.
        rc = cli_fail(self, !strchr(where, ':') && none.text[0] ? &none : &why);
    }
    free(where);
    return rc;
}

const struct command cmd_status = {
    .name = "status",
    .synopsis = "[RUN | HOST:PORT] [--json]",
    .help = "how a run stands",
    .more = "Without a word: the newest run under runs/. Of a run that does not run, the ledger's "
            "summary.",
    .args = args,
    .max_words = 1,
    .run = run,
};

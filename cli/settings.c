// settings.c: file, overrides and the stored configuration of a run put together.
//
// The order decides: defaults, the file, --set in the order given, then the rules between keys.
// Nothing of the caller's is written before all of it has passed.
#include "cli/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "learner/run.h"

static enum err apply(const struct arg_list *set, struct conf *c, struct why *why)
{
    for (size_t i = 0; i < set->n; i++) {
        const char *equals = strchr(set->v[i], '=');
        char key[128], where[192];
        if (!equals || equals == set->v[i] || (size_t)(equals - set->v[i]) >= sizeof key) {
            return why_set(why, ERR_INVALID, "--set %s: expected KEY=VALUE", set->v[i]);
        }
        snprintf(key, sizeof key, "%.*s", (int)(equals - set->v[i]), set->v[i]);
        snprintf(where, sizeof where, "--set %s", key);
        enum err e = conf_set(c, key, equals + 1, where, why);
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

// "deploy/quickstart.yaml" gives "runs/quickstart".
static enum err default_run_dir(const char *file, struct conf *c, struct why *why)
{
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    const char *dot = strrchr(name, '.');
    size_t len = dot && dot != name ? (size_t)(dot - name) : strlen(name);
    int n = snprintf(c->run_dir, sizeof c->run_dir, "runs/%.*s", (int)len, name);
    return n < 0 || (size_t)n >= sizeof c->run_dir
               ? why_set(why, ERR_LIMIT, "%s: the name is too long for a run folder", file)
               : ERR_OK;
}

enum err settings_from_file(const char *file, const struct arg_list *set, struct conf *c,
                            struct why *why)
{
    struct conf read;
    conf_defaults(&read);
    enum err e = conf_load(file, &read, why);
    e = e ? e : apply(set, &read, why);
    if (!e && !read.run_dir[0]) {
        e = default_run_dir(file, &read, why);
    }
    e = e ? e : conf_check(&read, file, why);
    if (!e) {
        *c = read;
    }
    return e;
}

enum err settings_check_run(const char *dir, struct why *why)
{
    char *db = fs_path("%s/ledger.db", dir);
    bool there = db && fs_exists(db);
    free(db);
    if (there) {
        return ERR_OK;
    }
    return fs_exists(dir)
               ? why_set(why, ERR_NOT_FOUND, "%s: not a run folder (it has no ledger.db)", dir)
               : why_set(why, ERR_NOT_FOUND, "%s: there is no such folder", dir);
}

enum err settings_from_run(const char *dir, const struct arg_list *set, struct conf *c,
                           struct why *why)
{
    struct conf read;
    if (strlen(dir) >= sizeof read.run_dir) {
        return why_set(why, ERR_LIMIT, "%.64s…: longer than %zu bytes", dir,
                       sizeof read.run_dir - 1);
    }
    enum err e = settings_check_run(dir, why);
    e = e ? e : run_stored_conf(dir, &read, why);
    e = e ? e : apply(set, &read, why);
    if (e) {
        return e;
    }
    snprintf(read.run_dir, sizeof read.run_dir, "%s", dir);
    e = conf_check(&read, dir, why);
    if (!e) {
        *c = read;
    }
    return e;
}

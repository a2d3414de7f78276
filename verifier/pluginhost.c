// pluginhost.c: one face for both kinds of plug-in.
#include "verifier/pluginhost.h"

#include <string.h>
#include <unistd.h>

#include "verifier/pluginobject.h"
#include "verifier/pluginprogram.h"

struct pluginhost {
    bool is_program;
    enum sandbox_level level;
    struct jobframe_check checks[JOBFRAME_MAX_CHECKS];
    size_t n_checks;
};

static bool load(void *arg, struct why *why)
{
    struct pluginhost *p = arg;
    const char *path = p->level == SANDBOX_FULL ? SANDBOX_PLUGIN_PATH : SANDBOX_PLUGIN_DESCRIPTOR;
    if (p->is_program) {
        return pluginprogram_start(path, p->checks, &p->n_checks, why) == ERR_OK;
    }
    bool loaded = pluginobject_load(path, p->checks, &p->n_checks, why) == ERR_OK;
    close(3);
    return loaded;
}

enum err pluginhost_enter(const char *kind, struct sandbox *s, struct pluginhost **out,
                          struct why *why)
{
    static struct pluginhost host;
    bool program = strcmp(kind, "program") == 0;
    if (!program && strcmp(kind, "object") != 0) {
        return why_set(why, ERR_INVALID, "--host: '%s' is neither object nor program", kind);
    }
    host.is_program = program;
    host.level = s->level;
    s->role = program ? SANDBOX_PROGRAM : SANDBOX_OBJECT;
    s->load = load;
    s->load_arg = &host;
    enum err e = sandbox_enter(s, why);
    *out = e ? NULL : &host;
    return e;
}

const struct jobframe_check *pluginhost_checks(const struct pluginhost *p, size_t *n)
{
    *n = p->n_checks;
    return p->checks;
}

enum err pluginhost_run(struct pluginhost *p, struct score_text check,
                        const struct score_plugin_input *in, struct score_result *out,
                        struct why *why)
{
    if (p->is_program) {
        return pluginprogram_run(check, in, out, why);
    }
    for (size_t i = 0; i < p->n_checks; i++) {
        if (strlen(p->checks[i].id) == check.len &&
            memcmp(p->checks[i].id, check.data, check.len) == 0) {
            pluginobject_run(i, in, out);
            return ERR_OK;
        }
    }
    *out = (struct score_result){0};
    score_unscored(out, "the plug-in has no such check");
    return ERR_OK;
}

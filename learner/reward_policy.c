// reward_policy.c: keys that have their default are left out, so that an ordinary run's jobs carry
// nothing.
#include "learner/reward_policy.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "proto/limits.h"

static enum err read_shaping(const struct conf *c, json_t **out, struct why *why)
{
    if (c->shaping[0] == '\0') {
        return ERR_OK;
    }
    json_t *list = NULL;
    enum err e = json_parse(c->shaping, strlen(c->shaping), "reward.shaping", &list, why);
    if (e != ERR_OK) {
        return e;
    }
    if (!json_is_array(list)) {
        json_decref(list);
        return why_set(why, ERR_INVALID, "reward.shaping: expected a JSON list of checks");
    }
    *out = list;
    return ERR_OK;
}

static enum err list_needs(const json_t *list, struct buf *needs, struct why *why)
{
    size_t i;
    const json_t *check;
    enum err e = ERR_OK;
    json_array_foreach(list, i, check)
    {
        const char *id = json_string_value(json_object_get(check, "id"));
        if (id == NULL || id[0] == '\0' || strlen(id) > LIMIT_NAME_BYTES || strchr(id, '\n')) {
            return why_set(why, ERR_INVALID,
                           "reward.shaping: check %zu: id: expected the name of a check", i + 1);
        }
        e = e != ERR_OK ? e : buf_printf(needs, "%s%s", needs->len > 0 ? "\n" : "", id);
    }
    return e;
}

// "" for an object without members; takes the reference.
static char *print(json_t *policy)
{
    char *text = policy == NULL                  ? NULL
                 : json_object_size(policy) == 0 ? strdup("")
                                                 : json_dumps(policy, JSON_COMPACT);
    json_decref(policy);
    return text;
}

static json_t *combine_of(const struct conf *c)
{
    static const char *const names[] = {
        [CONF_COMBINE_ALL] = "all", [CONF_COMBINE_MEAN] = "mean", [CONF_COMBINE_SUM] = "sum"};
    return c->combine == CONF_COMBINE_AUTO ? json_object()
                                           : json_pack("{s:s}", "combine", names[c->combine]);
}

static json_t *train_of(const struct conf *c, json_t *shaping)
{
    json_t *o = combine_of(c);
    int rc = o == NULL ? -1 : 0;
    if (c->reward_scale != 1.0) {
        rc |= json_object_set_new(o, "scale", json_real(c->reward_scale));
    }
    if (c->truncated == CONF_TRUNC_FIXED) {
        rc |= json_object_set_new(o, "unstopped", json_real(c->truncated_reward));
    }
    if (json_array_size(shaping) > 0) {
        rc |= json_object_set(o, "shaping", shaping);
    }
    if (rc != 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

enum err reward_policy_init(const struct conf *c, struct reward_policy *out, struct why *why)
{
    json_t *shaping = NULL;
    struct buf needs;
    buf_init(&needs, LIMIT_CONFIG_BYTES);
    enum err e = read_shaping(c, &shaping, why);
    e = e != ERR_OK ? e : list_needs(shaping, &needs, why);
    if (e == ERR_OK) {
        struct reward_policy p = {
            .train = print(train_of(c, shaping)),
            .eval = print(combine_of(c)),
            .needs = needs.len > 0 ? buf_take(&needs) : strdup(""),
        };
        if (p.train != NULL && p.eval != NULL && p.needs != NULL) {
            *out = p;
        } else {
            reward_policy_fini(&p);
            e = ERR_NOMEM;
        }
    }
    buf_fini(&needs);
    json_decref(shaping);
    return e;
}

void reward_policy_fini(struct reward_policy *p)
{
    free(p->train);
    free(p->eval);
    free(p->needs);
    *p = (struct reward_policy){0};
}

// conf.c: from a YAML file, or one override, to struct conf.
//
// libyaml's document API gives a tree with a mark on every node, which is where the line of a
// message comes from. The tree is walked against the option table (conf_rows.c): a map under a
// section name opens the section, a scalar under a key is read by the key's row, anything else is
// an error that names the place. Nesting stops at two levels by construction, so neither a deep
// document nor an alias that contains itself can lead anywhere.
//
// A configuration is built aside and handed over only if every line of the file was good.

#include "common/conf.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/conf_table.h"
#include "common/fs.h"
#include "common/json.h"

#define FILE_MAX_BYTES ((size_t)256 << 10)
#define KEY_MAX_BYTES 96
#define SHOWN_BYTES 80    // of a wrong value, in a message
// Sockets live in it, and the path of a socket has at most 107 bytes.
#define RUN_DIR_MAX_BYTES 90

void conf_defaults(struct conf *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < conf_n_rows; i++) {
        CHECK(conf_row_read(&conf_rows[i], conf_rows[i].text, false, c));
    }
}

// ---- one value

static enum err wrong_value(const struct conf_row *row, const char *text, const char *where,
                            struct why *why)
{
    char expected[CONF_EXPECTED_BYTES];
    conf_row_expected(row, expected);
    return why_set(why, ERR_INVALID, "%s: %s: value '%.*s%s', expected %s", where, row->key,
                   SHOWN_BYTES, text, strlen(text) > SHOWN_BYTES ? "..." : "", expected);
}

static enum err unknown_key(const char *key, const char *where, struct why *why)
{
    const char *near = conf_row_nearest(key);
    if (near != NULL) {
        return why_set(why, ERR_NOT_FOUND, "%s: unknown key '%s', did you mean '%s'?", where, key,
                       near);
    }
    return why_set(why, ERR_NOT_FOUND, "%s: unknown key '%.*s' (caravan config --print lists all)",
                   where, KEY_MAX_BYTES, key);
}

enum err conf_set(struct conf *c, const char *key, const char *value, const char *where,
                  struct why *why)
{
    const struct conf_row *row = conf_row_find(key);
    if (row == NULL) {
        return unknown_key(key, where, why);
    }
    return conf_row_read(row, value, false, c) ? ERR_OK : wrong_value(row, value, where, why);
}

// ---- YAML

struct reading {
    const char *name;    // of the file, for messages
    yaml_document_t *doc;
    struct conf *c;
    struct why *why;
};

#define WHERE_BYTES 600

static const char *where_is(const struct reading *r, const yaml_node_t *node, char out[WHERE_BYTES])
{
    (void)snprintf(out, WHERE_BYTES, "%.500s:%zu", r->name, node->start_mark.line + 1);
    return out;
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a map"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a value";
}

// A scalar's text is NUL-terminated, but may contain a NUL ("\0" in quotes).
static bool has_nul(const yaml_node_t *scalar)
{
    const char *text = (const char *)scalar->data.scalar.value;
    return strlen(text) != scalar->data.scalar.length;
}

static bool is_plain(const yaml_node_t *scalar)
{
    return scalar->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

// "key:" with nothing behind it, or one of YAML's words for nothing.
static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || !is_plain(node)) {
        return false;
    }
    const char *text = (const char *)node->data.scalar.value;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static bool has_own_tag(const yaml_node_t *node)
{
    const char *usual = node->type == YAML_MAPPING_NODE    ? YAML_MAP_TAG
                        : node->type == YAML_SEQUENCE_NODE ? YAML_SEQ_TAG
                                                           : YAML_STR_TAG;
    return node->tag != NULL && strcmp((const char *)node->tag, usual) != 0;
}

static enum err read_value(struct reading *r, const struct conf_row *row, const yaml_node_t *node)
{
    char where[WHERE_BYTES], expected[CONF_EXPECTED_BYTES];
    where_is(r, node, where);
    conf_row_expected(row, expected);
    if (node->type != YAML_SCALAR_NODE) {
        return why_set(r->why, ERR_INVALID, "%s: %s: %s, expected %s", where, row->key,
                       kind_of(node), expected);
    }
    if (has_own_tag(node)) {
        return why_set(r->why, ERR_INVALID, "%s: %s: tag '%.*s', expected %s without a tag", where,
                       row->key, SHOWN_BYTES, (const char *)node->tag, expected);
    }
    if (is_null(node)) {
        return why_set(r->why, ERR_INVALID, "%s: %s: no value, expected %s%s", where, row->key,
                       expected, row->type == CONF_TYPE_TEXT ? "; \"\" is an empty one" : "");
    }
    if (has_nul(node)) {
        return why_set(r->why, ERR_INVALID, "%s: %s: a value with a NUL byte, expected %s", where,
                       row->key, expected);
    }
    const char *text = (const char *)node->data.scalar.value;
    if (conf_row_read(row, text, !is_plain(node), r->c)) {
        return ERR_OK;
    }
    if (!is_plain(node) && conf_row_read(row, text, false, r->c)) {
        return why_set(r->why, ERR_INVALID,
                       "%s: %s: value \"%.*s\" is text, expected %s: no quotes", where, row->key,
                       SHOWN_BYTES, text, expected);
    }
    return wrong_value(row, text, where, r->why);
}

// Writes "section.key" and refuses keys that are no plain short scalar, or stand twice in their
// map.
static enum err read_key(struct reading *r, const char *section, const yaml_node_t *map,
                         const yaml_node_pair_t *pair, char key[KEY_MAX_BYTES + 1])
{
    char where[WHERE_BYTES];
    const yaml_node_t *node = yaml_document_get_node(r->doc, pair->key);
    where_is(r, node, where);
    if (node->type != YAML_SCALAR_NODE) {
        return why_set(r->why, ERR_INVALID, "%s: %s as a key, expected a name", where,
                       kind_of(node));
    }
    const char *text = (const char *)node->data.scalar.value;
    int n =
        snprintf(key, KEY_MAX_BYTES + 1, "%s%s%s", section, section[0] != '\0' ? "." : "", text);
    if (n < 0 || n > KEY_MAX_BYTES || has_nul(node)) {
        return why_set(r->why, ERR_INVALID, "%s: unknown key '%.*s...'", where, SHOWN_BYTES, text);
    }
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *other = yaml_document_get_node(r->doc, p->key);
        if (strcmp((const char *)other->data.scalar.value, text) == 0) {
            return why_set(r->why, ERR_EXISTS, "%s: %s: stands twice, first in line %zu", where,
                           key, other->start_mark.line + 1);
        }
    }
    return ERR_OK;
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < conf_n_sections; i++) {
        if (name[0] != '\0' && strcmp(conf_sections[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

// Reads the map of one section, or with section "" the whole document.
static enum err read_map(struct reading *r, const char *section, const yaml_node_t *map)
{
    enum err e = ERR_OK;
    const yaml_node_pair_t *end = map->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; e == ERR_OK && p < end; p++) {
        char key[KEY_MAX_BYTES + 1], where[WHERE_BYTES];
        e = read_key(r, section, map, p, key);
        if (e != ERR_OK) {
            return e;
        }
        const yaml_node_t *value = yaml_document_get_node(r->doc, p->value);
        const struct conf_row *row =
            strchr(key, '.') != NULL && section[0] == '\0'
                ? NULL    // "rollout.group_size: 8" would be a second way to say it
                : conf_row_find(key);
        if (row != NULL) {
            e = read_value(r, row, value);
        } else if (section[0] == '\0' && is_section(key)) {
            if (value->type == YAML_MAPPING_NODE && !has_own_tag(value)) {
                e = read_map(r, key, value);
            } else if (!is_null(value)) {    // a section whose lines are all commented out is fine
                e = why_set(r->why, ERR_INVALID, "%s: %s: %s, expected the keys of the section",
                            where_is(r, value, where), key, kind_of(value));
            }
        } else {
            e = unknown_key(key, where_is(r, yaml_document_get_node(r->doc, p->key), where),
                            r->why);
        }
    }
    return e;
}

static enum err yaml_failed(const yaml_parser_t *parser, const char *name, struct why *why)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return why_set(why, ERR_NOMEM, "%.500s: out of memory", name);
    }
    const char *problem = parser->problem != NULL ? parser->problem : "unreadable";
    if (parser->error == YAML_READER_ERROR) {
        return why_set(why, ERR_INVALID, "%.500s: not valid YAML: %s at byte %zu", name, problem,
                       parser->problem_offset);
    }
    return why_set(why, ERR_INVALID, "%.500s:%zu: not valid YAML: %s%s%s", name,
                   parser->problem_mark.line + 1, problem, parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
}

static enum err read_document(yaml_document_t *doc, const char *name, struct conf *c,
                              struct why *why)
{
    struct reading r = {.name = name, .doc = doc, .c = c, .why = why};
    const yaml_node_t *root = yaml_document_get_root_node(doc);
    if (root == NULL || is_null(root)) {
        return ERR_OK;    // nothing but comments: all defaults
    }
    if (root->type != YAML_MAPPING_NODE) {
        char where[WHERE_BYTES];
        return why_set(why, ERR_INVALID, "%s: %s, expected keys and values ('seed: 1')",
                       where_is(&r, root, where), kind_of(root));
    }
    return read_map(&r, "", root);
}

// Nothing may follow the first document: whoever wrote it would expect it to count.
static enum err expect_end(yaml_parser_t *parser, const char *name, struct why *why)
{
    yaml_document_t doc;
    if (yaml_parser_load(parser, &doc) == 0) {
        return yaml_failed(parser, name, why);
    }
    enum err e = ERR_OK;
    if (yaml_document_get_root_node(&doc) != NULL) {
        e = why_set(why, ERR_INVALID, "%.500s:%zu: a second YAML document, expected one", name,
                    doc.start_mark.line + 1);
    }
    yaml_document_delete(&doc);
    return e;
}

enum err conf_parse(const char *text, size_t len, const char *name, struct conf *c, struct why *why)
{
    if (len > FILE_MAX_BYTES) {
        return why_set(why, ERR_LIMIT, "%.500s: %zu bytes, at most %zu", name, len, FILE_MAX_BYTES);
    }
    struct conf fresh;
    conf_defaults(&fresh);
    yaml_parser_t parser;
    yaml_document_t doc;
    if (yaml_parser_initialize(&parser) == 0) {
        return why_set(why, ERR_NOMEM, "%.500s: out of memory", name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    enum err e = ERR_OK;
    if (yaml_parser_load(&parser, &doc) == 0) {
        e = yaml_failed(&parser, name, why);
    } else {
        bool more = yaml_document_get_root_node(&doc) != NULL;
        e = read_document(&doc, name, &fresh, why);
        yaml_document_delete(&doc);
        if (e == ERR_OK && more) {
            e = expect_end(&parser, name, why);
        }
    }
    yaml_parser_delete(&parser);
    if (e == ERR_OK) {
        e = conf_rules(&fresh, name, why);
    }
    if (e == ERR_OK) {
        *c = fresh;
    }
    return e;
}

enum err conf_load(const char *path, struct conf *c, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    enum err e = fs_read_file(path, FILE_MAX_BYTES, &text, &len, why);
    if (e != ERR_OK) {
        return e;
    }
    e = conf_parse(text, len, path, c, why);
    free(text);
    return e;
}

// ---- rules between keys

// Splits HOST:PORT; the host may be [IPv6].
static bool split_address(const char *text, char *host, size_t cap, long *port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= cap) {
        return false;
    }
    size_t len = (size_t)(colon - text);
    memcpy(host, text, len);
    host[len] = '\0';
    if (host[0] == '[') {
        if (len < 3 || host[len - 1] != ']') {
            return false;
        }
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
    } else if (strpbrk(host, ":[]/ ") != NULL) {
        return false;
    }
    size_t digits = strlen(colon + 1);
    if (digits < 1 || digits > 5 || strspn(colon + 1, "0123456789") != digits) {
        return false;
    }
    *port = strtol(colon + 1, NULL, 10);
    return true;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(host, "localhost") == 0;
}

static enum err check_listen(const struct conf *c, const char *name, struct why *why)
{
    if (c->listen[0] == '\0' || (strncmp(c->listen, "ipc://", 6) == 0 && c->listen[6] != '\0')) {
        return ERR_OK;
    }
    char host[CONF_STR];
    long port = 0;
    if (strncmp(c->listen, "tcp://", 6) != 0 ||
        !split_address(c->listen + 6, host, sizeof host, &port) || port < 1 || port > 65534) {
        return why_set(why, ERR_INVALID,
                       "%.400s: learner.listen: value '%.200s', expected ipc://PATH or "
                       "tcp://HOST:PORT with a port in 1..65534",
                       name, c->listen);
    }
    if (!is_loopback(host) && c->token_file[0] == '\0') {
        return why_set(why, ERR_INVALID,
                       "%.400s: learner.token_file: not set, expected a file with a secret, since "
                       "learner.listen '%.200s' can be reached from other machines",
                       name, c->listen);
    }
    return ERR_OK;
}

enum err conf_rules(const struct conf *c, const char *name, struct why *why)
{
    char host[CONF_STR];
    long port = 0;
    enum err e = check_listen(c, name, why);
    if (e != ERR_OK) {
        return e;
    }
    if (!split_address(c->http, host, sizeof host, &port) || port > 65535) {
        return why_set(why, ERR_INVALID,
                       "%.400s: learner.http: value '%.200s', expected HOST:PORT with a port in "
                       "0..65535",
                       name, c->http);
    }
    if (strlen(c->run_dir) > RUN_DIR_MAX_BYTES) {
        return why_set(why, ERR_LIMIT,
                       "%.400s: run_dir: %zu bytes, at most %d, because sockets live in it and "
                       "their paths are short",
                       name, strlen(c->run_dir), RUN_DIR_MAX_BYTES);
    }
    if (c->actor_count > 0 &&
        (strcmp(c->learner_device, "cuda") == 0) != (strcmp(c->actor_device, "cuda") == 0)) {
        return why_set(why, ERR_INVALID,
                       "%.400s: actor.device: value '%s', expected cuda if and only if "
                       "'learner.device' is, and that is '%s'",
                       name, c->actor_device, c->learner_device);
    }
    if (c->dual_clip > 0 && (c->dual_clip <= 1 || c->policy == CONF_POLICY_CISPO)) {
        return why_set(
            why, ERR_INVALID,
            "%.400s: loss.dual_clip: %g, expected 0, or more than 1 with a 'loss.policy' "
            "that clips",
            name, c->dual_clip);
    }
    if (c->schedule != CONF_LR_CONSTANT && c->stop_steps == 0) {
        return why_set(why, ERR_INVALID,
                       "%.400s: stop.steps: 0, expected the step at which the learning rate of "
                       "'optim.schedule: %s' has fallen",
                       name, c->schedule == CONF_LR_LINEAR ? "linear" : "cosine");
    }
    if (c->shaping[0] != '\0') {
        json_t *list = NULL;
        struct why reason = {{0}};
        e = json_parse(c->shaping, strlen(c->shaping), "reward.shaping", &list, &reason);
        bool fits = e == ERR_OK && json_is_array(list);
        json_decref(list);
        if (!fits) {
            return why_set(why, ERR_INVALID, "%.400s: %.300s", name,
                           e != ERR_OK ? reason.text
                                       : "reward.shaping: expected a JSON list of checks");
        }
    }
    if (c->eval_every > 0 && c->eval_n == 0) {
        return why_set(why, ERR_INVALID,
                       "%.400s: data.eval_n: 0, expected held-out tasks for the evaluation every "
                       "%lld steps",
                       name, (long long)c->eval_every);
    }
    return ERR_OK;
}

enum err conf_check(const struct conf *c, const char *name, struct why *why)
{
    if (c->model[0] == '\0') {
        return why_set(why, ERR_INVALID,
                       "%.400s: model.path: not set, expected a GGUF file or a Hugging Face folder",
                       name);
    }
    return conf_rules(c, name, why);
}

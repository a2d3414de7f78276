// cmd_tokenize.c: text or messages to token ids.
//
// In: lines {"text"} or {"messages"} on stdin; out: lines {"ids"} in the same order (jsonl.h).
// Messages pass through the chat template of the model. Only the tokenizer is used, no weights.
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/jsonl.h"
#include "cli/localmodel.h"

struct options {
    const char *model, *chat_template;
};

static const struct arg args[] = {
    {"model", ARG_TEXT, offsetof(struct options, model), 0, 0, "M", "GGUF file or HF folder"},
    {"chat-template", ARG_TEXT, offsetof(struct options, chat_template), 0, 0, "T",
     "format of messages: tulu, llama3 … or a Jinja file, instead of the model's own"},
    {0},
};

static enum err encode(const struct localmodel *m, const json_t *in, const char *where,
                       struct token_ids *ids, struct why *why)
{
    const json_t *text = json_object_get(in, "text");
    bool special = true, prompt = false, alone = false;
    enum err e = json_opt_bool(in, "parse_special", where, &special, why);
    e = e ? e : json_opt_bool(in, "add_generation_prompt", where, &prompt, why);
    e = e ? e : json_opt_bool(in, "add_special", where, &alone, why);
    if (e) {
        return e;
    }
    if (!text) {
        return json_object_get(in, "messages")
                   ? localmodel_prompt(m, in, where, prompt, ids, why)
                   : why_set(why, ERR_INVALID, "%s: expected text or messages", where);
    }
    if (!json_is_string(text)) {
        return why_set(why, ERR_INVALID, "%s: text: expected a string", where);
    }
    e = (alone ? tokenizer_encode_alone : tokenizer_encode)(
        m->tokenizer, json_string_value(text), json_string_length(text), special, ids, why);
    return e ? why_prefix(why, e, "%s", where) : ERR_OK;
}

static json_t *answer(void *arg, const json_t *in, const char *where, struct why *why)
{
    struct token_ids ids = {0};
    json_t *out = NULL;
    if (encode(arg, in, where, &ids, why) == ERR_OK) {
        out = json_pack("{s:o}", "ids", jsonl_ids(ids.ids, ids.n));
        if (!out) {
            (void)why_set(why, ERR_NOMEM, "%s: out of memory", where);
        }
    }
    token_ids_fini(&ids);
    return out;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    struct words words;
    struct why why;
    struct localmodel m = {0};
    int rc = args_parse(self, argc, argv, &o, &words);
    if (rc >= 0) {
        return rc;
    }
    if (!o.model) {
        return cli_complain(self, "--model is missing");
    }
    if (localmodel_open(o.model, &m, &why) || localmodel_template(&m, o.chat_template, &why)) {
        localmodel_close(&m);
        return cli_fail(self, &why);
    }
    rc = jsonl_run(answer, &m);
    localmodel_close(&m);
    return rc;
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .synopsis = "--model M < LINES",
    .help = "text or messages to token ids",
    .more =
        "in:   {\"text\": \"…\"}, where special-token texts become those tokens unless "
        "\"parse_special\" is false;\n"
        "      \"add_special\": true puts the model's own BOS and EOS around it,\n"
        "      or {\"messages\": [{\"role\", \"content\"}…], \"add_generation_prompt\": false}\n"
        "out:  {\"ids\": [1, 2, …]}",
    .args = args,
    .run = run,
};

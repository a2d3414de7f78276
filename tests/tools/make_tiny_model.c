// make_tiny_model.c: writes a Hugging Face folder with a model that is tiny but behaves: its
// answers are lower-case letters, blanks and commas, and end by themselves now and then.
//
//   usage: make_tiny_model DIR [SEED [END]]
//
// Llama, 2 layers, hidden 32, 4 heads over 2 key heads, 259 tokens: three special ones and the 256
// bytes, no merges. The output head is not tied. Random weights alone would answer with random
// bytes; here every embedding has the same large first element, so that the first element of the
// last hidden state is nearly constant, and the head's first column is a bias for each token:
//   letters, blank 1.0    comma 1.2    end of answer END (1.0)    anything else -1.0
// About half of the answers of 8 tokens then hold a comma: "no commas" is a task with a signal.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/fs.h"
#include "common/rng.h"
#include "model/config.h"
#include "model/source.h"

enum { SPECIALS = 3, VOCAB = SPECIALS + 256, HIDDEN = 32 };

static const char *const special[SPECIALS] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

static const char chat_template[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

// ---- weights ----

static float bias(size_t token, float end)
{
    size_t byte = token - SPECIALS;
    if (token == 2) {
        return end;
    }
    if ((byte >= 'a' && byte <= 'z') || byte == ' ') {
        return 1.0f;
    }
    return byte == ',' ? 1.2f : -1.0f;
}

static float value(const struct param *p, size_t i, float end, struct rng *r)
{
    float u = (float)(2 * rng_f64(r) - 1);
    size_t row = i / p->cols, col = i % p->cols;
    switch (p->kind) {
    case PARAM_ATTN_NORM:
    case PARAM_FFN_NORM:
    case PARAM_FINAL_NORM:
        return 1;
    case PARAM_EMBED:
        return col == 0 ? 3.0f : 0.5f * u;
    case PARAM_HEAD:
        return col == 0 ? bias(row, end) : 0.15f * u;
    default:
        return 0.2f * u;
    }
}

static uint16_t *make_weights(const struct param_table *t, uint64_t seed, float end)
{
    struct rng r = rng_make(seed, 0x74696e79);
    uint16_t *flat = calloc(t->total, sizeof *flat);
    for (size_t k = 0; flat && k < t->n; k++) {
        const struct param *p = &t->params[k];
        for (size_t i = 0; i < p->count; i++) {
            flat[p->offset + i] = bf16_from_f32(value(p, i, end, &r));
        }
    }
    return flat;
}

// ---- tokenizer ----

// The character that stands for a byte in the byte-level alphabet (GPT-2): printable Latin-1 bytes
// are themselves, the others follow from U+0100.
static void byte_character(unsigned byte, char out[4])
{
    unsigned code = byte, shifted = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool printable =
            (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
        if (!printable) {
            code = b == byte ? 256 + shifted : code;
            shifted++;
        }
    }
    if (code < 0x80) {
        out[0] = (char)code;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        out[2] = '\0';
    }
}

static json_t *make_tokenizer(void)
{
    json_t *vocab = json_object(), *added = json_array();
    for (int i = 0; i < SPECIALS; i++) {
        json_object_set_new(vocab, special[i], json_integer(i));
        json_array_append_new(added, json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", i, "content",
                                               special[i], "single_word", 0, "lstrip", 0, "rstrip",
                                               0, "normalized", 0, "special", 1));
    }
    for (int b = 0; b < 256; b++) {
        char text[4];
        byte_character((unsigned)b, text);
        json_object_set_new(vocab, text, json_integer(SPECIALS + b));
    }
    json_t *level = json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                              "trim_offsets", 1, "use_regex", 1);
    return json_pack(
        "{s:s,s:n,s:n,s:o,s:n,s:O,s:n,s:o,s:{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:[]}}", "version",
        "1.0", "truncation", "padding", "added_tokens", added, "normalizer", "pre_tokenizer", level,
        "post_processor", "decoder", level, "model", "type", "BPE", "dropout", "unk_token",
        "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
        "ignore_merges", 0, "vocab", vocab, "merges");
}

// ---- files ----

static enum err write_json(const char *dir, const char *name, json_t *v, struct why *why)
{
    char *path = fs_path("%s/%s", dir, name);
    char *text = v ? json_dumps(v, JSON_INDENT(1)) : NULL;
    enum err e = path && text ? fs_write_file(path, text, strlen(text), why)
                              : why_set(why, ERR_NOMEM, "%s: out of memory", name);
    free(text);
    free(path);
    json_decref(v);
    return e;
}

static enum err write_weights(const char *dir, const struct model_config *c, uint64_t seed,
                              float end, struct why *why)
{
    struct param_table t;
    enum err e = param_table_create(c, &t, why);
    if (e) {
        return e;
    }
    uint16_t *flat = make_weights(&t, seed, end);
    char *path = fs_path("%s/model.safetensors", dir);
    const char *metadata[] = {"format", "pt", NULL};
    e = flat && path ? safetensors_write_flat(path, &t, DTYPE_BF16, flat, metadata, why)
                     : why_set(why, ERR_NOMEM, "out of memory");
    free(path);
    free(flat);
    param_table_destroy(&t);
    return e;
}

static enum err write_config(const char *dir, const struct model_config *c, struct why *why)
{
    char *path = fs_path("%s/config.json", dir), *text = model_config_print(c, DTYPE_BF16);
    enum err e = path && text ? fs_write_file(path, text, strlen(text), why)
                              : why_set(why, ERR_NOMEM, "out of memory");
    free(text);
    free(path);
    return e;
}

int main(int argc, char **argv)
{
    struct model_config c = {.family = "llama",
                             .vocab = VOCAB,
                             .hidden = HIDDEN,
                             .ffn = 48,
                             .layers = 2,
                             .heads = 4,
                             .kv_heads = 2,
                             .head_dim = 8,
                             .max_positions = 1024,
                             .rope_theta = 10000,
                             .rms_eps = 1e-5f,
                             .bos_id = 1,
                             .pad_id = 0,
                             .eos_ids = {2},
                             .n_eos = 1};
    struct why why = {""};
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: make_tiny_model DIR [SEED [END]]\n");
        return 2;
    }
    const char *dir = argv[1];
    enum err e = fs_make_dirs(dir, &why);
    e = e ? e : write_config(dir, &c, &why);
    e = e ? e
          : write_weights(dir, &c, argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
                          argc > 3 ? strtof(argv[3], NULL) : 1, &why);
    e = e ? e : write_json(dir, "tokenizer.json", make_tokenizer(), &why);
    e = e ? e
          : write_json(dir, "tokenizer_config.json",
                       json_pack("{s:s,s:s,s:s,s:s}", "tokenizer_class", "PreTrainedTokenizerFast",
                                 "eos_token", special[2], "pad_token", special[0], "chat_template",
                                 chat_template),
                       &why);
    if (e) {
        fprintf(stderr, "make_tiny_model: %s\n", why.text);
        return 1;
    }
    return 0;
}

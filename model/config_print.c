// config_print.c: a configuration as the config.json that transformers reads.
//
// The rotary part is written in the old style ("rope_theta", "rope_scaling"), which every release
// reads. A family's own fields are written where its row has them, also when their values are those
// that silence would mean: other readers have other ideas of silence.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/family.h"

// The shortest decimal that reads back as the same float, always with a '.' or an exponent (a JSON
// real).
static const char *float_text(float x, char out[32])
{
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)x);
        if (strtof(out, NULL) == x) {
            break;
        }
    }
    if (strpbrk(out, ".e") == NULL) {
        strncat(out, ".0", 31 - strlen(out));
    }
    return out;
}

static enum err print_sizes(struct buf *b, const struct model_config *c, const struct family *f)
{
    return buf_printf(
        b,
        "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n  \"hidden_act\": \"%s\",\n"
        "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n"
        "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n"
        "  \"num_key_value_heads\": %d,\n  \"head_dim\": %d,\n"
        "  \"max_position_embeddings\": %d,\n",
        f->architecture, f->name, f->hidden_act, c->vocab, c->hidden, c->ffn, c->layers, c->heads,
        c->kv_heads, c->head_dim, c->max_positions);
}

static enum err print_rope(struct buf *b, const struct model_config *c)
{
    char theta[32], factor[32], low[32], high[32];
    enum err e = buf_printf(b, "  \"rope_theta\": %s,\n", float_text(c->rope_theta, theta));
    if (e == ERR_OK && c->rope.type == ROPE_DEFAULT) {
        return buf_printf(b, "  \"rope_scaling\": null,\n");
    }
    if (e == ERR_OK) {
        e = buf_printf(b,
                       "  \"rope_scaling\": {\n    \"rope_type\": \"llama3\",\n"
                       "    \"factor\": %s,\n    \"low_freq_factor\": %s,\n"
                       "    \"high_freq_factor\": %s,\n"
                       "    \"original_max_position_embeddings\": %d\n  },\n",
                       float_text(c->rope.factor, factor), float_text(c->rope.low, low),
                       float_text(c->rope.high, high), c->rope.original_positions);
    }
    return e;
}

static enum err print_window(struct buf *b, const struct model_config *c, const struct family *f)
{
    char window[32] = "null";
    if (c->window > 0) {
        snprintf(window, sizeof window, "%d", c->window);
    }
    if (f->window == WINDOW_NONE) {
        return ERR_OK;
    }
    enum err e = buf_printf(b, "  \"sliding_window\": %s,\n", window);
    if (e == ERR_OK && f->window == WINDOW_UPPER) {
        e = buf_printf(b, "  \"use_sliding_window\": %s,\n  \"max_window_layers\": %d,\n",
                       c->window > 0 ? "true" : "false",
                       c->window > 0 ? c->window_from : c->layers);
    }
    return e;
}

static enum err print_maths(struct buf *b, const struct model_config *c, const struct family *f)
{
    char eps[32];
    enum err e = print_rope(b, c);
    if (e == ERR_OK) {
        e = buf_printf(b, "  \"rms_norm_eps\": %s,\n", float_text(c->rms_eps, eps));
    }
    for (size_t i = 0; e == ERR_OK && i < FAMILY_FALSE_FIELDS && f->false_fields[i] != NULL; i++) {
        e = buf_printf(b, "  \"%s\": false,\n", f->false_fields[i]);
    }
    if (e == ERR_OK) {
        e = print_window(b, c, f);
    }
    return e == ERR_OK
               ? buf_printf(b, "  \"tie_word_embeddings\": %s,\n", c->tied ? "true" : "false")
               : e;
}

static enum err print_ids(struct buf *b, const struct model_config *c)
{
    enum err e = ERR_OK;
    if (c->bos_id >= 0) {
        e = buf_printf(b, "  \"bos_token_id\": %d,\n", c->bos_id);
    }
    if (e == ERR_OK && c->pad_id >= 0) {
        e = buf_printf(b, "  \"pad_token_id\": %d,\n", c->pad_id);
    }
    if (e == ERR_OK && c->n_eos == 1) {
        return buf_printf(b, "  \"eos_token_id\": %d,\n", c->eos_ids[0]);
    }
    for (int32_t i = 0; e == ERR_OK && i < c->n_eos; i++) {
        e = buf_printf(b, "%s%d%s", i == 0 ? "  \"eos_token_id\": [" : ", ", c->eos_ids[i],
                       i + 1 == c->n_eos ? "],\n" : "");
    }
    return e;
}

char *model_config_print(const struct model_config *c, enum dtype t)
{
    const struct family *f = family_find(c->family);
    CHECK(f != NULL);
    struct buf b;
    buf_init(&b, 0);
    enum err e = print_sizes(&b, c, f);
    if (e == ERR_OK) {
        e = print_maths(&b, c, f);
    }
    if (e == ERR_OK) {
        e = print_ids(&b, c);
    }
    if (e == ERR_OK) {
        e = buf_printf(&b, "  \"torch_dtype\": \"%s\"\n}\n",
                       t == DTYPE_BF16 ? "bfloat16" : "float32");
    }
    char *text = e == ERR_OK ? buf_take(&b) : NULL;
    buf_fini(&b);
    return text;
}

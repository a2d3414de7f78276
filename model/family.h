// family.h: transformer families as data: names, the parameters of one layer with their shapes and
// their names in both file formats, and the few places where the maths differ.
//
// Everything that knows a family reads these rows: config.json in and out (config.c,
// config_print.c), the parameter table (params.c), tensors of folders and of GGUF files, packed
// weights, forward, backward, memory plans, error texts. A new family is a new row here plus, where
// its maths are new, an op.
#ifndef CARAVAN_MODEL_FAMILY_H
#define CARAVAN_MODEL_FAMILY_H

#include "model/config.h"

// Sizes that a parameter's shape may name.
enum family_dim {
    DIM_ONE,       // vectors are (1, n)
    DIM_VOCAB,     // V
    DIM_HIDDEN,    // C
    DIM_QUERY,     // heads * head_dim
    DIM_KEY,       // kv_heads * head_dim
    DIM_HEAD,      // head_dim
    DIM_FFN        // F
};

// Which layers may have a sliding window, and which fields of config.json say so.
enum family_window {
    WINDOW_NONE,     // no layer
    WINDOW_ALL,      // every layer: "sliding_window", null = none
    WINDOW_UPPER,    // with "use_sliding_window", layers from "max_window_layers" on
};

struct family_param {
    enum param_kind kind;
    const char *name;    // Hugging Face name; "%d" stands for the layer
    const char *gguf;    // name in GGUF files, likewise
    enum family_dim rows, cols;
};

enum { FAMILY_LAYER_PARAMS = 13, FAMILY_FALSE_FIELDS = 2 };

struct family {
    const char *name;            // model_type in config.json
    const char *architecture;    // in config.json's "architectures"
    const char *gguf;            // general.architecture; of several rows the first is meant
    const char *hidden_act;
    // Biases that config.json may announce: read as false only, printed as false.
    const char *false_fields[FAMILY_FALSE_FIELDS];
    enum family_window window;
    // What config.json means when it is silent; 0 = no window, heads, hidden / heads.
    int32_t default_window, default_kv_heads, default_head_dim;
    bool norm_after;          // norms stand behind attention and MLP, not before them
    bool gguf_interleaved;    // GGUF files hold q and k in interleaved rotary order (source_impl.h)
    // In table order: before the layers, in each layer (up to the first without a name), after
    // them. `head` is there when it is not tied. What a layer has in excess of the plain one (a norm
    // of q and k, over heads or whole rows by its width; biases) it has because it is listed.
    struct family_param before, layer[FAMILY_LAYER_PARAMS + 1], after, head;
};

// NULL when no family has this name.
const struct family *family_find(const char *name);
// By general.architecture; NULL when none has it.
const struct family *family_find_gguf(const char *architecture);
// "llama, …": what is supported, for error texts; of either format. Static text.
const char *family_names(void);
const char *family_gguf_names(void);
size_t family_dim(const struct model_config *c, enum family_dim d);
// The parameter of this kind in a layer, or NULL.
const struct family_param *family_layer_param(const struct family *f, enum param_kind kind);
size_t family_layer_count(const struct family *f);

#endif

// family.h: transformer families as data: names, and the parameters of one layer with their shapes.
//
// Everything that reads or writes a model goes through these rows: config.json parsing, the
// parameter table, error texts that say what is supported. A new family is a new row here plus,
// where its maths differ, an op in forward.c.
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
    DIM_FFN        // F
};

struct family_param {
    enum param_kind kind;
    const char *name;    // Hugging Face name; "%d" stands for the layer
    enum family_dim rows, cols;
};

struct family {
    const char *name;            // model_type in config.json, general.architecture in GGUF
    const char *architecture;    // in config.json's "architectures"
    const char *hidden_act;
    // In table order: before the layers, in each layer, after them. The last "after" entry is the
    // untied head.
    struct family_param before, layer[9], after, head;
};

// NULL when no family has this name.
const struct family *family_find(const char *name);
// "llama, …": what is supported, for error texts. Static text.
const char *family_names(void);
size_t family_dim(const struct model_config *c, enum family_dim d);

#endif

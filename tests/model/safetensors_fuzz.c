// safetensors_fuzz.c: arbitrary bytes as a safetensors file: every tensor of what opens lies inside
// it.

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *s = NULL;
    struct why why;
    if (safetensors_parse(data, size, "fuzz", &s, &why) != ERR_OK) {
        return 0;
    }
    for (size_t i = 0; i < safetensors_n_tensors(s); i++) {
        const struct safetensors_tensor *t = safetensors_tensor_at(s, i);
        CHECK(t->data >= data && t->bytes <= size && (size_t)(t->data - data) <= size - t->bytes);
        CHECK(safetensors_find(s, t->name) == t);
    }
    safetensors_close(s);
    return 0;
}

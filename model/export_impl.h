// export_impl.h: inside of an export: what export.c (the Hugging Face folder), safetensors_write.c
// and gguf_export.c (the tensors in either format) share; nobody else includes it.
#ifndef CARAVAN_MODEL_EXPORT_IMPL_H
#define CARAVAN_MODEL_EXPORT_IMPL_H

#include "common/fs.h"
#include "model/source_impl.h"

// What is written: the parameters of s, with values from `views` (those of s, or of a flat blob), as
// `type`.
struct export
{
    const struct source *s;
    const struct source_view *views;
    const struct quant *type;
};

// Appends one parameter as `type`, its rows in Hugging Face order or, interleaved, as GGUF files of
// the llama architecture hold q and k.
MUST_CHECK enum err export_tensor(const struct export *x, size_t index, const struct quant *type,
                                  bool interleaved, struct fs_writer *w, struct why *why);

// model.safetensors, or shards of at most shard_bytes of tensors with their index. A tensor that is
// larger alone makes a shard of its own. What an earlier export left in dir under other names of
// this kind is removed.
MUST_CHECK enum err export_safetensors(const struct export *x, const char *dir,
                                       uint64_t shard_bytes, struct why *why);
// One GGUF v3 file: vectors as F32, matrices as x->type.
MUST_CHECK enum err export_gguf(const struct export *x, const char *path, struct why *why);

#endif

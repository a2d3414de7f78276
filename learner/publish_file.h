// publish_file.h: one published version as a file: PATH = DIR/v%06llu.safetensors, the flat blob
// behind a safetensors header whose metadata carries version and hash. publish.c's; nobody else
// includes it. Blocking calls, no state.
#ifndef CARAVAN_LEARNER_PUBLISH_FILE_H
#define CARAVAN_LEARNER_PUBLISH_FILE_H

#include <stdint.h>

#include "common/fs.h"
#include "common/hash.h"
#include "learner/publish.h"
#include "model/config.h"

char *publish_file_path(const char *dir, uint64_t version);    // free(); NULL: out of memory
// v000042.safetensors -> 42; 0 = another name.
uint64_t publish_file_version(const char *name);
// Complete or absent, never partial.
MUST_CHECK enum err publish_file_write(const char *dir, const struct param_table *params,
                                       enum dtype t, uint64_t version, struct hash128 hash,
                                       publish_copy_fn *copy, void *arg, struct why *why);
// The hash that the header states; ERR_CORRUPT unless the file is a header and blob_bytes.
MUST_CHECK enum err publish_file_hash(const char *path, size_t blob_bytes, struct hash128 *out,
                                      struct why *why);
// The whole file, and the blob in it; fs_map_close.
MUST_CHECK enum err publish_file_map(const char *dir, uint64_t version, size_t blob_bytes,
                                     struct fs_map *map, const void **blob, struct why *why);
// n bytes of the blob at offset; offset + n <= blob_bytes.
MUST_CHECK enum err publish_file_read(const char *dir, uint64_t version, size_t blob_bytes,
                                      uint64_t offset, void *out, size_t n, struct why *why);

#endif

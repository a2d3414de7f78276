// publish_file.c: writing a version, and reading ranges of it back.
//
// Tensors stand in table order without gaps, so the data part of the file is the flat blob and a
// range of the blob is a range of the file: an actor that asks for an older version in pieces is
// served by pread. The header is read as hostile: its length is held against the file before use.

#include "learner/publish_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/json.h"
#include "model/source.h"

enum { HEADER_MAX = 16 << 20 };

char *publish_file_path(const char *dir, uint64_t version)
{
    return fs_path("%s/v%06" PRIu64 ".safetensors", dir, version);
}

enum err publish_file_write(const char *dir, const struct param_table *params, enum dtype t,
                            uint64_t version, struct hash128 hash, publish_copy_fn *copy, void *arg,
                            struct why *why)
{
    char number[24], hex[HASH_HEX_LEN + 1];
    (void)snprintf(number, sizeof number, "%" PRIu64, version);
    hash_hex(hash, hex);
    const char *const metadata[] = {"version", number, "weights_hash", hex, NULL};
    char *path = publish_file_path(dir, version);
    enum err e = path ? safetensors_write_stream(path, params, t, copy, arg, metadata, why)
                      : why_set(why, ERR_NOMEM, "out of memory");
    free(path);
    return e;
}

uint64_t publish_file_version(const char *name)
{
    size_t digits = name[0] == 'v' ? strspn(name + 1, "0123456789") : 0;
    if (digits < 6 || digits > 18 || strcmp(name + 1 + digits, ".safetensors") != 0) {
        return 0;
    }
    return strtoull(name + 1, NULL, 10);
}

// Bytes before the blob, from the first 8 of the file; checks that the rest is as long as a blob.
static enum err header_bytes(size_t blob_bytes, const char *path, const uint8_t first[8],
                             uint64_t file_bytes, uint64_t *out, struct why *why)
{
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) {
        header = header << 8 | first[i];
    }
    if (header > HEADER_MAX || file_bytes != 8 + header + blob_bytes) {
        return why_set(why, ERR_CORRUPT,
                       "%s: %" PRIu64 " bytes, expected a header and %zu of weights", path,
                       file_bytes, blob_bytes);
    }
    *out = 8 + header;
    return ERR_OK;
}

// Maps a file that is a header and blob_bytes; *before: bytes in front of the blob.
static enum err map_file(const char *path, size_t blob_bytes, struct fs_map *map, uint64_t *before,
                         struct why *why)
{
    struct fs_map m = {0};
    enum err e = fs_map_open(path, &m, why);
    if (!e && m.len < 8) {
        e = why_set(why, ERR_CORRUPT, "%s: %zu bytes, expected a header", path, m.len);
    }
    e = e ? e : header_bytes(blob_bytes, path, m.data, m.len, before, why);
    if (e) {
        fs_map_close(&m);
        return e;
    }
    *map = m;
    return ERR_OK;
}

enum err publish_file_hash(const char *path, size_t blob_bytes, struct hash128 *out,
                           struct why *why)
{
    struct fs_map map = {0};
    uint64_t before = 0;
    json_t *header = NULL;
    const char *hex = NULL;
    enum err e = map_file(path, blob_bytes, &map, &before, why);
    e = e ? e : json_parse((const char *)map.data + 8, before - 8, path, &header, why);
    if (!e) {
        json_t *metadata = json_object_get(header, "__metadata__");
        e = json_is_object(metadata)
                ? json_get_str(metadata, "weights_hash", path, &hex, why)
                : why_set(why, ERR_CORRUPT, "%s: no __metadata__ in the header", path);
    }
    if (!e && !hash_from_hex(hex, out)) {
        e = why_set(why, ERR_CORRUPT, "%s: weights_hash \"%.40s\", expected 32 hex digits", path,
                    hex);
    }
    json_decref(header);
    fs_map_close(&map);
    return e;
}

enum err publish_file_map(const char *dir, uint64_t version, size_t blob_bytes, struct fs_map *map,
                          const void **blob, struct why *why)
{
    uint64_t before = 0;
    char *path = publish_file_path(dir, version);
    enum err e = path ? map_file(path, blob_bytes, map, &before, why)
                      : why_set(why, ERR_NOMEM, "version %" PRIu64 ": out of memory", version);
    free(path);
    if (!e) {
        *blob = map->data + before;
    }
    return e;
}

static enum err pread_all(int fd, const char *path, void *out, size_t n, uint64_t at,
                          struct why *why)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(fd, (char *)out + got, n - got, (off_t)(at + got));
        if (r == 0 || (r < 0 && errno != EINTR)) {
            return r == 0 ? why_set(why, ERR_CORRUPT, "%s: ends early", path)
                          : why_set(why, ERR_IO, "%s: cannot read: %m", path);
        }
        got += r > 0 ? (size_t)r : 0;
    }
    return ERR_OK;
}

enum err publish_file_read(const char *dir, uint64_t version, size_t blob_bytes, uint64_t offset,
                           void *out, size_t n, struct why *why)
{
    char *path = publish_file_path(dir, version);
    if (!path) {
        return why_set(why, ERR_NOMEM, "version %" PRIu64 ": out of memory", version);
    }
    uint8_t first[8];
    uint64_t before = 0;
    struct stat st;
    enum err e = ERR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        e = why_set(why, ERR_IO, "%s: cannot open: %m", path);
    }
    e = e ? e : pread_all(fd, path, first, sizeof first, 0, why);
    e = e ? e : header_bytes(blob_bytes, path, first, (uint64_t)st.st_size, &before, why);
    e = e ? e : pread_all(fd, path, out, n, before + offset, why);
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return e;
}

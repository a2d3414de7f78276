// gguf_fuzz.c: arbitrary bytes as a GGUF file, first as a container, then as a model: whatever
// opens must be readable to its last byte.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/gguf.h"
#include "model/source.h"
#include "model/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum(const uint8_t *p, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += p[i];
    }
    return total;
}

static void as_container(const uint8_t *data, size_t size)
{
    struct gguf *g = NULL;
    struct why why;
    if (gguf_parse(data, size, "fuzz", &g, &why) != ERR_OK) {
        return;
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        CHECK(gguf_tensor_find(g, t->name) == t);
        CHECK(sum(t->data, t->bytes) <= 255 * (uint64_t)t->bytes);
    }
    gguf_close(g);
}

static void as_model(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("fuzz", 0);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct source *s = NULL;
    struct tokenizer *t = NULL;
    struct why why;
    if (source_open(path, &s, &why) == ERR_OK) {
        for (size_t i = 0; i < source_params(s)->n; i++) {
            float *x = malloc(source_params(s)->params[i].count * sizeof *x);
            CHECK(x != NULL);
            enum err ignored = source_read(s, i, x, &why);
            (void)ignored;
            free(x);
        }
        if (source_tokenizer(s, &t, &why) == ERR_OK) {
            struct token_ids ids = {0};
            CHECK(tokenizer_encode(t, "hello  12\xff", 10, true, &ids, &why) == ERR_OK);
            token_ids_fini(&ids);
        }
    }
    tokenizer_destroy(t);
    source_close(s);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_container(data, size);
    as_model(data, size);
    return 0;
}

// tokenizer_fuzz.c: a tokenizer.json, a NUL, and a text. What is accepted must encode any text into
// its own ids and decode them, and must survive being printed and read again. The text serves as a
// chat template too.

#include <stdlib.h>
#include <string.h>

#include "model/chat.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct tokenizer *t, const char *text, size_t len)
{
    for (int special = 0; special < 2; special++) {
        struct token_ids ids = {0};
        struct buf out;
        struct why why;
        buf_init(&out, 0);
        if (tokenizer_encode(t, text, len, special, &ids, &why) ==
            ERR_OK) {    // else the split pattern gave up
            CHECK(tokenizer_decode(t, ids.ids, ids.n, false, &out, &why) == ERR_OK);
            CHECK(tokenizer_decode_bytes(t, ids.ids, ids.n, true, &out, &why) == ERR_OK);
        }
        buf_fini(&out);
        token_ids_fini(&ids);
    }
}

static void print_again(const struct tokenizer_spec *spec)
{
    char *text = tokenizer_json_print(spec);
    struct tokenizer_spec *again = NULL;
    struct why why;
    CHECK(text != NULL);
    CHECK(tokenizer_json_parse(text, strlen(text), "printed", &again, &why) == ERR_OK);
    CHECK(hash_equal(tokenizer_spec_hash(spec), tokenizer_spec_hash(again)));
    tokenizer_spec_destroy(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    size_t json_len = end == NULL ? size : (size_t)(end - data);
    const char *text = (const char *)(end == NULL ? data + size : end + 1);
    size_t len = end == NULL ? 0 : size - json_len - 1;
    struct tokenizer_spec *spec = NULL;
    struct tokenizer *t = NULL;
    struct chat_template *c = NULL;
    struct why why;
    if (chat_template_create(text, len, "t", &(struct chat_tokens){.eos = ""}, &c, &why) ==
        ERR_OK) {
        chat_template_destroy(c);
    }
    if (tokenizer_json_parse((const char *)data, json_len, "fuzz", &spec, &why) != ERR_OK) {
        return 0;
    }
    if (tokenizer_create(spec, &t, &why) == ERR_OK) {
        encode(t, text, len);
        print_again(spec);
    }
    tokenizer_destroy(t);
    tokenizer_spec_destroy(spec);
    return 0;
}

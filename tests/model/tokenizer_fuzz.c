// tokenizer_fuzz.c: a tokenizer.json, a NUL, and a text. What is accepted must encode any text into
// its own ids and decode them, at once and id by id to the same, and must survive being printed and
// read again. Untrusted text makes no special token but the unknown one. The text serves as a chat
// template too.

#include <stdlib.h>
#include <string.h>

#include "model/chat.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"
#include "model/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Text as it grows: whole characters at every step, and at the end what decoding at once says.
static void stream(const struct tokenizer *t, const struct token_ids *ids, const struct buf *whole)
{
    struct token_stream *s = NULL;
    struct buf out;
    struct why why;
    buf_init(&out, 0);
    CHECK(token_stream_create(t, false, &s) == ERR_OK);
    for (size_t i = 0; i < ids->n; i++) {
        size_t before = out.len;
        CHECK(token_stream_push(s, ids->ids[i], &out, &why) == ERR_OK);
        size_t n = out.len - before;
        CHECK(n == 0 || utf8_valid_prefix(out.data + before, n) == n);
    }
    CHECK(token_stream_finish(s, &out, &why) == ERR_OK);
    CHECK(out.len == whole->len && (out.len == 0 || memcmp(out.data, whole->data, out.len) == 0));
    token_stream_destroy(s);
    buf_fini(&out);
}

static void encode(const struct tokenizer *t, const struct tokenizer_spec *spec, const char *text,
                   size_t len, bool special)
{
    struct token_ids ids = {0};
    struct buf out;
    struct why why;
    buf_init(&out, 0);
    // An error: the split pattern gave up.
    if (tokenizer_encode(t, text, len, special, &ids, &why) == ERR_OK) {
        CHECK(tokenizer_decode(t, ids.ids, ids.n, false, &out, &why) == ERR_OK);
        stream(t, &ids, &out);
        CHECK(tokenizer_decode_bytes(t, ids.ids, ids.n, true, &out, &why) == ERR_OK);
    }
    for (size_t i = 0; i < ids.n && !special; i++) {
        size_t token_len;
        bool unk = (int32_t)ids.ids[i] == spec->model_unk;
        (void)tokenizer_spec_text(spec, ids.ids[i], &token_len);
        // A special token that is one byte or character is a symbol of the alphabet as well.
        CHECK((spec->tokens[ids.ids[i]].flags & SPEC_SPECIAL) == 0 || unk || token_len <= 6);
    }
    buf_fini(&out);
    token_ids_fini(&ids);
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
        encode(t, spec, text, len, true);
        encode(t, spec, text, len, false);
        print_again(spec);
    }
    tokenizer_destroy(t);
    tokenizer_spec_destroy(spec);
    return 0;
}

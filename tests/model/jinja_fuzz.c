// jinja_fuzz.c: any bytes as a template. What parses is rendered with a small chat under small
// limits, twice: it must end, say why when it fails, leave the output alone then, and give the same
// text both times.

#include <string.h>

#include "model/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *variables(void)
{
    static json_t *vars;
    if (vars == NULL) {
        vars = json_pack("{s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:[{s:s, s:s}]}], s:b, s:s, s:s, s:n, "
                         "s:{s:i, s:f, s:n, s:[i, i, i]}, s:s}",
                         "messages", "role", "system", "content", " be brief\n", "role", "user",
                         "content", "h\xc3\xa9llo <b> \"q\" '", "role", "assistant", "content",
                         "type", "text", "text", "ok", "add_generation_prompt", 1, "bos_token",
                         "<s>", "eos_token", "</s>", "tools", "d", "i", 7, "f", 2.5, "n", "l", 3, 1,
                         2, "s", "a b  c");
        CHECK(vars != NULL);
        json_t *bytes = json_stringn_nocheck("\xff\x00 \xc3z", 5);
        CHECK(json_object_set_new(vars, "b", bytes) == 0);
    }
    return vars;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct jinja_limits limits = {
        .steps = 20000, .memory_bytes = (size_t)2 << 20, .output_bytes = (size_t)64 << 10};
    static const struct tm day = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_wday = 5};
    struct jinja_template *t = NULL;
    struct why why = {""};
    struct buf out[2];
    if (jinja_parse((const char *)data, size, "fuzz", &t, &why) != ERR_OK) {
        CHECK(strncmp(why.text, "fuzz:", 5) == 0);
        return 0;
    }
    enum err e[2];
    for (int i = 0; i < 2; i++) {
        buf_init(&out[i], 0);
        e[i] = jinja_render(t, variables(), &day, &limits, &out[i], &why);
        CHECK(e[i] == ERR_OK || (out[i].len == 0 && strncmp(why.text, "fuzz:", 5) == 0));
    }
    CHECK(e[0] == e[1] && out[0].len == out[1].len &&
          (out[0].len == 0 || memcmp(out[0].data, out[1].data, out[0].len) == 0));
    buf_fini(&out[0]);
    buf_fini(&out[1]);
    jinja_destroy(t);
    return 0;
}

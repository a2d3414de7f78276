// pluginline_fuzz.c: what a program that is a plug-in may write, and what it is asked.
#include <stdint.h>
#include <string.h>

#include "verifier/pluginline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jobframe_check checks[JOBFRAME_MAX_CHECKS];
    const char *line = (const char *)data;
    struct why why = {{0}};
    size_t n = 0;
    double value = -1;
    if (pluginline_get_hello(line, size, checks, &n, &why) == ERR_OK) {
        CHECK(n >= 1 && n <= JOBFRAME_MAX_CHECKS && checks[0].id[0] && checks[0].version[0]);
    }
    enum err e = pluginline_get_reply(line, size, 7, &value, &why);
    CHECK(e == ERR_OK || e == ERR_UNSUPPORTED || e == ERR_CORRUPT);
    CHECK(e ? why.text[0] != 0 : value >= 0 && value <= 1);
    // Any bytes at all as texts of a request.
    struct score_text t = {line, size};
    const struct score_plugin_input in = {t, t, t, t, true};
    struct buf out;
    buf_init(&out, 1 << 24);
    if (pluginline_put_request(&out, 7, t, &in) == ERR_OK) {
        CHECK(out.len > 0 && out.data[out.len - 1] == '\n');
        CHECK(memchr(out.data, '\n', out.len - 1) == NULL);
    }
    buf_fini(&out);
    return 0;
}

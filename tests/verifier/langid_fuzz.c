// langid_fuzz.c: any code points at all, three bytes each, and an answer that is one of the 55 or
// none; the same text gives the same answer twice.
#include "common/base.h"
#include "verifier/langid.h"

#define CHARS_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint32_t cp[CHARS_MAX];
    size_t n = 0;
    while (size >= 3 && n < CHARS_MAX) {
        uint32_t c = ((uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2]) & 0x1FFFFF;
        size_t times = c >> 16 == 0x1F ? 300 : 1;    // long runs from short inputs
        while (times-- && n < CHARS_MAX) {
            cp[n++] = c & 0xFFFF;
        }
        data += 3;
        size -= 3;
    }
    const char *code = langid_detect((struct pyspan){cp, n});
    CHECK(code == langid_detect((struct pyspan){cp, n}));
    if (code) {
        uint32_t name[8] = {0};
        size_t len = 0;
        for (; code[len] && len < 8; len++) {
            name[len] = (unsigned char)code[len];
        }
        CHECK(langid_known((struct pyspan){name, len}));
    }
    return 0;
}

// conf_fuzz.c: any bytes are either a configuration that survives printing and reading, or an error
// with a text.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_difference(void *arg, const char *key, const char *was, const char *now,
                             bool frozen)
{
    (void)key;
    (void)was;
    (void)now;
    (void)frozen;
    ++*(int *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf c, back;
    struct why why = {{0}};
    if (conf_parse((const char *)data, size, "fuzz.yaml", &c, &why) != ERR_OK) {
        CHECK(why.text[0] != '\0');
        return 0;
    }
    char *text = conf_print(&c);
    CHECK(text != NULL);
    CHECK(conf_parse(text, strlen(text), "printed.yaml", &back, &why) == ERR_OK);
    int n = 0;
    conf_diff(&c, &back, count_difference, &n);
    CHECK(n == 0);
    free(text);
    return 0;
}

// config_fuzz: any text is either refused or a config that prints, reads back equal, and has a
// parameter table.

#include <stdlib.h>
#include <string.h>

#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_config c, back;
    struct param_table t;
    if (model_config_parse((const char *)data, size, "fuzz", &c, NULL) != ERR_OK) {
        return 0;
    }
    char *text = model_config_print(&c, DTYPE_F32);
    CHECK(text != NULL);
    CHECK(model_config_parse(text, strlen(text), "printed", &back, NULL) == ERR_OK);
    CHECK(memcmp(&c, &back, sizeof c) == 0);
    CHECK(param_table_create(&c, &t, NULL) == ERR_OK);
    CHECK(t.params[t.n - 1].offset + t.params[t.n - 1].count == t.total);
    param_table_destroy(&t);
    free(text);
    return 0;
}

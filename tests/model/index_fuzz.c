// index_fuzz.c: any text as model.safetensors.index.json of a folder that is otherwise right: the
// folder is refused with a sentence, or opens and every tensor is inside one of its files.
//
// One process, one folder: only the index is written anew for each input.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "model/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/caravan-index-fuzz-XXXXXX";

static void remove_folder(void)
{
    enum err ignored = fs_remove_tree(dir, NULL);
    (void)ignored;
}

static char *in_folder(const char *name)
{
    char *path = fs_path("%s/%s", dir, name);
    CHECK(path != NULL);
    return path;
}

static void write_plain(const char *name, const void *data, size_t len)
{
    char *path = in_folder(name);
    (void)unlink(path);    // some file systems write out at once what is cut and filled again
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL && fwrite(data, 1, len, f) == len && fclose(f) == 0);
    free(path);
}

static void make_folder(void)
{
    static const struct model_config c = {.family = "llama",
                                          .vocab = 4,
                                          .hidden = 2,
                                          .ffn = 2,
                                          .layers = 1,
                                          .heads = 1,
                                          .kv_heads = 1,
                                          .head_dim = 2,
                                          .max_positions = 8,
                                          .rope_theta = 100,
                                          .rms_eps = 1e-5f,
                                          .tied = true,
                                          .bos_id = -1,
                                          .pad_id = -1};
    struct param_table p = {0};
    CHECK(mkdtemp(dir) != NULL && atexit(remove_folder) == 0);
    CHECK(param_table_create(&c, &p, NULL) == ERR_OK);
    float *flat = calloc(p.total, sizeof *flat);
    char *a = in_folder("a.safetensors"), *b = in_folder("b.safetensors");
    char *config = model_config_print(&c, DTYPE_F32);
    struct param_table head = {.params = p.params, .n = 2, .total = p.params[2].offset};
    CHECK(flat != NULL && config != NULL);
    CHECK(safetensors_write_flat(a, &p, DTYPE_F32, flat, NULL, NULL) == ERR_OK);
    CHECK(safetensors_write_flat(b, &head, DTYPE_F32, flat, NULL, NULL) == ERR_OK);
    write_plain("config.json", config, strlen(config));
    free(config);
    free(a);
    free(b);
    free(flat);
    param_table_destroy(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    if (!made) {
        make_folder();
        made = true;
    }
    write_plain("model.safetensors.index.json", data, size);
    struct source *s = NULL;
    struct why why = {""};
    if (source_open(dir, &s, &why) != ERR_OK) {
        CHECK(strstr(why.text, "caravan-index-fuzz") != NULL);
        return 0;
    }
    for (size_t i = 0; i < source_params(s)->n; i++) {
        float x[16];
        CHECK(source_params(s)->params[i].count <= 16);
        CHECK(source_read(s, i, x, &why) == ERR_OK);
    }
    source_close(s);
    return 0;
}

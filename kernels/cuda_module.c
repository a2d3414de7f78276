// cuda_module.c: the CUDA back end of a build that has one: a shared object, libcaravan_cuda.so,
// opened when the first device "cuda" is.
//
// So the programs themselves need neither the CUDA libraries nor a GPU, and one build serves
// machines with and without. The object is looked for beside the running program and nowhere else.
// Where it or a library it needs is missing, opening is ERR_UNSUPPORTED with the linker's reason.
// Once open it stays: a CUDA context does not survive being unloaded.

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda.h"

static const char OBJECT[] = "libcaravan_cuda.so";

static struct {
    enum err err;    // of loading
    struct why why;
    enum err (*open)(struct pool *pool, struct device **out, struct why *why);
    void (*close)(struct device *d);
    const char *(*isa)(const struct device *d);
} module;

// OBJECT in the folder of this program.
static enum err object_path(char *out, size_t cap, struct why *why)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *end = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;
    if (end == NULL) {
        return why_set(why, ERR_UNSUPPORTED, "device cuda: cannot tell where this program lies");
    }
    end[1] = '\0';
    if ((size_t)snprintf(out, cap, "%s%s", self, OBJECT) >= cap) {
        return why_set(why, ERR_LIMIT, "device cuda: the path of %s is too long", OBJECT);
    }
    return ERR_OK;
}

static enum err load(void)
{
    char path[PATH_MAX];
    enum err e = object_path(path, sizeof path, &module.why);
    if (e != ERR_OK) {
        return e;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        return why_set(&module.why, ERR_UNSUPPORTED, "device cuda: %s", dlerror());
    }
    *(void **)&module.open = dlsym(object, "caravan_cuda_open");
    *(void **)&module.close = dlsym(object, "caravan_cuda_close");
    *(void **)&module.isa = dlsym(object, "caravan_cuda_isa");
    if (module.open == NULL || module.close == NULL || module.isa == NULL) {
        return why_set(&module.why, ERR_UNSUPPORTED, "device cuda: %s is of another build", path);
    }
    return ERR_OK;
}

static void load_once(void)
{
    module.err = load();
}

enum err cuda_device_open(struct pool *pool, struct device **out, struct why *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_once);
    if (module.err != ERR_OK) {
        return why_set(why, module.err, "%s", module.why.text);
    }
    return module.open(pool, out, why);
}

void cuda_device_close(struct device *d)
{
    if (d != NULL) {
        module.close(d);
    }
}

const char *cuda_device_isa(const struct device *d)
{
    return module.isa(d);
}

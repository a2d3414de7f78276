/* plugin.h: a verifier of your own as a C shared object, for the verifier's folder of plug-ins.
 *
 * Include this file, define caravan_plugin(), build with
 *     cc -shared -fPIC -O2 -o mine.so mine.c
 * and put the result into the folder. docs/writing-a-verifier.md goes through it step by step.
 *
 * The object is loaded inside the sandbox; score() runs in a process of its own for every call,
 * without files, network, threads or further processes, under a deadline and a limit of memory.
 * Nothing it leaves in memory is seen by the next call. Standard C and its mathematics work; what
 * opens, starts or prints does not. Constructors run once, when the object is loaded; they may read
 * libraries and nothing else.
 *
 * This file is all there is to the interface. It is C99 and C++ and will stay as it is for as long
 * as CARAVAN_PLUGIN_ABI is 1.
 */
#ifndef CARAVAN_PLUGIN_H
#define CARAVAN_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CARAVAN_PLUGIN_ABI 1

/* len bytes of UTF-8 and a NUL that is not counted. */
struct caravan_text {
    const char *data;
    size_t len;
};

struct caravan_input {
    struct caravan_text response;     /* what the model wrote */
    struct caravan_text prompt;       /* empty when the row has none */
    struct caravan_text ground_truth; /* the row's, as JSON text; empty when there is none */
    struct caravan_text kwargs;       /* the check's own arguments, a JSON object; may be empty */
    int stopped;                      /* 0: the response was cut at its length limit */
};

struct caravan_check {
    /* What data rows call it: 1 to 95 of a-z A-Z 0-9 _ @ : . / -, and no name that is built in. */
    const char *id;
    /* 1 to 22 characters; raise it whenever a verdict can change. */
    const char *version;
    /* One line for people. */
    const char *doc;
    /* Sets *value, 0 (does not hold) to 1 (holds), and returns 0. Any other return value: cannot
     * decide; the response is then unscored, with the text that was written to why (why_size bytes,
     * NUL included) as its cause. */
    int (*score)(const struct caravan_input *in, double *value, char *why, size_t why_size);
};

struct caravan_plugin {
    uint32_t abi; /* CARAVAN_PLUGIN_ABI */
    uint32_t n_checks; /* 1 to 64 */
    const struct caravan_check *checks;
};

/* The one symbol that is looked for. The result must stay valid for the life of the process. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct caravan_plugin *caravan_plugin(void);

#ifdef __cplusplus
}
#endif

#endif

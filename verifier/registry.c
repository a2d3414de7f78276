// registry.c: the list of tables and a lookup by name.
//
// Tables are const and few (one per suite), rows some hundreds at most; a linear search costs about
// a microsecond, far below the cost of moving a response into a worker, so there is no index to
// keep in step. A test holds that ids are unique.
#include "verifier/registry.h"

#include <string.h>

#include "verifier/checks/tables.h"

// Dataset names that hold no check themselves.
static const struct check_row suites[] = {
    {.id = "ifeval",
     .version = "2",
     .kind = CHECK_SUITE,
     .doc = "share of the instructions in the ground truth that hold; or its one function"},
    {.id = "ifeval@tulu3",
     .version = "1",
     .kind = CHECK_SUITE,
     .doc = "the ground truth's function as released with Tülu 3"},
    {0},
};

static const struct check_row *const tables[] = {checks_answers,
                                                 checks_math,
                                                 checks_ifeval,
                                                 checks_ifeval_language,
                                                 checks_ifbench_count,
                                                 checks_ifbench_words,
                                                 checks_ifbench_format,
                                                 checks_ifbench_custom,
                                                 checks_ifbench_sentences,
                                                 checks_ifevalg,
                                                 checks_ifevalg_sentences,
                                                 checks_iftrain,
                                                 checks_shaping,
                                                 suites};

const struct check_row *registry_at(size_t i)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct check_row *row = tables[t]; row->id; row++) {
            if (i-- == 0) {
                return row;
            }
        }
    }
    return NULL;
}

size_t registry_count(void)
{
    size_t n = 0;
    while (registry_at(n)) {
        n++;
    }
    return n;
}

const struct check_row *registry_find(const char *id, size_t len)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct check_row *row = tables[t]; row->id; row++) {
            if (strlen(row->id) == len && memcmp(row->id, id, len) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

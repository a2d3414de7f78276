// bpe_test.c: merging by scanning and by the heap, against the definition.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "model/bpe.h"

// A random vocabulary over 4 letters in which every merge of existing tokens of up to 5 letters may
// appear.
static struct bpe *random_bpe(struct rng *r, struct spec_merge *merges, size_t *n_merges)
{
    enum { LETTERS = 4, MAX = 60 };
    char texts[LETTERS + MAX][24] = {"a", "b", "c", "d"};
    size_t n = LETTERS;
    *n_merges = 0;
    for (int i = 0; i < MAX; i++) {
        uint32_t a = rng_below(r, (uint32_t)n), b = rng_below(r, (uint32_t)n);
        if (strlen(texts[a]) + strlen(texts[b]) > 5) {
            continue;
        }
        char text[24];
        (void)snprintf(text, sizeof text, "%s%s", texts[a], texts[b]);
        size_t id = 0;
        while (id < n && strcmp(texts[id], text) != 0) {
            id++;
        }
        memcpy(texts[id], text, sizeof text);
        n += id == n;
        merges[(*n_merges)++] = (struct spec_merge){a, b, (uint32_t)id};
    }
    struct bpe *b = NULL;
    assert_int_equal(bpe_create(merges, *n_merges, NULL, &b), ERR_OK);
    return b;
}

// By definition, slowly: find the best pair from scratch each time.
static size_t merge_by_definition(const struct spec_merge *merges, size_t n_merges, uint32_t *ids,
                                  size_t n)
{
    for (;;) {
        size_t best = n, best_rank = n_merges;
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t k = n_merges; k-- > 0;) {
                if (merges[k].left == ids[i] && merges[k].right == ids[i + 1]) {
                    if (k < best_rank) {
                        best_rank = k;
                        best = i;
                    }
                    break;
                }
            }
        }
        if (best == n) {
            return n;
        }
        ids[best] = merges[best_rank].result;
        n--;
        memmove(&ids[best + 1], &ids[best + 2], (n - best - 1) * sizeof *ids);
    }
}

static void scanning_heap_and_definition_merge_alike(void **state)
{
    (void)state;
    struct rng r = rng_make(7, 1);
    for (int round = 0; round < 3000; round++) {
        struct spec_merge merges[60];
        size_t n_merges;
        struct bpe *b = random_bpe(&r, merges, &n_merges);
        uint32_t ids[BPE_SMALL], scan[BPE_SMALL], heap[BPE_SMALL];
        size_t n = rng_below(&r, BPE_SMALL + 1), n_scan = n, n_heap = n;
        for (size_t i = 0; i < n; i++) {
            ids[i] = scan[i] = heap[i] = rng_below(&r, 5);    // 4: the first merged token
        }
        n = merge_by_definition(merges, n_merges, ids, n);
        assert_int_equal(bpe_merge(b, scan, &n_scan), ERR_OK);
        assert_int_equal(bpe_merge_heap(b, heap, &n_heap), ERR_OK);
        assert_int_equal(n_scan, n);
        assert_int_equal(n_heap, n);
        assert_memory_equal(scan, ids, n * sizeof *ids);
        assert_memory_equal(heap, ids, n * sizeof *ids);
        bpe_destroy(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanning_heap_and_definition_merge_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

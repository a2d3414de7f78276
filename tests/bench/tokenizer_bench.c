// tokenizer_bench.c: how fast is a tokenizer on this text, on one core?
//
//   tokenizer_bench TOKENIZER.json TEXT [REPEATS]
//
// Encodes the text line by line (as prompts come) and as a whole, and decodes the ids. Prints one
// JSON line: bytes, ids, a hash of all ids, and megabytes (10^6) per second of processor time, the
// best of REPEATS (5) rounds. tokenize_peer.py prints the same of the `tokenizers` package;
// compare-tokenize.sh runs both in turns.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"
#include "common/fs.h"
#include "model/tokenizer.h"
#include "model/tokenizer_spec.h"
#include "tests/bench/kit.h"

static const struct bench_span never = {INFINITY, INFINITY};

// Keeps in *best the shorter of itself and the time since `from`.
static void keep_best(struct bench_span *best, struct bench_span from)
{
    struct bench_span s = bench_since(from);
    *best = (struct bench_span){MIN(best->wall, s.wall), MIN(best->cpu, s.cpu)};
}

static void check(enum err e, const struct why *why)
{
    if (e != ERR_OK) {
        (void)fprintf(stderr, "tokenizer_bench: %s\n", why->text);
        exit(2);
    }
}

static struct tokenizer *open_tokenizer(const char *path)
{
    char *json = NULL;
    size_t len = 0;
    struct tokenizer_spec *spec = NULL;
    struct tokenizer *t = NULL;
    struct why why = {""};
    check(fs_read_file(path, (size_t)1 << 30, &json, &len, &why), &why);
    check(tokenizer_json_parse(json, len, path, &spec, &why), &why);
    check(tokenizer_create(spec, &t, &why), &why);
    tokenizer_spec_destroy(spec);
    free(json);
    return t;
}

static void encode_lines(const struct tokenizer *t, const char *text, size_t len,
                         struct token_ids *ids)
{
    struct why why = {""};
    ids->n = 0;
    for (size_t i = 0; i < len;) {
        const char *end = memchr(text + i, '\n', len - i);
        size_t n = (end == NULL ? len : (size_t)(end - text) + 1) - i;
        check(tokenizer_encode(t, text + i, n, false, ids, &why), &why);
        i += n;
    }
}

static void encode_whole(const struct tokenizer *t, const char *text, size_t len,
                         struct token_ids *ids)
{
    struct why why = {""};
    ids->n = 0;
    check(tokenizer_encode(t, text, len, false, ids, &why), &why);
}

// FNV-1a over the ids, so that two programs can be seen to agree.
static uint64_t hash_of(const struct token_ids *ids)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < ids->n; i++) {
        h = (h ^ ids->ids[i]) * 0x100000001B3u;
    }
    return h;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: tokenizer_bench TOKENIZER.json TEXT [REPEATS]\n");
        return 2;
    }
    int repeats = argc > 3 ? atoi(argv[3]) : 5;
    char *text = NULL;
    size_t len = 0;
    struct why why = {""};
    struct bench_span start = bench_now();
    struct tokenizer *t = open_tokenizer(argv[1]);
    double load = bench_since(start).cpu;
    check(fs_read_file(argv[2], (size_t)1 << 28, &text, &len, &why), &why);
    struct bench_span lines = never, whole = never, back = never;
    struct token_ids ids = {0}, all = {0};
    struct buf out;
    buf_init(&out, 0);
    for (int i = 0; i < repeats; i++) {
        start = bench_now();
        encode_lines(t, text, len, &ids);
        keep_best(&lines, start);
        start = bench_now();
        encode_whole(t, text, len, &all);
        keep_best(&whole, start);
        buf_clear(&out);
        start = bench_now();
        check(tokenizer_decode(t, all.ids, all.n, false, &out, &why), &why);
        keep_best(&back, start);
    }
    double mb = (double)len / 1e6;
    (void)printf("{\"who\": \"caravan\", \"bytes\": %zu, \"load_s\": %.3f, \"ids\": %zu, "
                 "\"hash\": \"%016llx\", \"encode_lines_mb_s\": %.2f, \"encode_whole_mb_s\": %.2f, "
                 "\"decode_mb_s\": %.2f}\n",
                 len, load, ids.n, (unsigned long long)hash_of(&ids), mb / lines.cpu,
                 mb / whole.cpu, mb / back.cpu);
    token_ids_fini(&ids);
    token_ids_fini(&all);
    buf_fini(&out);
    free(text);
    tokenizer_destroy(t);
    return 0;
}

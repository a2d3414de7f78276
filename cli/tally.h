// tally.h: how often each text occurred, for sums at the end of a report.
//
// At most TALLY_MAX different texts are kept apart, so that a file in which every line fails in its
// own way fills a page and not the memory; the others are counted together. One thread.
#ifndef CARAVAN_CLI_TALLY_H
#define CARAVAN_CLI_TALLY_H

#include <stddef.h>
#include <stdio.h>

enum { TALLY_MAX = 256 };

struct tally {
    struct tally_entry {
        char *text;
        size_t n, order;    // order: of first occurrence
    } entries[TALLY_MAX];
    size_t len;
    size_t others;    // occurrences of texts that found no place
};

void tally_add(struct tally *t, const char *text, size_t len);
// The most frequent first, `most` of them, equals in the order of their first occurrence; what is
// left is one line. Sorts the entries.
void tally_print(struct tally *t, size_t most, FILE *out);
void tally_fini(struct tally *t);    // zeroed struct is fine

#endif

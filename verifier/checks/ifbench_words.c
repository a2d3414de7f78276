// ifbench_words.c: IFBench: words, sentences and repetition.
#include "verifier/checks/tables.h"

const struct check_row checks_ifbench_words[] = {
    {0},
};

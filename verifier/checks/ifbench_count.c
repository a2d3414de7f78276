// ifbench_count.c: IFBench (Pyatkin et al., 2025): counting and ratios.
#include "verifier/checks/tables.h"

const struct check_row checks_ifbench_count[] = {
    {0},
};

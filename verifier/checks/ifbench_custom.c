// ifbench_custom.c: IFBench: one-off instructions.
#include "verifier/checks/tables.h"

const struct check_row checks_ifbench_custom[] = {
    {0},
};

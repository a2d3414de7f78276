// ifbench_format.c: IFBench: formats.
#include "verifier/checks/tables.h"

const struct check_row checks_ifbench_format[] = {
    {0},
};

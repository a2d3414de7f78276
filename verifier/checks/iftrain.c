// iftrain.c: the functions of Tülu 3's RLVR-IF training set.
#include "verifier/checks/tables.h"

const struct check_row checks_iftrain[] = {
    {0},
};

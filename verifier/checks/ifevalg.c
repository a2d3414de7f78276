// ifevalg.c: the further instructions of open-instruct's later training suite.
#include "verifier/checks/tables.h"

const struct check_row checks_ifevalg[] = {
    {0},
};

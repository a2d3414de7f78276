// worker_main.c: caravan-verify-worker, started by the pool (crew.c) and by nothing else; see
// worker.h for its command line.
//
// Under AddressSanitizer a fault must still look like a fault to the pool, so the sanitizer's own
// signal handlers stay out of the way.
#include "verifier/worker.h"

__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:detect_leaks=0";
}

int main(int argc, char **argv)
{
    worker_run(argc, argv, askbook_run);
}

// saver.c: one thread per save. A save comes once a minute and moves gigabytes; a thread that is
// made for it and joined after it needs no mailbox and no state of its own.
//
// The thread is nicer than the others: the state goes to disk while two daemons compute on the same
// cores, and nobody waits for it.
#include "learner/saver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NICE = 5 };

static void *saver_main(void *arg)
{
    struct saver *s = arg;
    struct why why = {""};
    // Linux takes a thread's id for a process here. Advice only.
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    enum err e = checkpoint_save(&s->state, s->dir, s->cancel, &why);
    s->done(s->arg, e, &why);
    return NULL;
}

enum err saver_begin(struct saver *s, const struct checkpoint *state, const char *dir,
                     const atomic_bool *cancel, saver_done_fn *done, void *arg, struct why *why)
{
    saver_wait(s);
    *s = (struct saver){
        .state = *state, .dir = strdup(dir), .cancel = cancel, .done = done, .arg = arg};
    if (!s->dir || pthread_create(&s->thread, NULL, saver_main, s) != 0) {
        free(s->dir);
        *s = (struct saver){0};
        return why_set(why, ERR_NOMEM, "checkpoint: cannot start a thread");
    }
    s->runs = true;
    return ERR_OK;
}

void saver_wait(struct saver *s)
{
    if (s->runs) {
        pthread_join(s->thread, NULL);
        free(s->dir);
        *s = (struct saver){0};
    }
}

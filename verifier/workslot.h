// workslot.h: one worker process, from spawn to reaped, on the loop thread. Internal to the
// verifier: crew.c decides what it works on.
//
//   EMPTY -start-> STARTING -READY-> UP -exit or kill-> ENDING -reaped, closed-> EMPTY
//
// Frames written while UP are gathered until workslot_flush, and replies arrive in batches: one
// system call moves as many small jobs as there are. A slot is reusable: start may be called again
// from the `gone` event.
#ifndef CARAVAN_VERIFIER_WORKSLOT_H
#define CARAVAN_VERIFIER_WORKSLOT_H

#include "verifier/jobframe.h"
#include "verifier/sandbox.h"

#include <uv.h>    // after base.h: system headers define MIN and MAX too

enum workslot_state { WORKSLOT_EMPTY, WORKSLOT_STARTING, WORKSLOT_UP, WORKSLOT_ENDING };

// Why a worker is no more.
enum workslot_end {
    WORKSLOT_END_EXIT,     // it ended by itself: exit status or signal
    WORKSLOT_END_STOP,     // workslot_kill
    WORKSLOT_END_START,    // it could not be started, did not confirm its sandbox, or took too long
                           // to
    WORKSLOT_END_DEADLINE,    // its job took too long
    WORKSLOT_END_GARBAGE,     // it wrote something that is not a reply to its job
};

struct workslot_launch {
    const char *binary;    // absolute path
    enum sandbox_level level;
    uint32_t memory_mb, cpu_s, start_ms;
    const char *host;    // NULL, or what the worker does with the plug-in: "object", "program"
    int host_fd;         // the plug-in's file, readable; the worker gets it as descriptor 3
    int group_fd;        // the list of its control group (cgroup.h), which it joins first; -1: none
};

struct workslot;
struct workslot_events {
    void (*ready)(void *owner, struct workslot *s, const struct jobframe_reply *ready);
    // A RESULT or ASK; false: it answers nothing that is asked, and the worker ends as garbage.
    bool (*reply)(void *owner, struct workslot *s, struct jobframe_reply *reply);
    // After the last reply of a batch, while the slot is UP.
    void (*batch)(void *owner, struct workslot *s);
    // -> EMPTY; cause is text for people: "crash SIGSEGV", "timeout after 5000 ms". May start the
    // slot again.
    void (*gone)(void *owner, struct workslot *s, enum workslot_end end, const char *cause);
};

struct workslot {
    const struct workslot_events *events;
    void *owner;
    enum workslot_state state;
    enum workslot_end end;
    char cause[SCORE_CAUSE_BYTES];    // set when a slot is killed, else made from the exit status
    enum sandbox_level level;
    uv_process_t process;
    uv_pipe_t to, from;
    uv_timer_t timer;    // start, job deadline, then reaping
    uv_write_t write;
    struct buf gathered, writing;    // writing: in libuv's hands while is_writing
    bool is_writing, exited, eof;
    int open_handles;    // process and pipes
    uint32_t deadline_ms;
    uint8_t in[JOBFRAME_HEAD_BYTES + JOBFRAME_REPLY_MAX];
    size_t n_in;
};

void workslot_init(struct workslot *s, uv_loop_t *loop, const struct workslot_events *events,
                   void *owner);
// EMPTY slots only. Failures arrive as `gone` with WORKSLOT_END_START, never from inside this call.
void workslot_start(struct workslot *s, const struct workslot_launch *launch);
// UP slots only: copies a whole frame behind what is gathered.
MUST_CHECK enum err workslot_put(struct workslot *s, const struct buf *frame);
void workslot_flush(struct workslot *s);
// From now on the worker has so long to answer; 0 takes the deadline away.
void workslot_deadline(struct workslot *s, uint32_t ms);
// Any state, by SIGKILL (a worker holds nothing to save); nothing when EMPTY or ENDING.
void workslot_kill(struct workslot *s);
// EMPTY slots only: closes the timer; `closed` is called with the timer's handle, whose data is the
// slot.
void workslot_close(struct workslot *s, uv_close_cb closed);

#endif

/* How processors wait for each other: one mutex and condition for a model, and an atomic count of steps per processor. */
#ifndef HP_GATE_H
#define HP_GATE_H

#include "hetpart.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_bool stopped; /* the run (or the load) failed: whoever waits gives up */
    hp_error failure;    /* the first one */
    unsigned run;        /* number of the run in progress, from 1 */
    unsigned busy;       /* processors that are still opening or running */
    bool closing;
};

/* One processor's progress through its steps. */
typedef atomic_uint progress;

bool hp_gate_open(struct gate *gate);
void hp_gate_close(struct gate *gate);

/* Wait until `*done` is at least `count`: spins shortly, then sleeps. False if the run was stopped. */
bool hp_gate_await(struct gate *gate, progress *done, unsigned count);

/* Set `*done` and wake those who wait. */
void hp_gate_publish(struct gate *gate, progress *done, unsigned count);

/* Record a failure (the first one counts) and stop the run. */
void hp_gate_stop(struct gate *gate, const hp_error *failure);

#endif

/* A processor: a thread of its own that opens the device, then executes the steps of its list in every run. */
#ifndef HP_PROCESSOR_H
#define HP_PROCESSOR_H

#include "gate.h"
#include "plan.h"
#include "trace.h"

/* What the processors of one model share. */
struct machine {
    const char *folder; /* of the bundle */
    hp_options options;
    struct plan plan;
    char *arena, *weights;
    const struct hp_module *module; /* NULL if no step needs one */
    struct gate gate;
    struct trace trace;
    struct processor *processors; /* as many as the plan has, in its order */
};

/* Functions are called on the processor's own thread, except `complete`. */
struct processor_kind {
    /* Prepare everything the steps need; on failure `close` follows. */
    hp_code (*open)(struct processor *self, hp_error *error);
    /* Execute all steps. HP_OK also if the run was stopped by another processor. */
    hp_code (*run)(struct processor *self, hp_error *error);
    void (*close)(struct processor *self);
    /* Called by another processor after `done` reached `count`: blocks until that step's results are in the arena.
     * NULL if they are at that moment. */
    hp_code (*complete)(struct processor *self, uint32_t count, hp_error *error);
};

struct processor {
    struct machine *machine;
    const struct plan_processor *plan;
    const struct processor_kind *kind;
    progress done; /* steps issued in this run */
    pthread_t thread;
    void *state; /* the kind's own */
};

extern const struct processor_kind hp_cpu, hp_opencl;

/* Wait for everything that `step` waits for. `*stopped` if the run failed elsewhere meanwhile. */
hp_code hp_step_await(struct machine *machine, const struct plan_step *step, bool *stopped, hp_error *error);

/* The step of `self` at `index` (0 based) has been issued. */
void hp_step_done(struct processor *self, uint32_t index);

/* Thread main of a processor; `argument` is its struct processor. */
void *hp_processor_main(void *argument);

#endif

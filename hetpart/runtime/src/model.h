/* A loaded model: load.c makes and frees it, model.c runs it. */
#ifndef HP_MODEL_H
#define HP_MODEL_H

#include "file.h"
#include "processor.h"

struct hp_model {
    struct machine machine;
    struct mapping arena, weights;
    void *library;
    hp_port *inputs, *outputs;
    bool *input_set;
    bool has_run;           /* outputs are there */
    uint32_t started;       /* threads */
    bool gate_opened;
    pthread_mutex_t mutex;  /* serialises calls on the model */
    char *folder, *plan_name, *fallback_reason;
};

/* Wait until no processor is at work. Called with the gate's mutex held. */
void hp_await_rest(struct gate *gate);

#endif

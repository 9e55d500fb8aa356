/* The life of a processor's thread, and the waits between processors. */
#include "processor.h"

hp_code hp_step_await(struct machine *machine, const struct plan_step *step, bool *stopped, hp_error *error)
{
    for (uint32_t w = 0; w < step->wait_count; w++) {
        const struct plan_wait *wait = &machine->plan.waits[step->first_wait + w];
        struct processor *other = &machine->processors[wait->processor];
        if (!hp_gate_await(&machine->gate, &other->done, wait->count)) {
            *stopped = true;
            return HP_OK;
        }
        if (wait->count && other->kind->complete) {
            hp_code code = other->kind->complete(other, wait->count, error);
            if (code) {
                return code;
            }
        }
    }
    return HP_OK;
}

void hp_step_done(struct processor *self, uint32_t index)
{
    if (self->machine->plan.awaited[self->plan->first_step + index]) {
        hp_gate_publish(&self->machine->gate, &self->done, index + 1);
    }
}

static void rest(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->busy--;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void *hp_processor_main(void *argument)
{
    struct processor *self = argument;
    struct gate *gate = &self->machine->gate;
    hp_error error;
    if (self->kind->open(self, &error)) {
        hp_gate_stop(gate, &error);
    }
    rest(gate);
    for (unsigned run = 1;; run++) {
        pthread_mutex_lock(&gate->mutex);
        while (gate->run < run && !gate->closing) {
            pthread_cond_wait(&gate->changed, &gate->mutex);
        }
        bool closing = gate->closing;
        pthread_mutex_unlock(&gate->mutex);
        if (closing) {
            break;
        }
        if (self->kind->run(self, &error)) {
            hp_gate_stop(gate, &error);
        }
        rest(gate);
    }
    self->kind->close(self);
    return NULL;
}

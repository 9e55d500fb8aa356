/* How processors wait for each other. */
#include "gate.h"

#include "thread.h"

bool hp_gate_open(struct gate *gate)
{
    if (pthread_mutex_init(&gate->mutex, NULL) != 0) {
        return false;
    }
    if (pthread_cond_init(&gate->changed, NULL) != 0) {
        pthread_mutex_destroy(&gate->mutex);
        return false;
    }
    return true;
}

void hp_gate_close(struct gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->mutex);
}

bool hp_gate_await(struct gate *gate, progress *done, unsigned count)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(done, memory_order_acquire) >= count) {
            return true;
        }
        if (atomic_load_explicit(&gate->stopped, memory_order_relaxed)) {
            return false;
        }
        cpu_relax();
    }
    pthread_mutex_lock(&gate->mutex);
    while (atomic_load(done) < count && !atomic_load(&gate->stopped)) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
    pthread_mutex_unlock(&gate->mutex);
    return atomic_load(done) >= count;
}

void hp_gate_publish(struct gate *gate, progress *done, unsigned count)
{
    pthread_mutex_lock(&gate->mutex);
    atomic_store_explicit(done, count, memory_order_release);
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void hp_gate_stop(struct gate *gate, const hp_error *failure)
{
    pthread_mutex_lock(&gate->mutex);
    if (!atomic_load(&gate->stopped)) {
        gate->failure = *failure;
        atomic_store(&gate->stopped, true);
    }
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

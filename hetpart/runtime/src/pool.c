/* Threads that share one kernel call. */
#include "pool.h"

#include "thread.h"

#include <stdlib.h>

enum { PIECES_PER_THREAD = 4 }; /* fine enough that a little core does not keep the big ones waiting */

/* Take pieces of the job until none is left. */
static void work(struct pool_thread *self)
{
    struct pool *pool = self->pool;
    const struct job *job = &pool->job;
    struct tvm_any *lo = &self->scratch[job->arg_count], *hi = lo + 1;
    self->failed = false;
    memcpy(self->scratch, job->args, job->arg_count * sizeof *job->args);
    *lo = *hi = (struct tvm_any){.type_index = TVM_INT};
    while (!self->failed) {
        uint32_t start = atomic_fetch_add(&pool->next, pool->piece);
        if (start >= job->extent) {
            break;
        }
        uint32_t left = job->extent - start;
        lo->value.integer = start;
        hi->value.integer = start + (left < pool->piece ? left : pool->piece);
        self->failed = !hp_tvm_call(&self->tvm, job->kernel, self->scratch, job->arg_count + 2);
    }
}

static void *helper_main(void *argument)
{
    struct pool_thread *self = argument;
    struct pool *pool = self->pool;
    hp_tvm_enter(&self->tvm);
    for (unsigned number = 1;; number++) {
        for (int i = 0; i < SPIN_ROUNDS && atomic_load(&pool->number) != number; i++) {
            cpu_relax();
        }
        pthread_mutex_lock(&pool->mutex);
        while (atomic_load(&pool->number) != number && !pool->closing) {
            pthread_cond_wait(&pool->changed, &pool->mutex);
        }
        bool closing = pool->closing;
        pthread_mutex_unlock(&pool->mutex);
        if (closing) {
            break;
        }
        work(self);
        if (atomic_fetch_sub(&pool->working, 1) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_broadcast(&pool->changed);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
    hp_tvm_leave(&self->tvm);
    return NULL;
}

hp_code hp_pool_open(struct pool *pool, uint32_t count, uint64_t cores, uint32_t max_args, hp_error *error)
{
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->changed, NULL);
    pool->threads = calloc(count, sizeof *pool->threads);
    if (!pool->threads) {
        return hp_fail(error, HP_MEMORY, "no memory for %u threads", count);
    }
    pool->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct pool_thread *thread = &pool->threads[i];
        thread->pool = pool;
        thread->scratch = calloc((size_t)max_args + 2, sizeof *thread->scratch);
        if (!thread->scratch) {
            return hp_fail(error, HP_MEMORY, "no memory for %u kernel arguments", max_args);
        }
    }
    hp_code code = pin_thread(cores, error); /* the helpers inherit it */
    if (code) {
        return code;
    }
    for (uint32_t i = 1; i < count; i++) {
        int status = pthread_create(&pool->threads[i].thread, NULL, helper_main, &pool->threads[i]);
        if (status) {
            return hp_fail(error, HP_THREAD, "cannot start CPU thread %u: %s", i, strerror(status));
        }
        pool->started++;
    }
    hp_tvm_enter(&pool->threads[0].tvm);
    return HP_OK;
}

static const char *failure(const struct pool_thread *thread)
{
    return !thread->failed ? NULL : thread->tvm.error[0] ? thread->tvm.error : "failed without a message";
}

/* Wait until the helpers have finished the job: none of them may still look at it when the next one is written. */
static void await_helpers(struct pool *pool)
{
    for (int i = 0; i < SPIN_ROUNDS && atomic_load(&pool->working); i++) {
        cpu_relax();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load(&pool->working)) {
        pthread_cond_wait(&pool->changed, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

const char *hp_pool_run(struct pool *pool, const struct job *job)
{
    struct pool_thread *self = &pool->threads[0];
    if (!job->ranged) {
        self->failed = !hp_tvm_call(&self->tvm, job->kernel, job->args, job->arg_count);
        return failure(self);
    }
    bool alone = pool->count == 1 || job->extent <= 1;
    uint32_t pieces = pool->count * PIECES_PER_THREAD;
    pool->job = *job;
    pool->piece = alone ? job->extent : (job->extent + pieces - 1) / pieces;
    atomic_store(&pool->next, 0);
    if (alone) {
        work(self);
        return failure(self);
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->working, pool->count - 1);
    atomic_fetch_add(&pool->number, 1);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    work(self);
    await_helpers(pool);
    for (uint32_t i = 0; i < pool->count; i++) {
        if (failure(&pool->threads[i])) {
            return failure(&pool->threads[i]);
        }
    }
    return NULL;
}

void hp_pool_close(struct pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 1; i <= pool->started; i++) {
        pthread_join(pool->threads[i].thread, NULL);
    }
    for (uint32_t i = 0; i < pool->count; i++) {
        free(pool->threads[i].scratch);
    }
    if (pool->threads) {
        hp_tvm_leave(&pool->threads[0].tvm);
    }
    free(pool->threads);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
}

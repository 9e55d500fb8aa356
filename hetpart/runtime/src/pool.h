/* Threads that share one kernel call: they take [lo, hi) pieces of its work items as fast as each of them can. */
#ifndef HP_POOL_H
#define HP_POOL_H

#include "tvm.h"

#include "hetpart.h"

#include <pthread.h>
#include <stdatomic.h>

/* A kernel call over work items [0, extent). */
struct job {
    hp_kernel_fn kernel;
    const struct tvm_any *args; /* without lo and hi */
    uint32_t arg_count;
    uint32_t extent;
    bool ranged; /* the kernel takes lo and hi; if not, one thread calls it once */
};

struct pool;

/* One thread's part: `scratch` has room for the longest argument list, and lo and hi. */
struct pool_thread {
    struct pool *pool;
    struct tvm_thread tvm;
    struct tvm_any *scratch;
    pthread_t thread;
    bool failed;
};

struct pool {
    struct pool_thread *threads; /* [0] is the thread that calls hp_pool_run */
    uint32_t count, started;     /* started: helpers, count - 1 in the end */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job job;
    uint32_t piece;
    atomic_uint next;    /* first work item nobody has taken */
    atomic_uint number;  /* of the job; helpers act when it changes */
    atomic_uint working; /* helpers that have not finished the job */
    bool closing;
};

/* Start `count` - 1 helpers on `cores` and make the caller the first thread. On failure hp_pool_close follows. */
hp_code hp_pool_open(struct pool *pool, uint32_t count, uint64_t cores, uint32_t max_args, hp_error *error);

/* Run the job to its end. Returns NULL, or the text of a kernel's error. */
const char *hp_pool_run(struct pool *pool, const struct job *job);

void hp_pool_close(struct pool *pool);

#endif

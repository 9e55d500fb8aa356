/* The services that TVM kernels call back: workspace, parallel launch, errors. */
#include "tvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE_ALIGNMENT = 128 }; /* TVM's own runtime promises 64; 128 keeps a chunk's size in front of it apart */

static _Thread_local struct tvm_thread *current;

static size_t rounded(uint64_t bytes)
{
    return (size_t)((bytes + WORKSPACE_ALIGNMENT - 1) / WORKSPACE_ALIGNMENT * WORKSPACE_ALIGNMENT);
}

static void *aligned(size_t bytes)
{
    void *pointer;
    return posix_memalign(&pointer, WORKSPACE_ALIGNMENT, bytes) == 0 ? pointer : NULL;
}

static void *alloc_workspace(int device_type, int device_id, uint64_t bytes, int dtype_code, int dtype_bits)
{
    (void)device_type, (void)device_id, (void)dtype_code, (void)dtype_bits;
    struct tvm_thread *thread = current;
    char *pointer;
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t size = rounded(bytes ? bytes : 1); /* every allocation has an address of its own */
    if (size <= thread->capacity - thread->used) {
        pointer = thread->block + thread->used;
        thread->used += size;
    } else {
        struct tvm_overflow *chunk = aligned(WORKSPACE_ALIGNMENT + size);
        if (!chunk) {
            return NULL;
        }
        *chunk = (struct tvm_overflow){thread->overflow, size};
        thread->overflow = chunk;
        pointer = (char *)chunk + WORKSPACE_ALIGNMENT;
    }
    thread->demand += size;
    if (thread->demand > thread->peak) {
        thread->peak = thread->demand;
    }
    return pointer;
}

static void free_overflow(struct tvm_thread *thread)
{
    struct tvm_overflow *chunk = thread->overflow;
    thread->overflow = chunk->before;
    thread->demand -= chunk->bytes;
    free(chunk);
}

static int free_workspace(int device_type, int device_id, void *pointer)
{
    (void)device_type, (void)device_id;
    struct tvm_thread *thread = current;
    char *start = pointer;
    if (thread->used && start >= thread->block && start < thread->block + thread->used) {
        size_t offset = (size_t)(start - thread->block);
        thread->demand -= thread->used - offset;
        thread->used = offset;
    } else if (thread->overflow && start == (char *)thread->overflow + WORKSPACE_ALIGNMENT) {
        free_overflow(thread);
    } else {
        return -1; /* not in reverse order, or never allocated */
    }
    return 0;
}

/* TVMParallelGroupEnv. */
struct parallel_environment {
    void *sync;
    int32_t tasks;
};

/* The runtime shares kernels out by [lo, hi) ranges; a loop that TVM made parallel runs here as a single task. */
static int parallel_launch(int (*task)(int, void *, void *), void *data, int tasks)
{
    struct parallel_environment environment = {NULL, 1};
    (void)tasks;
    return task(0, &environment, data);
}

static void raise_error(const char *kind, const char **parts, int32_t count)
{
    struct tvm_thread *thread = current;
    size_t used = (size_t)snprintf(thread->error, sizeof thread->error, "%s: ", kind);
    for (int32_t i = 0; i < count && used < sizeof thread->error; i++) {
        if (parts[i]) {
            used += (size_t)snprintf(thread->error + used, sizeof thread->error - used, "%s", parts[i]);
        }
    }
}

const struct hp_hooks hp_tvm_hooks = {alloc_workspace, free_workspace, parallel_launch, raise_error};

void hp_tvm_enter(struct tvm_thread *thread)
{
    current = thread;
}

bool hp_tvm_call(struct tvm_thread *thread, hp_kernel_fn kernel, const struct tvm_any *args, uint32_t count)
{
    struct tvm_any result = {0};
    thread->error[0] = '\0';
    int status = kernel(NULL, args, (int32_t)count, &result);
    while (thread->overflow) { /* only of a kernel that failed between allocating and freeing */
        free_overflow(thread);
    }
    thread->used = thread->demand = 0;
    if (thread->peak > thread->capacity) {
        free(thread->block);
        thread->block = aligned(thread->peak);
        thread->capacity = thread->block ? thread->peak : 0; /* without a block, the next call overflows again */
    }
    return status == 0;
}

void hp_tvm_leave(struct tvm_thread *thread)
{
    free(thread->block);
    thread->block = NULL;
    current = NULL;
}

/* Mirrors of the DLPack and TVM FFI structs that kernels are called with, and the services they call back. */
#ifndef HP_TVM_H
#define HP_TVM_H

#include "module.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DLTensor (dlpack.h). */
struct dl_tensor {
    void *data;
    int32_t device_type, device_id;
    int32_t dims;
    uint32_t dtype; /* DLDataType: code, bits << 8, lanes << 16 */
    int64_t *shape;
    int64_t *strides; /* NULL: dense, row-major */
    uint64_t byte_offset;
};

/* TVMFFIAny (tvm/ffi/c_api.h). */
struct tvm_any {
    int32_t type_index;
    uint32_t padding;
    union {
        int64_t integer;
        void *pointer;
    } value;
};

enum { DL_CPU = 1, TVM_INT = 1, TVM_DLTENSOR = 7 };

_Static_assert(sizeof(struct tvm_any) == 16, "TVMFFIAny");
_Static_assert(sizeof(void *) != 8 || sizeof(struct dl_tensor) == 48, "DLTensor");

/*
 * What a thread needs while it runs kernels. TVM frees workspaces in the reverse order of allocation, so they are cut
 * from one block; an allocation that does not fit is malloc'ed, and the block grows to the peak when the kernel ends.
 */
struct tvm_overflow {
    struct tvm_overflow *before;
    size_t bytes; /* of the workspace behind this */
};

struct tvm_thread {
    char *block;
    size_t capacity, used;
    struct tvm_overflow *overflow; /* the last one */
    size_t demand, peak;           /* bytes in use, overflow included, and their maximum */
    char error[512]; /* what the kernel raised last */
};

/* Makes `thread` (zeroed at first) the calling thread's. */
void hp_tvm_enter(struct tvm_thread *thread);

/* Call a kernel on the entered thread; false if it failed, with its text in `thread->error`. */
bool hp_tvm_call(struct tvm_thread *thread, hp_kernel_fn kernel, const struct tvm_any *args, uint32_t count);

void hp_tvm_leave(struct tvm_thread *thread);

extern const struct hp_hooks hp_tvm_hooks;

#endif

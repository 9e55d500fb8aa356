/*
 * The module of CPU kernels: what a bundle's libmodel.so or model.o exports as `hp_module`.
 *
 * Kernels are TVM's: `int __tvm_ffi_NAME(self, args, count, result)`. Their objects expect a few services under fixed
 * names; the table that is compiled into the module (hetpart/bundle/toolchain.py) defines these names and forwards
 * them to the hooks below, so that the module itself depends on nothing but the C library. Needs no headers of it.
 */
#ifndef HP_MODULE_H
#define HP_MODULE_H

#include <stdint.h>

enum { HP_MODULE_ABI = 2 };

typedef int (*hp_kernel_fn)(void *self, const void *args, int32_t count, void *result);

struct hp_kernel {
    const char *name; /* without the __tvm_ffi_ prefix */
    hp_kernel_fn run;
};

/* TVM's backend services (tvm/runtime/base.h, c_backend_api.h). */
struct hp_hooks {
    void *(*alloc_workspace)(int device_type, int device_id, uint64_t bytes, int dtype_code, int dtype_bits);
    int (*free_workspace)(int device_type, int device_id, void *pointer);
    int (*parallel_launch)(int (*task)(int index, void *environment, void *data), void *data, int tasks);
    void (*raise)(const char *kind, const char **parts, int32_t count);
};

struct hp_module {
    uint32_t abi; /* HP_MODULE_ABI */
    uint32_t kernel_count;
    uint64_t digest; /* of the kernels' objects: the plans that call them name it */
    const struct hp_kernel *kernels; /* sorted by name */
    void (*set_hooks)(const struct hp_hooks *hooks);
};

#endif

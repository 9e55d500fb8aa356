/*
 * The plan file: what each processor runs, in which order, on which bytes.
 *
 * Little-endian. A header, then arrays of the structs below, without gaps, in the order of the pointers in
 * `struct plan`: dims, processors, images, parts, buffers, inputs, outputs, steps, waits, transfers, args, strings. A
 * string is an offset into `strings`, where it ends with a NUL. Written by hetpart/bundle/planfile.py, which names each
 * field.
 */
#ifndef HP_PLAN_H
#define HP_PLAN_H

#include "hetpart.h"

#include <stdbool.h>

enum { PLAN_VERSION = 3, PLAN_MAX_PROCESSORS = 8, PLAN_MAX_DIMS = 16, PLAN_MAX_THREADS = 64 };
enum { KIND_CPU = 1, KIND_OPENCL = 2, KIND_HEXAGON = 3 };
enum { SPACE_ARENA = 0, SPACE_WEIGHTS = 1, SPACE_IMAGE = 2, SPACE_TEXTURE = 3 };
enum { DTYPE_FLOAT16 = 0x11002, DTYPE_FLOAT32 = 0x12002 };
enum { STEP_RANGED = 1, STEP_GROUPED = 2 }; /* grouped: the kernel works with its local size only */
#define PLAN_ARG_WRITTEN 0x80000000u /* set in an arg that the kernel writes */

struct plan_header {
    char magic[8]; /* "HETPLAN", NUL */
    uint64_t version;
    uint64_t digest; /* of all bytes behind this field */
    uint64_t file_bytes, arena_bytes, weights_bytes, predicted_us;
    uint64_t module; /* the `digest` of the module of CPU kernels */
    uint32_t dim_count, processor_count, image_count, part_count, buffer_count, input_count;
    uint32_t output_count, step_count, wait_count, transfer_count, arg_count, string_bytes;
};

struct plan_processor {
    uint32_t name, kind, first_step, step_count, threads, reserved;
};

/* Of the OpenCL processor, for values that only it sees; texels of four channels of `dtype`. */
struct plan_image {
    uint32_t width, height, dtype, reserved;
};

/* A file of the bundle that the runtime may load: what it must hold. */
struct plan_part {
    uint32_t name, reserved;
    uint64_t bytes, digest;
};

/* `dtype` is a DLDataType: code, bits << 8, lanes << 16. A view of an image has columns for bytes, and its shape is
 * (rows, columns, 4); so is that of a texture, which is made of weights. */
struct plan_buffer {
    uint32_t name, root, space, dtype, first_dim, dim_count;
    uint64_t offset, bytes;
    uint32_t image, reserved;
};

struct plan_port {
    uint32_t name, buffer, dtype, first_dim, dim_count, reserved;
};

struct plan_step {
    uint32_t unit, kernel;
    uint32_t first_arg, arg_count, first_wait, wait_count, first_transfer, transfer_count;
    uint32_t flags, extent;
    uint32_t global_size[3], local_size[3], offset[3];
    uint32_t predicted_us, reserved;
};

struct plan_wait {
    uint32_t processor, count;
};

struct plan_transfer {
    uint32_t buffer, source;
};

_Static_assert(sizeof(struct plan_header) == 112, "plan file layout");
_Static_assert(sizeof(struct plan_processor) == 24, "plan file layout");
_Static_assert(sizeof(struct plan_part) == 24, "plan file layout");
_Static_assert(sizeof(struct plan_buffer) == 48, "plan file layout");
_Static_assert(sizeof(struct plan_port) == 24, "plan file layout");
_Static_assert(sizeof(struct plan_step) == 84, "plan file layout");

struct plan {
    char *bytes; /* the file; owned */
    const struct plan_header *header;
    const int64_t *dims;
    const struct plan_processor *processors;
    const struct plan_image *images;
    const struct plan_part *parts;
    const struct plan_buffer *buffers;
    const struct plan_port *inputs, *outputs;
    const struct plan_step *steps;
    const struct plan_wait *waits;
    const struct plan_transfer *transfers;
    const uint32_t *args;
    const char *strings;
    bool *awaited; /* per step: another processor waits for it; owned */
};

/* Reads and checks a plan: whatever the file holds, a plan that is returned can be executed without leaving its
 * memory and without waiting forever. Release with hp_plan_free, also after a failure. */
hp_code hp_plan_read(const char *path, struct plan *plan, hp_error *error);

void hp_plan_free(struct plan *plan);

/* Contents check of hp_plan_read (plan_check.c); also fills `awaited`. */
hp_code hp_plan_check(struct plan *plan, const char *path, hp_error *error);

/* Bytes of a dense tensor, or UINT64_MAX if the type is unknown, a dimension negative or the product too large. */
uint64_t hp_tensor_bytes(uint32_t dtype, const int64_t *shape, uint32_t dim_count);

/* numpy's name of a DLDataType; NULL for one that no plan may hold. */
const char *hp_dtype_name(uint32_t dtype);

static inline const char *plan_string(const struct plan *plan, uint32_t offset)
{
    return plan->strings + offset;
}

static inline uint32_t plan_arg_buffer(uint32_t arg)
{
    return arg & ~PLAN_ARG_WRITTEN;
}

#endif

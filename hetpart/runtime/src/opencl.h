/* What the two halves of the OpenCL processor share: opencl_open.c prepares everything, opencl.c runs it. */
#ifndef HP_OPENCL_H
#define HP_OPENCL_H

#include "opencl_api.h"
#include "processor.h"

enum command_kind { COMMAND_WRITE, COMMAND_KERNEL, COMMAND_READ };

/* One entry of the queue. */
struct command {
    enum command_kind kind;
    uint32_t step;   /* index in this processor's list */
    uint32_t buffer; /* moved by a write or read */
    bool last;       /* of its step */
    cl_event event;  /* of the run in progress, if anybody needs it */
    uint64_t issued_ns;
};

struct opencl {
    struct opencl_api api;
    cl_device_id device;
    char device_name[128];
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_mem arena;
    cl_mem *buffers;    /* per buffer of the plan; NULL where OpenCL does not touch it, and for views of images */
    cl_mem *images;     /* per image of the plan */
    cl_kernel *kernels; /* per step, arguments set */
    struct command *commands;
    uint32_t command_count;
    struct command **last; /* per step: its last command */
};

/* `open` and `close` of struct processor_kind; `self->state` is a struct opencl between them. */
hp_code hp_opencl_open_processor(struct processor *self, hp_error *error);
void hp_opencl_close_processor(struct processor *self);

/* Compile kernels.cl, or take it from the cache (opencl_program.c). */
hp_code hp_opencl_build_program(struct processor *self, hp_error *error);

/* The memory object of a plan buffer, made at its first use (opencl_memory.c). */
hp_code hp_opencl_memory(struct processor *self, uint32_t index, cl_mem *memory, hp_error *error);

/* The arena and the images. */
hp_code hp_opencl_open_memory(struct processor *self, hp_error *error);
void hp_opencl_close_memory(struct processor *self);

/* Drop the events of the last run. */
void hp_opencl_release_events(struct opencl *gpu);

/* "`what` "`name`" on this device: status", the name left out if it is empty. Returns HP_OPENCL. */
hp_code hp_opencl_failed(const struct opencl *gpu, const char *what, const char *name, cl_int status, hp_error *error);

#endif

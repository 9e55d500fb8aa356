/*
 * A GPU as a processor: one in-order OpenCL queue, fed by the processor's thread.
 *
 * Memory. The arena is one cl_mem with CL_MEM_USE_HOST_PTR over the host's arena, each plan buffer a sub-buffer of it.
 * What crosses over is written and read explicitly, from and to the very host memory the sub-buffer lies on. OpenCL
 * 1.2 (5.2.2, notes on clEnqueueReadBuffer and clEnqueueWriteBuffer) allows that pointer provided that all commands
 * on the buffer are done and none starts before the copy ends: one in-order queue. Where device and host share the
 * memory the driver sees equal addresses and copies nothing; where the driver keeps a copy of its own, these are the
 * copies that are needed and no others. Mapping would need no less work for the driver, but gives the CPU a region
 * only between map and unmap, so each buffer's ownership would have to be tracked and mapped before the CPU writes.
 * Weights are copied in once (CL_MEM_COPY_HOST_PTR): their pages in the file's mapping can then be dropped.
 *
 * Order. Commands are issued as far ahead as the plan's waits allow; a step that others wait for leaves an event,
 * which the waiting processor's thread waits for (opencl_complete). Nothing drains the queue before the run's end.
 */
#include "opencl_api.h"
#include "processor.h"
#include "file.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

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
    cl_mem *buffers;    /* per buffer of the plan; NULL where OpenCL does not touch it */
    cl_kernel *kernels; /* per step, arguments set */
    struct command *commands;
    uint32_t command_count;
    struct command **last; /* per step: its last command */
};

static hp_code failed(const struct opencl *gpu, const char *what, const char *name, cl_int status, hp_error *error)
{
    return hp_fail(error, HP_OPENCL, "%s \"%s\" on %s: %s", what, name, gpu->device_name, hp_opencl_status(status));
}

static hp_code open_device(struct processor *self, hp_error *error)
{
    struct opencl *gpu = self->state;
    struct machine *machine = self->machine;
    uint64_t cores = machine->options.opencl_cores;
    cl_int status;
    hp_code code = pin_thread(cores, error);
    if (code) {
        return code;
    }
    if (cores) { /* PoCL starts as many threads, which inherit this thread's cores; other drivers do not look at it */
        char count[16];
        snprintf(count, sizeof count, "%d", __builtin_popcountll(cores));
        setenv("POCL_MAX_PTHREAD_COUNT", count, 0);
    }
    if ((code = hp_opencl_open(&gpu->api, error)) ||
        (code = hp_opencl_device(&gpu->api, &gpu->device, gpu->device_name, sizeof gpu->device_name, error))) {
        return code;
    }
    gpu->context = gpu->api.CreateContext(NULL, 1, &gpu->device, NULL, NULL, &status);
    if (!gpu->context) {
        return failed(gpu, "context", "", status, error);
    }
    cl_bitfield properties = machine->options.trace ? CL_QUEUE_PROFILING_ENABLE : 0;
    gpu->queue = gpu->api.CreateCommandQueue(gpu->context, gpu->device, properties, &status);
    return gpu->queue ? HP_OK : failed(gpu, "queue", "", status, error);
}

static hp_code build_program(struct processor *self, hp_error *error)
{
    struct opencl *gpu = self->state;
    char *source = NULL;
    size_t bytes;
    cl_int status;
    char *path = hp_join(self->machine->folder, "gpu/kernels.cl");
    hp_code code = path ? hp_read_file(path, &source, &bytes, error) : hp_fail(error, HP_MEMORY, "no memory");
    free(path);
    if (code) {
        return code;
    }
    const char *text = source;
    gpu->program = gpu->api.CreateProgramWithSource(gpu->context, 1, &text, &bytes, &status);
    free(source);
    if (!gpu->program) {
        return failed(gpu, "source", "gpu/kernels.cl", status, error);
    }
    status = gpu->api.BuildProgram(gpu->program, 1, &gpu->device, "-cl-std=CL1.2", NULL, NULL);
    if (status) {
        size_t length = 0;
        gpu->api.GetProgramBuildInfo(gpu->program, gpu->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &length);
        char *log = calloc(length + 1, 1);
        if (log) {
            gpu->api.GetProgramBuildInfo(gpu->program, gpu->device, CL_PROGRAM_BUILD_LOG, length, log, NULL);
        }
        hp_fail(error, HP_OPENCL, "gpu/kernels.cl does not build on %s: %s\n%s", gpu->device_name,
                hp_opencl_status(status), log ? log : "");
        free(log);
        return HP_OPENCL;
    }
    return HP_OK;
}

/* The memory object of a plan buffer, made at its first use. */
static hp_code make_buffer(struct processor *self, uint32_t index, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct machine *machine = self->machine;
    const struct plan_buffer *buffer = &machine->plan.buffers[index];
    const char *name = plan_string(&machine->plan, buffer->name);
    cl_int status = CL_SUCCESS;
    if (gpu->buffers[index]) {
        return HP_OK;
    }
    if (buffer->bytes == 0) {
        return hp_fail(error, HP_PLAN, "buffer \"%s\" of an OpenCL step is empty", name);
    }
    if (buffer->space == SPACE_WEIGHTS) {
        gpu->buffers[index] = gpu->api.CreateBuffer(gpu->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
                                                    buffer->bytes, machine->weights + buffer->offset, &status);
    } else {
        cl_uint alignment_bits = 0;
        gpu->api.GetDeviceInfo(gpu->device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof alignment_bits, &alignment_bits,
                               NULL);
        if (alignment_bits && buffer->offset % (alignment_bits / 8) != 0) {
            return hp_fail(error, HP_OPENCL, "buffer \"%s\" is at %llu, %s wants multiples of %u bytes", name,
                           (unsigned long long)buffer->offset, gpu->device_name, alignment_bits / 8);
        }
        cl_buffer_region region = {buffer->offset, buffer->bytes};
        gpu->buffers[index] = gpu->api.CreateSubBuffer(gpu->arena, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                                       &region, &status);
    }
    return gpu->buffers[index] ? HP_OK : failed(gpu, "buffer", name, status, error);
}

static hp_code make_kernel(struct processor *self, uint32_t index, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct plan *plan = &self->machine->plan;
    const struct plan_step *step = &plan->steps[self->plan->first_step + index];
    const char *name = plan_string(plan, step->kernel);
    cl_int status;
    cl_kernel kernel = gpu->kernels[index] = gpu->api.CreateKernel(gpu->program, name, &status);
    if (!kernel) {
        return failed(gpu, "kernel", name, status, error);
    }
    for (uint32_t a = 0; a < step->arg_count; a++) {
        uint32_t buffer = plan_arg_buffer(plan->args[step->first_arg + a]);
        hp_code code = make_buffer(self, buffer, error);
        if (code) {
            return code;
        }
        if ((status = gpu->api.SetKernelArg(kernel, a, sizeof(cl_mem), &gpu->buffers[buffer]))) {
            return failed(gpu, "argument of kernel", name, status, error);
        }
    }
    size_t limit = 0;
    size_t local = (size_t)step->local_size[0] * step->local_size[1] * step->local_size[2];
    gpu->api.GetKernelWorkGroupInfo(kernel, gpu->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof limit, &limit, NULL);
    if (limit && local > limit && !self->machine->options.unit_local_size) {
        return hp_fail(error, HP_OPENCL, "kernel \"%s\" has a local size of %zu, %s allows %zu", name, local,
                       gpu->device_name, limit);
    }
    return HP_OK;
}

static void add_command(struct opencl *gpu, enum command_kind kind, uint32_t step, uint32_t buffer)
{
    gpu->commands[gpu->command_count++] = (struct command){.kind = kind, .step = step, .buffer = buffer};
}

/*
 * The reads that belong to our step `index` (0 based): whatever other processors transfer from us in steps up to which
 * they have waited for exactly this step, and for none after it. Each buffer once.
 */
static hp_code add_reads(struct processor *self, uint32_t index, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct plan *plan = &self->machine->plan;
    const uint32_t own = (uint32_t)(self - self->machine->processors);
    const uint32_t first = gpu->command_count;
    for (uint32_t p = 0; p < plan->header->processor_count; p++) {
        uint32_t waited = 0;
        const struct plan_processor *other = &plan->processors[p];
        for (uint32_t s = other->first_step; s < other->first_step + other->step_count; s++) {
            const struct plan_step *step = &plan->steps[s];
            for (uint32_t w = 0; w < step->wait_count; w++) {
                const struct plan_wait *wait = &plan->waits[step->first_wait + w];
                if (wait->processor == own && wait->count > waited) {
                    waited = wait->count;
                }
            }
            for (uint32_t t = 0; t < step->transfer_count && waited == index + 1; t++) {
                const struct plan_transfer *transfer = &plan->transfers[step->first_transfer + t];
                bool known = transfer->source != own;
                for (uint32_t c = first; c < gpu->command_count; c++) {
                    known = known || gpu->commands[c].buffer == transfer->buffer;
                }
                if (!known) {
                    hp_code code = make_buffer(self, transfer->buffer, error);
                    if (code) {
                        return code;
                    }
                    add_command(gpu, COMMAND_READ, index, transfer->buffer);
                }
            }
        }
    }
    return HP_OK;
}

static hp_code make_commands(struct processor *self, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct plan *plan = &self->machine->plan;
    for (uint32_t i = 0; i < self->plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[self->plan->first_step + i];
        hp_code code;
        for (uint32_t t = 0; t < step->transfer_count; t++) {
            uint32_t buffer = plan->transfers[step->first_transfer + t].buffer;
            if ((code = make_buffer(self, buffer, error))) {
                return code;
            }
            add_command(gpu, COMMAND_WRITE, i, buffer);
        }
        if ((code = make_kernel(self, i, error))) {
            return code;
        }
        add_command(gpu, COMMAND_KERNEL, i, 0);
        if (plan->awaited[self->plan->first_step + i] && (code = add_reads(self, i, error))) {
            return code;
        }
        gpu->last[i] = &gpu->commands[gpu->command_count - 1];
        gpu->last[i]->last = true;
    }
    return HP_OK;
}

static hp_code opencl_open(struct processor *self, hp_error *error)
{
    const struct machine *machine = self->machine;
    const struct plan_header *header = machine->plan.header;
    struct opencl *gpu = self->state = calloc(1, sizeof *gpu);
    hp_code code;
    cl_int status;
    if (!gpu) {
        return hp_fail(error, HP_MEMORY, "no memory");
    }
    size_t commands = (size_t)self->plan->step_count + header->transfer_count + 1;
    gpu->buffers = calloc((size_t)header->buffer_count + 1, sizeof *gpu->buffers);
    gpu->kernels = calloc((size_t)self->plan->step_count + 1, sizeof *gpu->kernels);
    gpu->last = calloc((size_t)self->plan->step_count + 1, sizeof *gpu->last);
    gpu->commands = calloc(commands, sizeof *gpu->commands);
    if (!gpu->buffers || !gpu->kernels || !gpu->last || !gpu->commands) {
        return hp_fail(error, HP_MEMORY, "no memory for %zu OpenCL commands", commands);
    }
    if (self->plan->step_count == 0) {
        return HP_OK;
    }
    if ((code = open_device(self, error)) || (code = build_program(self, error))) {
        return code;
    }
    if (machine->arena) {
        gpu->arena = gpu->api.CreateBuffer(gpu->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, header->arena_bytes,
                                           machine->arena, &status);
        if (!gpu->arena) {
            return failed(gpu, "buffer", "arena", status, error);
        }
    }
    return make_commands(self, error);
}

static void release_events(struct opencl *gpu)
{
    for (uint32_t i = 0; i < gpu->command_count; i++) {
        if (gpu->commands[i].event) {
            gpu->api.ReleaseEvent(gpu->commands[i].event);
            gpu->commands[i].event = NULL;
        }
    }
}

static hp_code issue(struct processor *self, struct command *command, bool with_event, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct machine *machine = self->machine;
    const struct plan *plan = &machine->plan;
    const struct plan_step *step = &plan->steps[self->plan->first_step + command->step];
    const struct plan_buffer *buffer = &plan->buffers[command->buffer];
    cl_event *event = with_event ? &command->event : NULL;
    cl_int status = CL_SUCCESS;
    command->issued_ns = machine->options.trace ? now_ns() : 0;
    switch (command->kind) {
    case COMMAND_WRITE:
        status = gpu->api.EnqueueWriteBuffer(gpu->queue, gpu->buffers[command->buffer], CL_FALSE, 0, buffer->bytes,
                                             machine->arena + buffer->offset, 0, NULL, event);
        break;
    case COMMAND_READ:
        status = gpu->api.EnqueueReadBuffer(gpu->queue, gpu->buffers[command->buffer], CL_FALSE, 0, buffer->bytes,
                                            machine->arena + buffer->offset, 0, NULL, event);
        break;
    case COMMAND_KERNEL: {
        static const size_t ones[3] = {1, 1, 1};
        const size_t global[3] = {step->global_size[0], step->global_size[1], step->global_size[2]};
        const size_t local[3] = {step->local_size[0], step->local_size[1], step->local_size[2]};
        const size_t *group = machine->options.unit_local_size ? ones : local[0] ? local : NULL;
        status = gpu->api.EnqueueNDRangeKernel(gpu->queue, gpu->kernels[command->step], 3, NULL, global, group, 0,
                                               NULL, event);
        break;
    }
    }
    return status ? failed(gpu, "command of unit", plan_string(plan, step->unit), status, error) : HP_OK;
}

/*
 * Device times of all commands, in the host's clock. The two clocks differ by a constant that is not known, but no
 * command started before it was issued: the largest such difference is it, to within the latency of an idle queue.
 */
static void record_spans(struct processor *self)
{
    struct opencl *gpu = self->state;
    struct span *spans = self->machine->trace.rows[self - self->machine->processors].spans;
    uint64_t shift = 0;
    for (uint32_t i = 0; i < gpu->command_count; i++) {
        const struct command *command = &gpu->commands[i];
        cl_ulong start = 0, end = 0;
        gpu->api.GetEventProfilingInfo(command->event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        gpu->api.GetEventProfilingInfo(command->event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
        int64_t transfer = command->kind == COMMAND_KERNEL ? -1 : (int64_t)command->buffer;
        spans[i] = (struct span){self->plan->first_step + command->step, transfer, start, end};
        uint64_t ahead = command->issued_ns - start; /* modulo 2^64: the device's clock may be the later one */
        if (i == 0 || (int64_t)(ahead - shift) > 0) {
            shift = ahead;
        }
    }
    for (uint32_t i = 0; i < gpu->command_count; i++) {
        spans[i].start_ns += shift;
        spans[i].end_ns += shift;
    }
}

static hp_code issue_all(struct processor *self, hp_error *error)
{
    struct machine *machine = self->machine;
    struct opencl *gpu = self->state;
    struct command *command = gpu->commands;
    for (uint32_t i = 0; i < self->plan->step_count; i++) {
        const struct plan_step *step = &machine->plan.steps[self->plan->first_step + i];
        const bool awaited = machine->plan.awaited[self->plan->first_step + i];
        bool stopped = false;
        hp_code code;
        if (step->wait_count) {
            gpu->api.Flush(gpu->queue); /* let the device work while this thread waits */
        }
        if ((code = hp_step_await(machine, step, &stopped, error)) || stopped) {
            return code;
        }
        for (bool last = false; !last; command++) {
            last = command->last;
            if ((code = issue(self, command, machine->options.trace || (last && awaited), error))) {
                return code;
            }
        }
        if (awaited) {
            gpu->api.Flush(gpu->queue);
        }
        hp_step_done(self, i);
    }
    return HP_OK;
}

static hp_code opencl_run(struct processor *self, hp_error *error)
{
    struct opencl *gpu = self->state;
    if (self->plan->step_count == 0) {
        return HP_OK;
    }
    release_events(gpu); /* the last run's: its other processors have long done with them */
    hp_code code = issue_all(self, error);
    cl_int status = gpu->api.Finish(gpu->queue); /* also after a failure: nothing may go on writing to the arena */
    if (!code && status) {
        code = failed(gpu, "the run", "", status, error);
    }
    bool complete = !atomic_load(&self->machine->gate.stopped);
    if (!code && complete && self->machine->options.trace) {
        record_spans(self);
    }
    return code;
}

static hp_code opencl_complete(struct processor *self, uint32_t count, hp_error *error)
{
    struct opencl *gpu = self->state;
    cl_int status = gpu->api.WaitForEvents(1, &gpu->last[count - 1]->event);
    return status ? failed(gpu, "waiting for", "a step", status, error) : HP_OK;
}

static void opencl_close(struct processor *self)
{
    struct opencl *gpu = self->state;
    if (!gpu) {
        return;
    }
    release_events(gpu);
    for (uint32_t i = 0; gpu->kernels && i < self->plan->step_count; i++) {
        if (gpu->kernels[i]) {
            gpu->api.ReleaseKernel(gpu->kernels[i]);
        }
    }
    for (uint32_t i = 0; gpu->buffers && i < self->machine->plan.header->buffer_count; i++) {
        if (gpu->buffers[i]) {
            gpu->api.ReleaseMemObject(gpu->buffers[i]);
        }
    }
    if (gpu->arena) {
        gpu->api.ReleaseMemObject(gpu->arena);
    }
    if (gpu->program) {
        gpu->api.ReleaseProgram(gpu->program);
    }
    if (gpu->queue) {
        gpu->api.ReleaseCommandQueue(gpu->queue);
    }
    if (gpu->context) {
        gpu->api.ReleaseContext(gpu->context);
    }
    /* The library stays: drivers keep threads of their own, and PoCL's must not lose their code. */
    free(gpu->commands);
    free(gpu->last);
    free(gpu->kernels);
    free(gpu->buffers);
    free(gpu);
}

const struct processor_kind hp_opencl = {opencl_open, opencl_run, opencl_close, opencl_complete};

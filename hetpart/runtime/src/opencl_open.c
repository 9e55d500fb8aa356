/* Preparing a GPU: device, kernels with their arguments, and the list of commands of a run. */
#include "file.h"
#include "opencl.h"
#include "thread.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

hp_code hp_opencl_failed(const struct opencl *gpu, const char *what, const char *name, cl_int status, hp_error *error)
{
    return hp_fail(error, HP_OPENCL, "%s%s%s%s on %s: %s", what, *name ? " \"" : "", name, *name ? "\"" : "",
                   gpu->device_name, hp_opencl_status(status));
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
        return hp_opencl_failed(gpu, "context", "", status, error);
    }
    cl_bitfield properties = machine->options.trace ? CL_QUEUE_PROFILING_ENABLE : 0;
    gpu->queue = gpu->api.CreateCommandQueue(gpu->context, gpu->device, properties, &status);
    return gpu->queue ? HP_OK : hp_opencl_failed(gpu, "queue", "", status, error);
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
        return hp_opencl_failed(gpu, "kernel", name, status, error);
    }
    for (uint32_t a = 0; a < step->arg_count; a++) {
        cl_mem memory;
        hp_code code = hp_opencl_memory(self, plan_arg_buffer(plan->args[step->first_arg + a]), &memory, error);
        if (code) {
            return code;
        }
        if ((status = gpu->api.SetKernelArg(kernel, a, sizeof(cl_mem), &memory))) {
            return hp_opencl_failed(gpu, "argument of kernel", name, status, error);
        }
    }
    size_t limit = 0;
    size_t local = (size_t)step->local_size[0] * step->local_size[1] * step->local_size[2];
    gpu->api.GetKernelWorkGroupInfo(kernel, gpu->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof limit, &limit, NULL);
    if (limit && local > limit && (!self->machine->options.unit_local_size || (step->flags & STEP_GROUPED))) {
        return hp_fail(error, HP_OPENCL, "kernel \"%s\" has a local size of %zu, %s allows %zu", name, local,
                       gpu->device_name, limit);
    }
    cl_ulong needed = 0, available = 0; /* PoCL aborts the process where a kernel has too much */
    gpu->api.GetKernelWorkGroupInfo(kernel, gpu->device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof needed, &needed, NULL);
    gpu->api.GetDeviceInfo(gpu->device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof available, &available, NULL);
    if (available && needed > available) {
        return hp_fail(error, HP_OPENCL, "kernel \"%s\" needs %" PRIu64 " bytes of local memory, %s has %" PRIu64
                       "; lower local_bytes of the target and compile again",
                       name, (uint64_t)needed, gpu->device_name, (uint64_t)available);
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
                    cl_mem memory;
                    hp_code code = hp_opencl_memory(self, transfer->buffer, &memory, error);
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
            cl_mem memory;
            if ((code = hp_opencl_memory(self, buffer, &memory, error))) {
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

hp_code hp_opencl_open_processor(struct processor *self, hp_error *error)
{
    const struct machine *machine = self->machine;
    const struct plan_header *header = machine->plan.header;
    struct opencl *gpu = self->state = calloc(1, sizeof *gpu);
    hp_code code;
    if (!gpu) {
        return hp_fail(error, HP_MEMORY, "no memory");
    }
    size_t commands = (size_t)self->plan->step_count + header->transfer_count + 1;
    gpu->buffers = calloc((size_t)header->buffer_count + 1, sizeof *gpu->buffers);
    gpu->images = calloc((size_t)header->image_count + 1, sizeof *gpu->images);
    gpu->kernels = calloc((size_t)self->plan->step_count + 1, sizeof *gpu->kernels);
    gpu->last = calloc((size_t)self->plan->step_count + 1, sizeof *gpu->last);
    gpu->commands = calloc(commands, sizeof *gpu->commands);
    if (!gpu->buffers || !gpu->images || !gpu->kernels || !gpu->last || !gpu->commands) {
        return hp_fail(error, HP_MEMORY, "no memory for %zu OpenCL commands", commands);
    }
    if (self->plan->step_count == 0) {
        return HP_OK;
    }
    if ((code = open_device(self, error)) || (code = hp_opencl_build_program(self, error))) {
        return code;
    }
    if ((code = hp_opencl_open_memory(self, error))) {
        return code;
    }
    return make_commands(self, error);
}

void hp_opencl_release_events(struct opencl *gpu)
{
    for (uint32_t i = 0; i < gpu->command_count; i++) {
        if (gpu->commands[i].event) {
            gpu->api.ReleaseEvent(gpu->commands[i].event);
            gpu->commands[i].event = NULL;
        }
    }
}

void hp_opencl_close_processor(struct processor *self)
{
    struct opencl *gpu = self->state;
    if (!gpu) {
        return;
    }
    hp_opencl_release_events(gpu);
    for (uint32_t i = 0; gpu->kernels && i < self->plan->step_count; i++) {
        if (gpu->kernels[i]) {
            gpu->api.ReleaseKernel(gpu->kernels[i]);
        }
    }
    hp_opencl_close_memory(self);
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
    free(gpu->images);
    free(gpu->buffers);
    free(gpu);
}

/*
 * A GPU as a processor: one in-order OpenCL queue, fed by the processor's thread.
 *
 * Order. Commands are issued as far ahead as the plan's waits allow; a step that others wait for leaves an event,
 * which the waiting processor's thread waits for (opencl_complete). Nothing drains the queue before the run's end.
 */
#include "opencl.h"

#include "thread.h"

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
        const size_t offset[3] = {step->offset[0], step->offset[1], step->offset[2]};
        const bool ungrouped = machine->options.unit_local_size && !(step->flags & STEP_GROUPED);
        const size_t *group = ungrouped ? ones : local[0] ? local : NULL;
        status = gpu->api.EnqueueNDRangeKernel(gpu->queue, gpu->kernels[command->step], 3, offset, global, group,
                                               0, NULL, event);
        break;
    }
    }
    return status ? hp_opencl_failed(gpu, "command of unit", plan_string(plan, step->unit), status, error) : HP_OK;
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
    hp_opencl_release_events(gpu); /* the last run's: its other processors have long done with them */
    hp_code code = issue_all(self, error);
    cl_int status = gpu->api.Finish(gpu->queue); /* also after a failure: nothing may go on writing to the arena */
    if (!code && status) {
        code = hp_opencl_failed(gpu, "the run", "", status, error);
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
    return status ? hp_opencl_failed(gpu, "waiting for", "a step", status, error) : HP_OK;
}

const struct processor_kind hp_opencl = {hp_opencl_open_processor, opencl_run, hp_opencl_close_processor, opencl_complete};

/* The CPU as a processor: each step calls a TVM kernel of the module, shared by the threads of a pool. */
#include "pool.h"
#include "processor.h"
#include "thread.h"

#include <stdlib.h>

struct cpu {
    struct pool pool;
    bool pool_opened;
    struct dl_tensor *tensors; /* one per buffer of the plan */
    struct tvm_any *args;      /* one per arg of the plan */
    struct job *jobs;          /* one per step of this processor; without a kernel if the step has none */
};

static int compare_name(const void *name, const void *kernel)
{
    return strcmp(name, ((const struct hp_kernel *)kernel)->name);
}

static hp_code make_job(const struct processor *self, const struct plan_step *step, struct job *job, hp_error *error)
{
    const struct machine *machine = self->machine;
    const struct cpu *cpu = self->state;
    const char *name = plan_string(&machine->plan, step->kernel);
    const struct hp_module *module = machine->module;
    if (!*name) {
        return HP_OK;
    }
    const struct hp_kernel *kernel =
        bsearch(name, module->kernels, module->kernel_count, sizeof *module->kernels, compare_name);
    if (!kernel) {
        return hp_fail(error, HP_MODULE, "the module of CPU kernels has no \"%s\", which unit \"%s\" needs", name,
                       plan_string(&machine->plan, step->unit));
    }
    *job = (struct job){kernel->run, cpu->args + step->first_arg, step->arg_count, step->extent,
                        step->flags & STEP_RANGED};
    return HP_OK;
}

static void make_tensor(const struct machine *machine, const struct plan_buffer *buffer, struct dl_tensor *tensor)
{
    char *space = buffer->space == SPACE_ARENA ? machine->arena : machine->weights;
    /* TVM's kernels take the shape and constant data through pointers that they do not write through. */
    int64_t *shape = (int64_t *)(uintptr_t)(machine->plan.dims + buffer->first_dim);
    *tensor = (struct dl_tensor){
        .data = space ? space + buffer->offset : NULL,
        .device_type = DL_CPU,
        .dims = (int32_t)buffer->dim_count,
        .dtype = buffer->dtype,
        .shape = shape,
    };
}

static hp_code cpu_open(struct processor *self, hp_error *error)
{
    struct machine *machine = self->machine;
    const struct plan *plan = &machine->plan;
    const struct plan_step *steps = plan->steps + self->plan->first_step;
    struct cpu *cpu = self->state = calloc(1, sizeof *cpu);
    uint32_t max_args = 0;
    if (!cpu) {
        return hp_fail(error, HP_MEMORY, "no memory");
    }
    cpu->tensors = calloc((size_t)plan->header->buffer_count + 1, sizeof *cpu->tensors);
    cpu->args = calloc((size_t)plan->header->arg_count + 1, sizeof *cpu->args);
    cpu->jobs = calloc((size_t)self->plan->step_count + 1, sizeof *cpu->jobs);
    if (!cpu->tensors || !cpu->args || !cpu->jobs) {
        return hp_fail(error, HP_MEMORY, "no memory for %u steps", self->plan->step_count);
    }
    for (uint32_t i = 0; i < plan->header->buffer_count; i++) {
        make_tensor(machine, &plan->buffers[i], &cpu->tensors[i]);
    }
    for (uint32_t i = 0; i < plan->header->arg_count; i++) {
        cpu->args[i] = (struct tvm_any){.type_index = TVM_DLTENSOR,
                                        .value.pointer = &cpu->tensors[plan_arg_buffer(plan->args[i])]};
    }
    for (uint32_t i = 0; i < self->plan->step_count; i++) {
        hp_code code = make_job(self, &steps[i], &cpu->jobs[i], error);
        if (code) {
            return code;
        }
        max_args = steps[i].arg_count > max_args ? steps[i].arg_count : max_args;
    }
    uint64_t cores = machine->options.cpu_cores;
    int threads = machine->options.cpu_threads;
    if (threads == 0) {
        threads = (int)self->plan->threads;
    }
    if (threads < 0 || threads > PLAN_MAX_THREADS) {
        return hp_fail(error, HP_BAD_ARGUMENT, "%d CPU threads asked for, 1 to %d are possible", threads,
                       PLAN_MAX_THREADS);
    }
    cpu->pool_opened = true;
    return hp_pool_open(&cpu->pool, (uint32_t)threads, cores, max_args, error);
}

static hp_code cpu_run(struct processor *self, hp_error *error)
{
    struct machine *machine = self->machine;
    struct cpu *cpu = self->state;
    struct span *spans = machine->trace.rows[self - machine->processors].spans;
    for (uint32_t i = 0; i < self->plan->step_count; i++) {
        const struct plan_step *step = &machine->plan.steps[self->plan->first_step + i];
        bool stopped = false;
        hp_code code = hp_step_await(machine, step, &stopped, error);
        if (code || stopped) {
            return code;
        }
        /* What other processors made is in the arena by now, and they take from it themselves: nothing to transfer. */
        if (cpu->jobs[i].kernel) {
            uint64_t start_ns = spans ? now_ns() : 0;
            const char *failure = hp_pool_run(&cpu->pool, &cpu->jobs[i]);
            if (failure) {
                return hp_fail(error, HP_KERNEL, "unit \"%s\": kernel \"%s\": %s",
                               plan_string(&machine->plan, step->unit), plan_string(&machine->plan, step->kernel),
                               failure);
            }
            if (spans) {
                spans[i] = (struct span){self->plan->first_step + i, -1, start_ns, now_ns()};
            }
        }
        hp_step_done(self, i);
    }
    return HP_OK;
}

static void cpu_close(struct processor *self)
{
    struct cpu *cpu = self->state;
    if (!cpu) {
        return;
    }
    if (cpu->pool_opened) {
        hp_pool_close(&cpu->pool);
    }
    free(cpu->jobs);
    free(cpu->args);
    free(cpu->tensors);
    free(cpu);
}

const struct processor_kind hp_cpu = {cpu_open, cpu_run, cpu_close, NULL};

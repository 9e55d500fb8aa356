/* Loading a bundle and letting go of it: files, memory, the module, and a thread per processor. */
#include "error.h"
#include "model.h"
#include "module_load.h"
#include "part.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static const char DEFAULT_PLAN[] = "plan.bin";
static const char CPU_PLAN[] = "plan-cpu.bin";

const char *hp_version(void)
{
    return HP_VERSION_TEXT;
}

hp_options hp_options_default(void)
{
    return (hp_options){0};
}

static hp_port *make_ports(const struct plan *plan, const struct plan_port *ports, uint32_t count)
{
    hp_port *made = calloc((size_t)count + 1, sizeof *made);
    for (uint32_t i = 0; made && i < count; i++) {
        const int64_t *shape = plan->dims + ports[i].first_dim;
        made[i] = (hp_port){plan_string(plan, ports[i].name), hp_dtype_name(ports[i].dtype), (int)ports[i].dim_count,
                            shape, (size_t)hp_tensor_bytes(ports[i].dtype, shape, ports[i].dim_count)};
    }
    return made;
}

static bool needs_module(const struct plan *plan)
{
    for (uint32_t p = 0; p < plan->header->processor_count; p++) {
        const struct plan_processor *processor = &plan->processors[p];
        for (uint32_t i = 0; processor->kind == KIND_CPU && i < processor->step_count; i++) {
            if (*plan_string(plan, plan->steps[processor->first_step + i].kernel)) {
                return true;
            }
        }
    }
    return false;
}

/* Files and memory: everything but the processors. */
static hp_code load_parts(hp_model *model, hp_error *error)
{
    struct machine *machine = &model->machine;
    struct plan *plan = &machine->plan;
    hp_code code;
    char *plan_path = hp_join(model->folder, model->plan_name);
    code = plan_path ? hp_plan_read(plan_path, plan, error) : hp_fail(error, HP_MEMORY, "no memory");
    free(plan_path);
    if (code || (code = hp_part_map(machine, "weights.bin", &model->weights, error)) ||
        (code = hp_map_zeros(plan->header->arena_bytes, &model->arena, error))) {
        return code;
    }
    if (model->weights.bytes != plan->header->weights_bytes) {
        return hp_fail(error, HP_PLAN, "%s: of two minds about the length of weights.bin", model->plan_name);
    }
    machine->arena = model->arena.data;
    machine->weights = model->weights.data;
    model->inputs = make_ports(plan, plan->inputs, plan->header->input_count);
    model->outputs = make_ports(plan, plan->outputs, plan->header->output_count);
    model->input_set = calloc((size_t)plan->header->input_count + 1, sizeof *model->input_set);
    machine->processors = calloc((size_t)plan->header->processor_count + 1, sizeof *machine->processors);
    if (!model->inputs || !model->outputs || !model->input_set || !machine->processors) {
        return hp_fail(error, HP_MEMORY, "no memory");
    }
    if (needs_module(plan)) {
        return hp_module_load(machine, &model->library, error);
    }
    return HP_OK;
}

/* A span for every command a processor may issue: its kernels, and any transfer of the plan. */
static hp_code reserve_trace(struct machine *machine, uint32_t p, hp_error *error)
{
    const struct plan *plan = &machine->plan;
    return hp_trace_reserve(&machine->trace, p, plan->processors[p].step_count + plan->header->transfer_count, error);
}

static hp_code start_processors(hp_model *model, hp_error *error)
{
    struct machine *machine = &model->machine;
    const struct plan *plan = &machine->plan;
    hp_code code = HP_OK;
    if (!hp_gate_open(&machine->gate)) {
        return hp_fail(error, HP_THREAD, "cannot create a mutex");
    }
    model->gate_opened = true;
    for (uint32_t p = 0; p < plan->header->processor_count; p++) {
        struct processor *processor = &machine->processors[p];
        processor->machine = machine;
        processor->plan = &plan->processors[p];
        processor->kind = processor->plan->kind == KIND_CPU      ? &hp_cpu
                          : processor->plan->kind == KIND_OPENCL ? &hp_opencl
                                                                 : NULL;
        if (!processor->kind) {
            return hp_fail(error, HP_UNSUPPORTED, "processor \"%s\" is of a kind that this runtime does not drive",
                           plan_string(plan, processor->plan->name));
        }
        if (machine->options.trace && (code = reserve_trace(machine, p, error))) {
            return code;
        }
    }
    for (uint32_t p = 0; !code && p < plan->header->processor_count; p++) {
        pthread_mutex_lock(&machine->gate.mutex);
        machine->gate.busy++;
        pthread_mutex_unlock(&machine->gate.mutex);
        int status = pthread_create(&machine->processors[p].thread, NULL, hp_processor_main, &machine->processors[p]);
        if (status) {
            pthread_mutex_lock(&machine->gate.mutex);
            machine->gate.busy--;
            pthread_mutex_unlock(&machine->gate.mutex);
            code = hp_fail(error, HP_THREAD, "cannot start a thread: %s", strerror(status));
        } else {
            model->started++;
        }
    }
    pthread_mutex_lock(&machine->gate.mutex);
    hp_await_rest(&machine->gate);
    pthread_mutex_unlock(&machine->gate.mutex);
    if (!code && atomic_load(&machine->gate.stopped)) {
        code = machine->gate.failure.code;
        if (error) {
            *error = machine->gate.failure;
        }
    }
    return code;
}

void hp_free(hp_model *model)
{
    if (!model) {
        return;
    }
    struct machine *machine = &model->machine;
    if (model->gate_opened) {
        pthread_mutex_lock(&machine->gate.mutex);
        machine->gate.closing = true;
        pthread_cond_broadcast(&machine->gate.changed);
        pthread_mutex_unlock(&machine->gate.mutex);
        for (uint32_t p = 0; p < model->started; p++) {
            pthread_join(machine->processors[p].thread, NULL);
        }
        hp_gate_close(&machine->gate);
    }
    hp_trace_free(&machine->trace);
    free(machine->processors);
    free(model->input_set);
    free(model->outputs);
    free(model->inputs);
    if (model->library) {
        dlclose(model->library);
    }
    hp_plan_free(&machine->plan);
    hp_unmap(&model->weights);
    hp_unmap(&model->arena);
    free(model->fallback_reason);
    free(model->plan_name);
    free(model->folder);
    pthread_mutex_destroy(&model->mutex);
    free(model);
}

static hp_code load_plan(const char *folder, const hp_options *options, const char *plan, hp_model **result,
                         hp_error *error)
{
    hp_model *model = calloc(1, sizeof *model);
    if (!model) {
        return hp_fail(error, HP_MEMORY, "no memory");
    }
    pthread_mutex_init(&model->mutex, NULL);
    model->folder = strdup(folder);
    model->plan_name = strdup(plan);
    model->machine.folder = model->folder;
    model->machine.options = *options;
    hp_code code = model->folder && model->plan_name ? HP_OK : hp_fail(error, HP_MEMORY, "no memory");
    if (code || (code = load_parts(model, error)) || (code = start_processors(model, error))) {
        hp_free(model);
        return code;
    }
    *result = model;
    return HP_OK;
}

static bool bundle_has(const char *folder, const char *name)
{
    char *path = hp_join(folder, name);
    bool has = path && hp_exists(path);
    free(path);
    return has;
}

hp_code hp_load(const char *path, const hp_options *options, hp_model **model, hp_error *error)
{
    const hp_options defaults = hp_options_default();
    hp_error reason;
    *model = NULL;
    if (!path) {
        return hp_fail(error, HP_BAD_ARGUMENT, "no path of a bundle");
    }
    options = options ? options : &defaults;
    const char *plan = options->plan ? options->plan : DEFAULT_PLAN;
    hp_code code = load_plan(path, options, plan, model, &reason);
    bool opencl = code == HP_NO_OPENCL || code == HP_OPENCL;
    if (opencl && options->allow_cpu_fallback && strcmp(plan, CPU_PLAN) != 0 && bundle_has(path, CPU_PLAN)) {
        if (!(code = load_plan(path, options, CPU_PLAN, model, error)) &&
            !((*model)->fallback_reason = strdup(reason.message))) {
            hp_free(*model);
            *model = NULL;
            code = hp_fail(error, HP_MEMORY, "no memory");
        }
    } else if (code && error) {
        *error = reason;
    }
    return code;
}

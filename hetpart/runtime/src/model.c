/* The public interface: loading a bundle, moving tensors in and out, running the plan. */
#include "error.h"
#include "file.h"
#include "module_load.h"
#include "processor.h"
#include "thread.h"

#include <dlfcn.h>
#include <stdlib.h>

static const char DEFAULT_PLAN[] = "plan.bin";
static const char CPU_PLAN[] = "plan-cpu.bin";

struct hp_model {
    struct machine machine;
    struct mapping arena, weights;
    void *library;
    hp_port *inputs, *outputs;
    bool *input_set;
    bool has_run;           /* outputs are there */
    uint32_t started;       /* threads */
    bool gate_opened;
    pthread_mutex_t mutex;  /* serialises calls on the model */
    char *folder, *plan_name, *fallback_reason;
};

const char *hp_version(void)
{
    return HP_VERSION_TEXT;
}

hp_options hp_options_default(void)
{
    return (hp_options){.cpu_threads = 1};
}

/* ---- loading ---- */

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
    char *weights_path = hp_join(model->folder, "weights.bin");
    if (!plan_path || !weights_path) {
        code = hp_fail(error, HP_MEMORY, "no memory");
    } else if (!(code = hp_plan_read(plan_path, plan, error)) &&
               !(code = hp_map_file(weights_path, plan->header->weights_bytes, &model->weights, error))) {
        code = hp_map_zeros(plan->header->arena_bytes, &model->arena, error);
    }
    free(plan_path);
    free(weights_path);
    if (code) {
        return code;
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
        return hp_module_load(model->folder, &machine->options, &machine->module, &model->library, error);
    }
    return HP_OK;
}

/* Wait until no processor is at work. Called with the gate's mutex held. */
static void await_rest(struct gate *gate)
{
    while (gate->busy) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
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
    await_rest(&machine->gate);
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

/* ---- running ---- */

static hp_code find_port(const hp_port *ports, uint32_t count, const char *kind, const char *name, size_t bytes,
                         uint32_t *index, hp_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            *index = i;
            return bytes == ports[i].bytes ? HP_OK
                                           : hp_fail(error, HP_BAD_ARGUMENT, "%s \"%s\" has %zu bytes, not %zu", kind,
                                                     name, ports[i].bytes, bytes);
        }
    }
    return hp_fail(error, HP_BAD_ARGUMENT, "the model has no %s \"%s\"", kind, name);
}

static char *port_data(const hp_model *model, const struct plan_port *port)
{
    return model->machine.arena + model->machine.plan.buffers[port->buffer].offset;
}

static hp_code set_input(hp_model *model, const char *name, const void *data, size_t bytes, hp_error *error)
{
    const struct plan *plan = &model->machine.plan;
    uint32_t index;
    hp_code code = find_port(model->inputs, plan->header->input_count, "input", name, bytes, &index, error);
    if (!code) {
        if (bytes) {
            memcpy(port_data(model, &plan->inputs[index]), data, bytes);
        }
        model->input_set[index] = true;
    }
    return code;
}

static hp_code get_output(hp_model *model, const char *name, void *data, size_t bytes, hp_error *error)
{
    const struct plan *plan = &model->machine.plan;
    uint32_t index;
    hp_code code = find_port(model->outputs, plan->header->output_count, "output", name, bytes, &index, error);
    if (!code && !model->has_run) {
        code = hp_fail(error, HP_BAD_ARGUMENT, "output \"%s\" is not there: nothing has run", name);
    }
    if (!code && bytes) {
        memcpy(data, port_data(model, &plan->outputs[index]), bytes);
    }
    return code;
}

static hp_code run(hp_model *model, hp_error *error)
{
    struct machine *machine = &model->machine;
    struct gate *gate = &machine->gate;
    for (uint32_t i = 0; i < machine->plan.header->input_count; i++) {
        if (!model->input_set[i]) {
            return hp_fail(error, HP_NO_INPUT, "input \"%s\" was not set since the last run", model->inputs[i].name);
        }
    }
    pthread_mutex_lock(&gate->mutex);
    for (uint32_t p = 0; p < machine->plan.header->processor_count; p++) {
        atomic_store(&machine->processors[p].done, 0);
    }
    atomic_store(&gate->stopped, false);
    uint64_t start_ns = now_ns();
    gate->busy = machine->plan.header->processor_count;
    gate->run++;
    pthread_cond_broadcast(&gate->changed);
    await_rest(gate);
    bool failed = atomic_load(&gate->stopped);
    pthread_mutex_unlock(&gate->mutex);
    memset(model->input_set, 0, machine->plan.header->input_count * sizeof *model->input_set);
    machine->trace.start_ns = start_ns;
    machine->trace.end_ns = now_ns();
    model->has_run = !failed;
    if (failed && error) {
        *error = gate->failure;
    }
    return failed ? gate->failure.code : HP_OK;
}

hp_code hp_set_input(hp_model *model, const char *name, const void *data, size_t bytes, hp_error *error)
{
    pthread_mutex_lock(&model->mutex);
    hp_code code = set_input(model, name, data, bytes, error);
    pthread_mutex_unlock(&model->mutex);
    return code;
}

hp_code hp_run(hp_model *model, hp_error *error)
{
    pthread_mutex_lock(&model->mutex);
    hp_code code = run(model, error);
    pthread_mutex_unlock(&model->mutex);
    return code;
}

hp_code hp_get_output(hp_model *model, const char *name, void *data, size_t bytes, hp_error *error)
{
    pthread_mutex_lock(&model->mutex);
    hp_code code = get_output(model, name, data, bytes, error);
    pthread_mutex_unlock(&model->mutex);
    return code;
}

hp_code hp_infer(hp_model *model, const hp_tensor *inputs, size_t input_count, const hp_tensor *outputs,
                 size_t output_count, hp_error *error)
{
    hp_code code = HP_OK;
    pthread_mutex_lock(&model->mutex);
    for (size_t i = 0; !code && i < input_count; i++) {
        code = set_input(model, inputs[i].name, inputs[i].data, inputs[i].bytes, error);
    }
    code = code ? code : run(model, error);
    for (size_t i = 0; !code && i < output_count; i++) {
        code = get_output(model, outputs[i].name, outputs[i].data, outputs[i].bytes, error);
    }
    pthread_mutex_unlock(&model->mutex);
    return code;
}

uint64_t hp_run_ns(hp_model *model)
{
    pthread_mutex_lock(&model->mutex);
    uint64_t duration_ns = model->machine.trace.end_ns - model->machine.trace.start_ns;
    pthread_mutex_unlock(&model->mutex);
    return duration_ns;
}

hp_code hp_trace(hp_model *model, const char *path, hp_error *error)
{
    hp_code code;
    pthread_mutex_lock(&model->mutex);
    if (!model->machine.options.trace) {
        code = hp_fail(error, HP_NO_TRACE, "the model was loaded without the trace option");
    } else if (!model->has_run) {
        code = hp_fail(error, HP_NO_TRACE, "nothing has run, or the last run failed");
    } else {
        code = hp_trace_write(&model->machine.trace, &model->machine.plan, path, error);
    }
    pthread_mutex_unlock(&model->mutex);
    return code;
}

size_t hp_input_count(const hp_model *model)
{
    return model->machine.plan.header->input_count;
}

size_t hp_output_count(const hp_model *model)
{
    return model->machine.plan.header->output_count;
}

const hp_port *hp_input(const hp_model *model, size_t index)
{
    return index < hp_input_count(model) ? &model->inputs[index] : NULL;
}

const hp_port *hp_output(const hp_model *model, size_t index)
{
    return index < hp_output_count(model) ? &model->outputs[index] : NULL;
}

const char *hp_plan(const hp_model *model)
{
    return model->plan_name;
}

const char *hp_fallback_reason(const hp_model *model)
{
    return model->fallback_reason;
}

/* The public interface of a loaded model: tensors in and out, running the plan, and what it tells about itself. */
#include "error.h"
#include "model.h"
#include "thread.h"

void hp_await_rest(struct gate *gate)
{
    while (gate->busy) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
}

static hp_code find_port(const hp_port *ports, uint32_t count, const char *kind, const char *name, size_t bytes,
                         uint32_t *index, hp_error *error)
{
    for (uint32_t i = 0; name && i < count; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            *index = i;
            return bytes == ports[i].bytes ? HP_OK
                                           : hp_fail(error, HP_BAD_ARGUMENT, "%s \"%s\" has %zu bytes, not %zu", kind,
                                                     name, ports[i].bytes, bytes);
        }
    }
    return hp_fail(error, HP_BAD_ARGUMENT, "the model has no %s \"%s\"", kind, name ? name : "(NULL)");
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
    if (!code && bytes && !data) {
        code = hp_fail(error, HP_BAD_ARGUMENT, "no data for input \"%s\"", name);
    }
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
    if (!code && bytes && !data) {
        code = hp_fail(error, HP_BAD_ARGUMENT, "no memory for output \"%s\"", name);
    }
    if (!code && bytes) {
        memcpy(data, port_data(model, &plan->outputs[index]), bytes);
    }
    return code;
}

static void forget_inputs(hp_model *model)
{
    memset(model->input_set, 0, model->machine.plan.header->input_count * sizeof *model->input_set);
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
    hp_await_rest(gate);
    bool failed = atomic_load(&gate->stopped);
    pthread_mutex_unlock(&gate->mutex);
    forget_inputs(model);
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
    forget_inputs(model); /* of a call that failed, perhaps on another thread */
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

/* What must hold of a plan's tables before anything is executed from them. */
#include "plan.h"

#include "error.h"

#include <stdlib.h>

/* Everything a check needs to know and to complain with. */
struct check {
    struct plan *plan;
    const char *path;
    hp_error *error;
    uint32_t args, waits, transfers; /* that belong to the steps checked so far */
};

static bool within(uint32_t first, uint32_t count, uint32_t total)
{
    return (uint64_t)first + count <= total;
}

/* The step's [first, first + count) of a table follows what steps before it took: no element has two owners. */
static bool follows(uint32_t *taken, uint32_t first, uint32_t count, uint32_t total)
{
    if (first != *taken || !within(first, count, total)) {
        return false;
    }
    *taken += count;
    return true;
}

static hp_code wrong(const struct check *check, const char *table, uint32_t index, const char *what)
{
    return hp_fail(check->error, HP_PLAN, "%s: %s %u: %s", check->path, table, index, what);
}

static bool is_string(const struct check *check, uint32_t offset)
{
    return offset < check->plan->header->string_bytes; /* and the last byte is NUL, see hp_plan_check */
}

static bool is_tensor(const struct check *check, uint32_t dtype, uint32_t first_dim, uint32_t dim_count, uint64_t room)
{
    const struct plan *plan = check->plan;
    return dim_count <= PLAN_MAX_DIMS && within(first_dim, dim_count, plan->header->dim_count) &&
           hp_tensor_bytes(dtype, plan->dims + first_dim, dim_count) <= room;
}

static bool is_texel(uint32_t dtype)
{
    return dtype == DTYPE_FLOAT32 || dtype == DTYPE_FLOAT16;
}

static hp_code check_images(const struct check *check)
{
    for (uint32_t i = 0; i < check->plan->header->image_count; i++) {
        const struct plan_image *image = &check->plan->images[i];
        if (image->width == 0 || image->height == 0 || !is_texel(image->dtype)) {
            return wrong(check, "image", i, "empty, or of an unknown type");
        }
    }
    return HP_OK;
}

/* A view of an image, or weights that become one: (rows, columns, 4). */
static bool is_image(const struct plan *plan, const struct plan_buffer *buffer)
{
    const int64_t *shape = plan->dims + buffer->first_dim;
    if (buffer->dim_count != 3 || !within(buffer->first_dim, 3, plan->header->dim_count) || shape[0] < 1 ||
        shape[0] > UINT32_MAX || shape[1] < 1 || shape[1] > UINT32_MAX || shape[2] != 4 || !is_texel(buffer->dtype)) {
        return false;
    }
    if (buffer->space == SPACE_TEXTURE) {
        return true;
    }
    if (buffer->image >= plan->header->image_count) {
        return false;
    }
    const struct plan_image *image = &plan->images[buffer->image];
    return buffer->dtype == image->dtype && (uint64_t)shape[0] <= image->height &&
           buffer->bytes == (uint64_t)shape[1] && buffer->offset <= image->width &&
           buffer->bytes <= image->width - buffer->offset;
}

static hp_code check_parts(const struct check *check)
{
    for (uint32_t i = 0; i < check->plan->header->part_count; i++) {
        const struct plan_part *part = &check->plan->parts[i];
        if (!is_string(check, part->name)) {
            return wrong(check, "part", i, "its name is outside of the strings");
        }
        if (part->bytes > SIZE_MAX / 2) {
            return hp_fail(check->error, HP_MEMORY, "%s: part %u is larger than this device's address space",
                           check->path, i);
        }
    }
    return HP_OK;
}

static hp_code check_buffers(const struct check *check)
{
    const struct plan_header *header = check->plan->header;
    for (uint32_t i = 0; i < header->buffer_count; i++) {
        const struct plan_buffer *buffer = &check->plan->buffers[i];
        uint64_t space = buffer->space == SPACE_ARENA ? header->arena_bytes : header->weights_bytes;
        if (!is_string(check, buffer->name) || !is_string(check, buffer->root)) {
            return wrong(check, "buffer", i, "its name is outside of the strings");
        }
        if (buffer->space > SPACE_TEXTURE) {
            return wrong(check, "buffer", i, "in an unknown space");
        }
        if (buffer->space >= SPACE_IMAGE && !is_image(check->plan, buffer)) {
            return wrong(check, "buffer", i, "not what its image holds");
        }
        if (buffer->space == SPACE_IMAGE) {
            continue;
        }
        if (buffer->offset > space || buffer->bytes > space - buffer->offset) {
            return wrong(check, "buffer", i, "outside of its space");
        }
        if (buffer->offset % 64 != 0) {
            return wrong(check, "buffer", i, "not on a multiple of 64 bytes");
        }
        if (buffer->bytes == UINT64_MAX ||
            !is_tensor(check, buffer->dtype, buffer->first_dim, buffer->dim_count, buffer->bytes)) {
            return wrong(check, "buffer", i, "its type or shape does not fit into its bytes");
        }
    }
    return HP_OK;
}

static hp_code check_ports(const struct check *check, const struct plan_port *ports, uint32_t count, const char *table)
{
    const struct plan *plan = check->plan;
    for (uint32_t i = 0; i < count; i++) {
        const struct plan_port *port = &ports[i];
        if (!is_string(check, port->name) || port->buffer >= plan->header->buffer_count) {
            return wrong(check, table, i, "no such name or buffer");
        }
        const struct plan_buffer *buffer = &plan->buffers[port->buffer];
        if (buffer->space != SPACE_ARENA ||
            !is_tensor(check, port->dtype, port->first_dim, port->dim_count, buffer->bytes)) {
            return wrong(check, table, i, "does not fit its buffer in the arena");
        }
    }
    return HP_OK;
}

static hp_code check_launch(const struct check *check, uint32_t index)
{
    const struct plan_step *step = &check->plan->steps[index];
    bool sized = step->local_size[0] || step->local_size[1] || step->local_size[2];
    for (int axis = 0; axis < 3; axis++) {
        if (step->global_size[axis] == 0) {
            return wrong(check, "step", index, "an OpenCL launch without work-items");
        }
        if ((uint64_t)step->offset[axis] + step->global_size[axis] > INT32_MAX) {
            return wrong(check, "step", index, "a launch beyond 2^31 - 1 work-items");
        }
        if (sized && (step->local_size[axis] == 0 || step->global_size[axis] % step->local_size[axis] != 0)) {
            return wrong(check, "step", index, "its local size does not divide its global size");
        }
    }
    return HP_OK;
}

static bool reads_image(const struct plan *plan, const struct plan_step *step, uint32_t image)
{
    for (uint32_t a = 0; a < step->arg_count; a++) {
        uint32_t arg = plan->args[step->first_arg + a];
        if (!(arg & PLAN_ARG_WRITTEN) && plan_arg_buffer(arg) < plan->header->buffer_count) {
            const struct plan_buffer *buffer = &plan->buffers[plan_arg_buffer(arg)];
            if (buffer->space == SPACE_IMAGE && buffer->image == image) {
                return true;
            }
        }
    }
    return false;
}

/* Steps of processor `own`: references, launch sizes, and waits and transfers that name another processor. */
static hp_code check_steps(struct check *check, uint32_t own)
{
    struct plan *plan = check->plan;
    const struct plan_header *header = plan->header;
    const struct plan_processor *processor = &plan->processors[own];
    uint32_t waited[PLAN_MAX_PROCESSORS] = {0}; /* highest count of each processor waited for so far */
    for (uint32_t i = processor->first_step; i < processor->first_step + processor->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        if (!is_string(check, step->unit) || !is_string(check, step->kernel)) {
            return wrong(check, "step", i, "its name is outside of the strings");
        }
        if (!follows(&check->args, step->first_arg, step->arg_count, header->arg_count) ||
            !follows(&check->waits, step->first_wait, step->wait_count, header->wait_count) ||
            !follows(&check->transfers, step->first_transfer, step->transfer_count, header->transfer_count)) {
            return wrong(check, "step", i, "its arguments, waits or transfers are not those behind the step before it");
        }
        if (step->extent > INT32_MAX) {
            return wrong(check, "step", i, "its extent is above 2^31 - 1");
        }
        for (uint32_t a = 0; a < step->arg_count; a++) {
            uint32_t arg = plan->args[step->first_arg + a];
            if (plan_arg_buffer(arg) >= header->buffer_count) {
                return wrong(check, "step", i, "an argument names no buffer");
            }
            const struct plan_buffer *buffer = &plan->buffers[plan_arg_buffer(arg)];
            if ((arg & PLAN_ARG_WRITTEN) && buffer->space != SPACE_ARENA && buffer->space != SPACE_IMAGE) {
                return wrong(check, "step", i, "writes to the weights");
            }
            if (buffer->space >= SPACE_IMAGE && processor->kind != KIND_OPENCL) {
                return wrong(check, "step", i, "uses an image, but not on OpenCL");
            }
            if ((arg & PLAN_ARG_WRITTEN) && buffer->space == SPACE_IMAGE && reads_image(plan, step, buffer->image)) {
                return wrong(check, "step", i, "reads and writes one image");
            }
        }
        if (processor->kind == KIND_OPENCL) {
            if (!*plan_string(plan, step->kernel)) {
                return wrong(check, "step", i, "an OpenCL step without a kernel");
            }
            hp_code code = check_launch(check, i);
            if (code) {
                return code;
            }
        }
        for (uint32_t w = 0; w < step->wait_count; w++) {
            const struct plan_wait *wait = &plan->waits[step->first_wait + w];
            if (wait->processor >= header->processor_count || wait->processor == own ||
                wait->count > plan->processors[wait->processor].step_count) {
                return wrong(check, "step", i, "waits for a step that does not exist");
            }
            if (wait->count > waited[wait->processor]) {
                waited[wait->processor] = wait->count;
            }
            if (wait->count) {
                plan->awaited[plan->processors[wait->processor].first_step + wait->count - 1] = true;
            }
        }
        for (uint32_t t = 0; t < step->transfer_count; t++) {
            const struct plan_transfer *transfer = &plan->transfers[step->first_transfer + t];
            if (transfer->buffer >= header->buffer_count || transfer->source >= header->processor_count ||
                transfer->source == own || plan->buffers[transfer->buffer].space != SPACE_ARENA) {
                return wrong(check, "step", i, "transfers something that cannot be transferred");
            }
            /* OpenCL buffers are read back when the step that was waited for ends (see opencl.c). */
            if (plan->processors[transfer->source].kind == KIND_OPENCL && !waited[transfer->source]) {
                return wrong(check, "step", i, "transfers from OpenCL without having waited for it");
            }
        }
    }
    return HP_OK;
}

static hp_code check_processors(const struct check *check)
{
    const struct plan *plan = check->plan;
    unsigned kinds = 0;
    if (plan->header->processor_count > PLAN_MAX_PROCESSORS) {
        return hp_fail(check->error, HP_PLAN, "%s: more than %d processors", check->path, PLAN_MAX_PROCESSORS);
    }
    uint32_t steps = 0;
    for (uint32_t i = 0; i < plan->header->processor_count; i++) {
        const struct plan_processor *processor = &plan->processors[i];
        if (!is_string(check, processor->name)) {
            return wrong(check, "processor", i, "its name is outside of the strings");
        }
        if (processor->first_step != steps || !within(steps, processor->step_count, plan->header->step_count)) {
            return wrong(check, "processor", i, "its steps are not those behind the processor before it");
        }
        if (processor->kind < KIND_CPU || processor->kind > KIND_HEXAGON || (kinds & 1u << processor->kind)) {
            return wrong(check, "processor", i, "of unknown kind, or the second of its kind");
        }
        if (processor->threads < 1 || processor->threads > PLAN_MAX_THREADS) {
            return wrong(check, "processor", i, "for no or too many threads");
        }
        kinds |= 1u << processor->kind;
        steps += processor->step_count;
    }
    if (steps != plan->header->step_count) {
        return hp_fail(check->error, HP_PLAN, "%s: steps without a processor", check->path);
    }
    return HP_OK;
}

/* Plays the waits through: each processor goes as far as it can until none moves any more. */
static hp_code check_progress(const struct check *check)
{
    const struct plan *plan = check->plan;
    uint32_t done[PLAN_MAX_PROCESSORS] = {0};
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t p = 0; p < plan->header->processor_count; p++) {
            for (; done[p] < plan->processors[p].step_count; done[p]++, moved = true) {
                const struct plan_step *step = &plan->steps[plan->processors[p].first_step + done[p]];
                uint32_t w = 0;
                while (w < step->wait_count && plan->waits[step->first_wait + w].count <=
                                                   done[plan->waits[step->first_wait + w].processor]) {
                    w++;
                }
                if (w < step->wait_count) {
                    break;
                }
            }
        }
    }
    for (uint32_t p = 0; p < plan->header->processor_count; p++) {
        if (done[p] < plan->processors[p].step_count) {
            return wrong(check, "step", plan->processors[p].first_step + done[p], "waits for a step that waits for it");
        }
    }
    return HP_OK;
}

hp_code hp_plan_check(struct plan *plan, const char *path, hp_error *error)
{
    const struct plan_header *header = plan->header;
    struct check check = {plan, path, error, 0, 0, 0};
    hp_code code;
    if (header->string_bytes == 0 || plan->strings[header->string_bytes - 1] != '\0') {
        return hp_fail(error, HP_PLAN, "%s: its strings do not end", path);
    }
    if (header->arena_bytes > SIZE_MAX / 2 || header->weights_bytes > SIZE_MAX / 2) {
        return hp_fail(error, HP_MEMORY, "%s: larger than this device's address space", path);
    }
    if ((code = check_parts(&check)) || (code = check_images(&check)) || (code = check_buffers(&check)) ||
        (code = check_processors(&check)) ||
        (code = check_ports(&check, plan->inputs, header->input_count, "input")) ||
        (code = check_ports(&check, plan->outputs, header->output_count, "output"))) {
        return code;
    }
    for (uint32_t p = 0; p < header->processor_count; p++) {
        if ((code = check_steps(&check, p))) {
            return code;
        }
    }
    return check_progress(&check);
}

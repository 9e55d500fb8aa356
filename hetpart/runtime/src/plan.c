/* Reading a plan file: its framing (magic, version, sizes, digest) and where its tables lie. */
#include "plan.h"

#include "digest.h"
#include "error.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

static const char MAGIC[8] = "HETPLAN";

const char *hp_dtype_name(uint32_t dtype)
{
    static const struct {
        uint32_t dtype; /* code | bits << 8 | lanes << 16, DLPack's codes */
        const char *name;
    } names[] = {
        {0x10800, "int8"},    {0x11000, "int16"},   {0x12000, "int32"},    {0x14000, "int64"},
        {0x10801, "uint8"},   {0x11001, "uint16"},  {0x12001, "uint32"},   {0x14001, "uint64"},
        {0x11002, "float16"}, {0x12002, "float32"}, {0x14002, "float64"},  {0x10806, "bool"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].dtype == dtype) {
            return names[i].name;
        }
    }
    return NULL;
}

uint64_t hp_tensor_bytes(uint32_t dtype, const int64_t *shape, uint32_t dim_count)
{
    if (!hp_dtype_name(dtype)) {
        return UINT64_MAX;
    }
    uint64_t bytes = (dtype >> 8 & 0xFF) / 8;
    for (uint32_t i = 0; i < dim_count; i++) {
        if (shape[i] < 0 || (shape[i] > 0 && bytes > (UINT64_MAX - 1) / (uint64_t)shape[i])) {
            return UINT64_MAX;
        }
        bytes *= (uint64_t)shape[i];
    }
    return bytes;
}

/* The table of `count` elements of `element` bytes at `*offset`, which moves behind it. */
static const void *table(const struct plan *plan, uint64_t *offset, uint32_t count, size_t element)
{
    const char *start = plan->bytes + *offset;
    *offset += (uint64_t)count * element;
    return start;
}

static hp_code check_framing(const struct plan *plan, size_t bytes, const char *path, hp_error *error)
{
    const struct plan_header *header = plan->header;
    const size_t checked = offsetof(struct plan_header, file_bytes);
    if (bytes < sizeof *header || memcmp(header->magic, MAGIC, sizeof MAGIC) != 0) {
        return hp_fail(error, HP_PLAN, "%s: not a hetpart plan", path);
    }
    if (header->version != PLAN_VERSION) {
        return hp_fail(error, HP_VERSION, "%s: plan format %llu, this runtime (%s) reads format %d", path,
                       (unsigned long long)header->version, hp_version(), PLAN_VERSION);
    }
    if (header->file_bytes != bytes) {
        return hp_fail(error, HP_PLAN, "%s: has %zu bytes, its header says %llu", path, bytes,
                       (unsigned long long)header->file_bytes);
    }
    if (hp_digest(plan->bytes + checked, bytes - checked, 0) != header->digest) {
        return hp_fail(error, HP_PLAN, "%s: its digest does not match: the file is damaged", path);
    }
    return HP_OK;
}

hp_code hp_plan_read(const char *path, struct plan *plan, hp_error *error)
{
    size_t bytes;
    *plan = (struct plan){0};
    hp_code code = hp_read_file(path, &plan->bytes, &bytes, error);
    if (code) {
        return code;
    }
    const struct plan_header *header = plan->header = (const struct plan_header *)plan->bytes;
    if ((code = check_framing(plan, bytes, path, error))) {
        return code;
    }
    uint64_t end = sizeof *header;
    plan->dims = table(plan, &end, header->dim_count, sizeof *plan->dims);
    plan->processors = table(plan, &end, header->processor_count, sizeof *plan->processors);
    plan->images = table(plan, &end, header->image_count, sizeof *plan->images);
    plan->parts = table(plan, &end, header->part_count, sizeof *plan->parts);
    plan->buffers = table(plan, &end, header->buffer_count, sizeof *plan->buffers);
    plan->inputs = table(plan, &end, header->input_count, sizeof *plan->inputs);
    plan->outputs = table(plan, &end, header->output_count, sizeof *plan->outputs);
    plan->steps = table(plan, &end, header->step_count, sizeof *plan->steps);
    plan->waits = table(plan, &end, header->wait_count, sizeof *plan->waits);
    plan->transfers = table(plan, &end, header->transfer_count, sizeof *plan->transfers);
    plan->args = table(plan, &end, header->arg_count, sizeof *plan->args);
    plan->strings = table(plan, &end, header->string_bytes, 1);
    if (end != bytes) {
        return hp_fail(error, HP_PLAN, "%s: its tables need %llu bytes, the file has %zu", path,
                       (unsigned long long)end, bytes);
    }
    plan->awaited = calloc((size_t)header->step_count + 1, sizeof *plan->awaited);
    if (!plan->awaited) {
        return hp_fail(error, HP_MEMORY, "%s: no memory", path);
    }
    return hp_plan_check(plan, path, error);
}

void hp_plan_free(struct plan *plan)
{
    free(plan->awaited);
    free(plan->bytes);
    *plan = (struct plan){0};
}

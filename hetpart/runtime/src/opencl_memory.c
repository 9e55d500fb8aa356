/*
 * The memory of a GPU: the shared arena, weights, and images.
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
 * Images are the GPU's own: what other processors read is copied by kernels of the plan, into the arena and out of it.
 * They are made once, here; several values share one where their lifetimes allow it.
 */
#include "opencl.h"

#include "error.h"

static cl_mem make_image(struct opencl *gpu, size_t width, size_t height, uint32_t dtype, const void *texels,
                         cl_int *status)
{
    const cl_image_format format = {CL_RGBA, dtype == DTYPE_FLOAT16 ? CL_HALF_FLOAT : CL_FLOAT};
    const cl_image_desc shape = {.type = CL_MEM_OBJECT_IMAGE2D, .width = width, .height = height};
    cl_bitfield flags = texels ? CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR : CL_MEM_READ_WRITE;
    return gpu->api.CreateImage(gpu->context, flags, &format, &shape, (void *)(uintptr_t)texels, status);
}

/* Whether the device can hold an image of that size; says so if not. */
static hp_code check_size(struct opencl *gpu, const char *name, size_t width, size_t height, hp_error *error)
{
    cl_uint supported = 0;
    size_t limit[2] = {0, 0};
    gpu->api.GetDeviceInfo(gpu->device, CL_DEVICE_IMAGE_SUPPORT, sizeof supported, &supported, NULL);
    gpu->api.GetDeviceInfo(gpu->device, CL_DEVICE_IMAGE2D_MAX_WIDTH, sizeof limit[0], &limit[0], NULL);
    gpu->api.GetDeviceInfo(gpu->device, CL_DEVICE_IMAGE2D_MAX_HEIGHT, sizeof limit[1], &limit[1], NULL);
    if (!supported || width > limit[0] || height > limit[1]) {
        return hp_fail(error, HP_OPENCL, "\"%s\" needs an image of %zu x %zu, %s allows %zu x %zu", name, width, height,
                       gpu->device_name, supported ? limit[0] : 0, supported ? limit[1] : 0);
    }
    return HP_OK;
}

static hp_code make_texture(struct processor *self, const struct plan_buffer *buffer, cl_mem *made, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct machine *machine = self->machine;
    const char *name = plan_string(&machine->plan, buffer->name);
    const int64_t *shape = machine->plan.dims + buffer->first_dim;
    cl_int status = CL_SUCCESS;
    hp_code code = check_size(gpu, name, (size_t)shape[1], (size_t)shape[0], error);
    if (code) {
        return code;
    }
    *made = make_image(gpu, (size_t)shape[1], (size_t)shape[0], buffer->dtype, machine->weights + buffer->offset,
                       &status);
    return *made ? HP_OK : hp_opencl_failed(gpu, "image", name, status, error);
}

static hp_code make_buffer(struct processor *self, const struct plan_buffer *buffer, cl_mem *made, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct machine *machine = self->machine;
    const char *name = plan_string(&machine->plan, buffer->name);
    cl_int status = CL_SUCCESS;
    if (buffer->bytes == 0) {
        return hp_fail(error, HP_PLAN, "buffer \"%s\" of an OpenCL step is empty", name);
    }
    if (buffer->space == SPACE_WEIGHTS) {
        *made = gpu->api.CreateBuffer(gpu->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, buffer->bytes,
                                      machine->weights + buffer->offset, &status);
    } else {
        cl_uint alignment_bits = 0;
        gpu->api.GetDeviceInfo(gpu->device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof alignment_bits, &alignment_bits,
                               NULL);
        if (alignment_bits && buffer->offset % (alignment_bits / 8) != 0) {
            return hp_fail(error, HP_OPENCL, "buffer \"%s\" is at %llu, %s wants multiples of %u bytes", name,
                           (unsigned long long)buffer->offset, gpu->device_name, alignment_bits / 8);
        }
        cl_buffer_region region = {buffer->offset, buffer->bytes};
        *made = gpu->api.CreateSubBuffer(gpu->arena, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
    }
    return *made ? HP_OK : hp_opencl_failed(gpu, "buffer", name, status, error);
}

hp_code hp_opencl_memory(struct processor *self, uint32_t index, cl_mem *memory, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct plan_buffer *buffer = &self->machine->plan.buffers[index];
    cl_mem *made = buffer->space == SPACE_IMAGE ? &gpu->images[buffer->image] : &gpu->buffers[index];
    hp_code code = HP_OK;
    if (!*made) {
        code = buffer->space == SPACE_TEXTURE ? make_texture(self, buffer, made, error)
                                              : make_buffer(self, buffer, made, error);
    }
    *memory = *made;
    return code;
}

hp_code hp_opencl_open_memory(struct processor *self, hp_error *error)
{
    struct opencl *gpu = self->state;
    const struct machine *machine = self->machine;
    const struct plan *plan = &machine->plan;
    cl_int status;
    if (machine->arena) {
        gpu->arena = gpu->api.CreateBuffer(gpu->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                           plan->header->arena_bytes, machine->arena, &status);
        if (!gpu->arena) {
            return hp_opencl_failed(gpu, "buffer", "arena", status, error);
        }
    }
    for (uint32_t i = 0; i < plan->header->image_count; i++) {
        const struct plan_image *image = &plan->images[i];
        hp_code code = check_size(gpu, "the image pool", image->width, image->height, error);
        if (code) {
            return code;
        }
        gpu->images[i] = make_image(gpu, image->width, image->height, image->dtype, NULL, &status);
        if (!gpu->images[i]) {
            return hp_opencl_failed(gpu, "image", "", status, error);
        }
    }
    return HP_OK;
}

void hp_opencl_close_memory(struct processor *self)
{
    struct opencl *gpu = self->state;
    for (uint32_t i = 0; gpu->buffers && i < self->machine->plan.header->buffer_count; i++) {
        if (gpu->buffers[i]) {
            gpu->api.ReleaseMemObject(gpu->buffers[i]);
        }
    }
    for (uint32_t i = 0; gpu->images && i < self->machine->plan.header->image_count; i++) {
        if (gpu->images[i]) {
            gpu->api.ReleaseMemObject(gpu->images[i]);
        }
    }
    if (gpu->arena) {
        gpu->api.ReleaseMemObject(gpu->arena);
    }
}

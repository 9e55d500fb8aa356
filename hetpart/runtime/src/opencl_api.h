/*
 * The part of OpenCL 1.2 that we use, declared here and found at run time: a bundle must load on devices without it.
 *
 * Types and constants follow the OpenCL 1.2 specification (Khronos, revision 19) and its cl.h.
 */
#ifndef HP_OPENCL_API_H
#define HP_OPENCL_API_H

#include "hetpart.h"

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_ulong;
typedef cl_ulong cl_bitfield;
typedef struct cl_platform *cl_platform_id;
typedef struct cl_device *cl_device_id;
typedef struct cl_context_ *cl_context;
typedef struct cl_queue_ *cl_command_queue;
typedef struct cl_mem_ *cl_mem;
typedef struct cl_program_ *cl_program;
typedef struct cl_kernel_ *cl_kernel;
typedef struct cl_event_ *cl_event;

typedef struct {
    size_t origin, size;
} cl_buffer_region;

typedef struct {
    cl_uint order, type;
} cl_image_format;

typedef struct {
    cl_uint type;
    size_t width, height, depth, array_size, row_pitch, slice_pitch;
    cl_uint mip_levels, samples;
    cl_mem buffer;
} cl_image_desc;

enum {
    CL_SUCCESS = 0,
    CL_FALSE = 0,
    CL_QUEUE_PROFILING_ENABLE = 1 << 1,
    CL_MEM_READ_WRITE = 1 << 0,
    CL_MEM_READ_ONLY = 1 << 2,
    CL_MEM_USE_HOST_PTR = 1 << 3,
    CL_MEM_COPY_HOST_PTR = 1 << 5,
    CL_DEVICE_TYPE_GPU = 1 << 2,
    CL_DEVICE_IMAGE2D_MAX_WIDTH = 0x1011,
    CL_DEVICE_IMAGE2D_MAX_HEIGHT = 0x1012,
    CL_DEVICE_IMAGE_SUPPORT = 0x1016,
    CL_DEVICE_MEM_BASE_ADDR_ALIGN = 0x1019,
    CL_DEVICE_LOCAL_MEM_SIZE = 0x1023,
    CL_DEVICE_NAME = 0x102B,
    CL_DEVICE_VENDOR = 0x102C,
    CL_DRIVER_VERSION = 0x102D,
    CL_DEVICE_VERSION = 0x102F,
    CL_RGBA = 0x10B5,
    CL_HALF_FLOAT = 0x10DD,
    CL_FLOAT = 0x10DE,
    CL_MEM_OBJECT_IMAGE2D = 0x10F1,
    CL_BUFFER_CREATE_TYPE_REGION = 0x1220,
    CL_PROGRAM_BINARY_SIZES = 0x1165,
    CL_PROGRAM_BINARIES = 0x1166,
    CL_PROGRAM_BUILD_LOG = 0x1183,
    CL_KERNEL_WORK_GROUP_SIZE = 0x11B0,
    CL_KERNEL_LOCAL_MEM_SIZE = 0x11B2,
    CL_PROFILING_COMMAND_START = 0x1282,
    CL_PROFILING_COMMAND_END = 0x1283
};
#define CL_DEVICE_TYPE_ALL 0xFFFFFFFFu

/* result, name without the cl prefix, parameters */
#define OPENCL_FUNCTIONS(F)                                                                                            \
    F(cl_int, GetPlatformIDs, (cl_uint, cl_platform_id *, cl_uint *))                                                  \
    F(cl_int, GetDeviceIDs, (cl_platform_id, cl_bitfield, cl_uint, cl_device_id *, cl_uint *))                         \
    F(cl_int, GetDeviceInfo, (cl_device_id, cl_uint, size_t, void *, size_t *))                                        \
    F(cl_context, CreateContext,                                                                                       \
      (const intptr_t *, cl_uint, const cl_device_id *, void (*)(const char *, const void *, size_t, void *), void *,  \
       cl_int *))                                                                                                      \
    F(cl_int, ReleaseContext, (cl_context))                                                                            \
    F(cl_command_queue, CreateCommandQueue, (cl_context, cl_device_id, cl_bitfield, cl_int *))                         \
    F(cl_int, ReleaseCommandQueue, (cl_command_queue))                                                                 \
    F(cl_mem, CreateBuffer, (cl_context, cl_bitfield, size_t, void *, cl_int *))                                       \
    F(cl_mem, CreateSubBuffer, (cl_mem, cl_bitfield, cl_uint, const void *, cl_int *))                                 \
    F(cl_mem, CreateImage,                                                                                             \
      (cl_context, cl_bitfield, const cl_image_format *, const cl_image_desc *, void *, cl_int *))                     \
    F(cl_int, ReleaseMemObject, (cl_mem))                                                                              \
    F(cl_program, CreateProgramWithSource, (cl_context, cl_uint, const char **, const size_t *, cl_int *))             \
    F(cl_program, CreateProgramWithBinary,                                                                             \
      (cl_context, cl_uint, const cl_device_id *, const size_t *, const unsigned char **, cl_int *, cl_int *))         \
    F(cl_int, GetProgramInfo, (cl_program, cl_uint, size_t, void *, size_t *))                                         \
    F(cl_int, BuildProgram,                                                                                            \
      (cl_program, cl_uint, const cl_device_id *, const char *, void (*)(cl_program, void *), void *))                 \
    F(cl_int, GetProgramBuildInfo, (cl_program, cl_device_id, cl_uint, size_t, void *, size_t *))                      \
    F(cl_int, ReleaseProgram, (cl_program))                                                                            \
    F(cl_kernel, CreateKernel, (cl_program, const char *, cl_int *))                                                   \
    F(cl_int, SetKernelArg, (cl_kernel, cl_uint, size_t, const void *))                                                \
    F(cl_int, GetKernelWorkGroupInfo, (cl_kernel, cl_device_id, cl_uint, size_t, void *, size_t *))                    \
    F(cl_int, ReleaseKernel, (cl_kernel))                                                                              \
    F(cl_int, EnqueueNDRangeKernel,                                                                                    \
      (cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,                  \
       const cl_event *, cl_event *))                                                                                  \
    F(cl_int, EnqueueReadBuffer,                                                                                       \
      (cl_command_queue, cl_mem, cl_uint, size_t, size_t, void *, cl_uint, const cl_event *, cl_event *))              \
    F(cl_int, EnqueueWriteBuffer,                                                                                      \
      (cl_command_queue, cl_mem, cl_uint, size_t, size_t, const void *, cl_uint, const cl_event *, cl_event *))        \
    F(cl_int, WaitForEvents, (cl_uint, const cl_event *))                                                              \
    F(cl_int, GetEventProfilingInfo, (cl_event, cl_uint, size_t, void *, size_t *))                                    \
    F(cl_int, ReleaseEvent, (cl_event))                                                                                \
    F(cl_int, Flush, (cl_command_queue))                                                                               \
    F(cl_int, Finish, (cl_command_queue))

struct opencl_api {
    void *library;
#define MEMBER(result, name, parameters) result(*name) parameters;
    OPENCL_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Find the library: $HETPART_OPENCL if set and nothing else, then where Linux and Android keep it. */
hp_code hp_opencl_open(struct opencl_api *api, hp_error *error);

/* The first GPU of any platform, or the first device of another type. `name` receives its name. */
hp_code hp_opencl_device(const struct opencl_api *api, cl_device_id *device, char *name, size_t name_bytes,
                         hp_error *error);

/* "CL_OUT_OF_RESOURCES (-5)" and so on; valid until the thread's next call. */
const char *hp_opencl_status(cl_int status);

void hp_opencl_close(struct opencl_api *api);

#endif

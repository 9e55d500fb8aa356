/* Finding OpenCL on the device. */
#include "opencl_api.h"

#include "error.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 16 };

static const char *const LIBRARIES[] = {
    "libOpenCL.so",
    "libOpenCL.so.1",
    "/vendor/lib64/libOpenCL.so", /* Android; from API 31 on the app's manifest must name it as uses-native-library */
    "/system/vendor/lib64/libOpenCL.so",
    "libOpenCL-pixel.so",         /* Google Tensor */
    "/vendor/lib64/egl/libGLES_mali.so",
};

static bool find_functions(struct opencl_api *api)
{
#define FIND(result, name, parameters)                                                                                 \
    *(void **)&api->name = dlsym(api->library, "cl" #name);                                                            \
    if (!api->name) {                                                                                                  \
        return false;                                                                                                  \
    }
    OPENCL_FUNCTIONS(FIND)
#undef FIND
    return true;
}

static bool try_library(struct opencl_api *api, const char *path)
{
    api->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (api->library && find_functions(api)) {
        return true;
    }
    hp_opencl_close(api);
    return false;
}

hp_code hp_opencl_open(struct opencl_api *api, hp_error *error)
{
    const char *chosen = getenv("HETPART_OPENCL");
    if (chosen && *chosen) {
        return try_library(api, chosen) ? HP_OK
                                        : hp_fail(error, HP_NO_OPENCL,
                                                  "HETPART_OPENCL=%s is not a library with OpenCL 1.2", chosen);
    }
    for (size_t i = 0; i < sizeof LIBRARIES / sizeof *LIBRARIES; i++) {
        if (try_library(api, LIBRARIES[i])) {
            return HP_OK;
        }
    }
    return hp_fail(error, HP_NO_OPENCL, "no OpenCL 1.2 library on this device (looked for libOpenCL.so and others)");
}

void hp_opencl_close(struct opencl_api *api)
{
    if (api->library) {
        dlclose(api->library);
    }
    *api = (struct opencl_api){0};
}

hp_code hp_opencl_device(const struct opencl_api *api, cl_device_id *device, char *name, size_t name_bytes,
                         hp_error *error)
{
    static const cl_bitfield types[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL};
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint count = 0;
    cl_int status = api->GetPlatformIDs(MAX_PLATFORMS, platforms, &count);
    if (status || count == 0) {
        return hp_fail(error, HP_NO_OPENCL, "the OpenCL library knows no platform: %s", hp_opencl_status(status));
    }
    count = count < MAX_PLATFORMS ? count : MAX_PLATFORMS;
    for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
        for (cl_uint i = 0; i < count; i++) {
            cl_uint devices = 0;
            if (api->GetDeviceIDs(platforms[i], types[type], 1, device, &devices) == CL_SUCCESS && devices) {
                name[0] = '\0';
                api->GetDeviceInfo(*device, CL_DEVICE_NAME, name_bytes, name, NULL);
                return HP_OK;
            }
        }
    }
    return hp_fail(error, HP_NO_OPENCL, "none of %u OpenCL platforms has a device", count);
}

const char *hp_opencl_status(cl_int status)
{
    static _Thread_local char text[64];
    static const struct {
        cl_int status;
        const char *name;
    } names[] = {
        {0, "CL_SUCCESS"},
        {-1, "CL_DEVICE_NOT_FOUND"},
        {-2, "CL_DEVICE_NOT_AVAILABLE"},
        {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {-5, "CL_OUT_OF_RESOURCES"},
        {-6, "CL_OUT_OF_HOST_MEMORY"},
        {-7, "CL_PROFILING_INFO_NOT_AVAILABLE"},
        {-10, "CL_IMAGE_FORMAT_NOT_SUPPORTED"},
        {-11, "CL_BUILD_PROGRAM_FAILURE"},
        {-13, "CL_MISALIGNED_SUB_BUFFER_OFFSET"},
        {-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
        {-30, "CL_INVALID_VALUE"},
        {-38, "CL_INVALID_MEM_OBJECT"},
        {-40, "CL_INVALID_IMAGE_SIZE"},
        {-46, "CL_INVALID_KERNEL_NAME"},
        {-49, "CL_INVALID_ARG_INDEX"},
        {-51, "CL_INVALID_ARG_SIZE"},
        {-52, "CL_INVALID_KERNEL_ARGS"},
        {-54, "CL_INVALID_WORK_GROUP_SIZE"},
        {-55, "CL_INVALID_WORK_ITEM_SIZE"},
        {-61, "CL_INVALID_BUFFER_SIZE"},
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    };
    const char *name = "OpenCL error";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].status == status) {
            name = names[i].name;
        }
    }
    snprintf(text, sizeof text, "%s (%d)", name, (int)status);
    return text;
}

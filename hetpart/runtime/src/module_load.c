/* Where the CPU kernels of a bundle come from. */
#include "module_load.h"

#include "error.h"
#include "file.h"
#include "tvm.h"

#include <dlfcn.h>
#include <stdlib.h>

#if defined(__aarch64__) && defined(__ANDROID__)
#define TRIPLE "aarch64-linux-android"
#elif defined(__aarch64__)
#define TRIPLE "aarch64-linux-gnu"
#elif defined(__x86_64__)
#define TRIPLE "x86_64-linux-gnu"
#else
#error "hetpart has no CPU modules for this processor"
#endif

static hp_code load_library(const char *path, const struct hp_module **module, void **library, hp_error *error)
{
    if (!hp_exists(path)) {
        return hp_fail(error, HP_MODULE, "%s: no such file: the bundle has no CPU kernels for " TRIPLE, path);
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        return hp_fail(error, HP_MODULE, "%s", dlerror());
    }
    *module = dlsym(handle, "hp_module");
    if (!*module) {
        dlclose(handle);
        return hp_fail(error, HP_MODULE, "%s: not a hetpart module", path);
    }
    *library = handle;
    return HP_OK;
}

hp_code hp_module_load(const char *folder, const hp_options *options, const struct hp_module **module, void **library,
                       hp_error *error)
{
    hp_code code = HP_OK;
    if (options->module) {
        *module = options->module;
    } else if (options->module_path) {
        code = load_library(options->module_path, module, library, error);
    } else {
        char *path = hp_join(folder, "cpu/" TRIPLE "/libmodel.so");
        code = path ? load_library(path, module, library, error) : hp_fail(error, HP_MEMORY, "no memory");
        free(path);
    }
    if (code) {
        return code;
    }
    if ((*module)->abi != HP_MODULE_ABI) {
        return hp_fail(error, HP_VERSION, "the module of CPU kernels has ABI %u, this runtime (%s) speaks ABI %d",
                       (*module)->abi, hp_version(), HP_MODULE_ABI);
    }
    (*module)->set_hooks(&hp_tvm_hooks);
    return HP_OK;
}

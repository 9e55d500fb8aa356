/* Where the CPU kernels of a bundle come from. */
#include "module_load.h"

#include "error.h"
#include "part.h"
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

static hp_code open_library(const char *path, const struct hp_module **module, void **library, hp_error *error)
{
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

/* The bundle's own library. It is checked before the loader, which trusts its input, sees it. */
static hp_code open_part(struct machine *machine, void **library, hp_error *error)
{
    static const char name[] = "cpu/" TRIPLE "/libmodel.so";
    struct mapping mapping = {0};
    if (!hp_part_exists(&machine->plan, name)) {
        return hp_fail(error, HP_MODULE, "%s: the bundle has no CPU kernels for " TRIPLE, machine->folder);
    }
    hp_code code = hp_part_map(machine, name, &mapping, error);
    if (code) {
        return code;
    }
    hp_unmap(&mapping);
    char *path = hp_join(machine->folder, name);
    code = path ? open_library(path, &machine->module, library, error) : hp_fail(error, HP_MEMORY, "no memory");
    free(path);
    return code;
}

hp_code hp_module_load(struct machine *machine, void **library, hp_error *error)
{
    const hp_options *options = &machine->options;
    hp_code code = HP_OK;
    if (options->module) {
        machine->module = options->module;
    } else if (options->module_path) {
        code = open_library(options->module_path, &machine->module, library, error);
    } else {
        code = open_part(machine, library, error);
    }
    if (code) {
        return code;
    }
    const struct hp_module *module = machine->module;
    if (module->abi != HP_MODULE_ABI) {
        return hp_fail(error, HP_VERSION, "the module of CPU kernels has ABI %u, this runtime (%s) speaks ABI %d",
                       module->abi, hp_version(), HP_MODULE_ABI);
    }
    if (module->digest != machine->plan.header->module) {
        return hp_fail(error, HP_MODULE, "%s: the CPU kernels that were %s are those of another bundle",
                       machine->folder, options->module ? "linked into the application" : "loaded");
    }
    module->set_hooks(&hp_tvm_hooks);
    return HP_OK;
}

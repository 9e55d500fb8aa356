/* Where the CPU kernels of a bundle come from. */
#ifndef HP_MODULE_LOAD_H
#define HP_MODULE_LOAD_H

#include "hetpart.h"
#include "module.h"

/* The application's module, or a shared library's, ready for calls. `*library` is to be given to dlclose, or NULL. */
hp_code hp_module_load(const char *folder, const hp_options *options, const struct hp_module **module, void **library,
                       hp_error *error);

#endif

/* Where the CPU kernels of a bundle come from. */
#ifndef HP_MODULE_LOAD_H
#define HP_MODULE_LOAD_H

#include "processor.h"

/* Sets `machine->module` to the application's module, or a shared library's, ready for calls. `*library` is to be given
 * to dlclose, or NULL. */
hp_code hp_module_load(struct machine *machine, void **library, hp_error *error);

#endif

/* The files of a bundle that the runtime loads, checked against what the plan says that they hold. */
#ifndef HP_PART_H
#define HP_PART_H

#include "file.h"
#include "processor.h"

/* Map the file `name` of the bundle. It is refused unless it has the length and, without options.skip_file_check, the
 * digest that the plan has for it. */
hp_code hp_part_map(const struct machine *machine, const char *name, struct mapping *mapping, hp_error *error);

bool hp_part_exists(const struct plan *plan, const char *name);

#endif

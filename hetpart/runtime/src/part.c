#include "part.h"

#include "digest.h"
#include "error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct plan_part *find(const struct plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->header->part_count; i++) {
        if (strcmp(plan_string(plan, plan->parts[i].name), name) == 0) {
            return &plan->parts[i];
        }
    }
    return NULL;
}

bool hp_part_exists(const struct plan *plan, const char *name)
{
    return find(plan, name) != NULL;
}

hp_code hp_part_map(const struct machine *machine, const char *name, struct mapping *mapping, hp_error *error)
{
    const struct plan_part *part = find(&machine->plan, name);
    if (!part) {
        return hp_fail(error, HP_PLAN, "the plan does not say what %s must hold", name);
    }
    char *path = hp_join(machine->folder, name);
    hp_code code = path ? hp_map_file(path, (size_t)part->bytes, mapping, error)
                        : hp_fail(error, HP_MEMORY, "no memory for a path");
    if (!code && !machine->options.skip_file_check) {
        uint64_t digest = hp_digest(mapping->data ? mapping->data : "", mapping->bytes, 0);
        if (digest != part->digest) {
            code = hp_fail(error, HP_FILE, "%s: damaged: its digest is %016" PRIx64 ", the plan expects %016" PRIx64,
                           path, digest, part->digest);
            hp_unmap(mapping);
        }
    }
    free(path);
    return code;
}

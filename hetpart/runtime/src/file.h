/* Files of a bundle, read whole or mapped, and zeroed memory by the page. */
#ifndef HP_FILE_H
#define HP_FILE_H

#include "hetpart.h"

#include <stdbool.h>

/* Memory from hp_map_file or hp_map_zeros; `data` is NULL and `bytes` 0 for none. */
struct mapping {
    void *data;
    size_t bytes;
};

/* "folder/name", allocated; NULL if out of memory. */
char *hp_join(const char *folder, const char *name);

bool hp_exists(const char *path);

/* The file's bytes followed by a NUL that `*bytes` does not count; `*data` is malloc'ed. */
hp_code hp_read_file(const char *path, char **data, size_t *bytes, hp_error *error);

/* Map a file read-only. It must be exactly `bytes` long; 0 bytes map to nothing. */
hp_code hp_map_file(const char *path, size_t bytes, struct mapping *mapping, hp_error *error);

/* `bytes` of zeros on a page boundary, rounded up to a multiple of 4096. */
hp_code hp_map_zeros(size_t bytes, struct mapping *mapping, hp_error *error);

void hp_unmap(struct mapping *mapping);

#endif

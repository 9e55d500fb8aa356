/* Filling an hp_error: a code and a formatted sentence. */
#ifndef HP_ERROR_H
#define HP_ERROR_H

#include "hetpart.h"

/* Returns `code`, so that a failure is one statement: `return hp_fail(error, HP_FILE, "%s: gone", path);`
 * `error` may be NULL. */
hp_code hp_fail(hp_error *error, hp_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

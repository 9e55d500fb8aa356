/* All plans of a bundle, run in turn, and two of them at once. */
#ifndef HP_PROFILE_ROUNDS_H
#define HP_PROFILE_ROUNDS_H

#include "profile_plans.h"

#include <stdio.h>

/* Run `most` rounds, or fewer if they take longer than the limit, and write the members of a JSON list to `file`: the
 * trace of every recorded run, run_ns and call_ns of every other, and the two traces of runs at the same time.
 * `scratch` is a path for one trace at a time. */
hp_code hp_profiler_measure(struct profiler *profiler, long most, long time_limit_s, FILE *file, const char *scratch,
                            hp_error *error);

#endif

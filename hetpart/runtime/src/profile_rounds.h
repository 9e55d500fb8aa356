/* All plans of a bundle, run in turn. */
#ifndef HP_PROFILE_ROUNDS_H
#define HP_PROFILE_ROUNDS_H

#include "hetpart.h"

#include <stdio.h>

struct profiler;

/* Load every plan of a bundle twice, with a recorder and without, and the inputs. `*profiler` is the caller's, also on
 * failure (it may be NULL), to be given to hp_profiler_free. `options` says where plans run; its plan and trace do not
 * matter. */
hp_code hp_profiler_open(const char *bundle, const hp_options *options, struct profiler **profiler, hp_error *error);

void hp_profiler_free(struct profiler *profiler);

/* Run `most` rounds, or fewer if they take longer than the limit, and write the members of a JSON list to `file`: the
 * trace of every recorded run, and run_ns and call_ns of every other. `scratch` is a path for one trace at a time. */
hp_code hp_profiler_measure(struct profiler *profiler, long most, long time_limit_s, FILE *file, const char *scratch,
                            hp_error *error);

#endif

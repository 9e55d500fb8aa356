/* All plans of a bundle, loaded, and the inputs that they run on. */
#ifndef HP_PROFILE_PLANS_H
#define HP_PROFILE_PLANS_H

#include "hetpart.h"

enum { MAX_PLANS = 16 };

/* A plan, loaded twice: with a recorder and without. */
struct loaded {
    char file[256];
    hp_model *recorded, *plain;
};

struct profiler {
    struct loaded plans[MAX_PLANS]; /* by name */
    size_t plan_count;
    hp_tensor *inputs, *outputs; /* of any plan: all have the same ports */
    size_t input_count, output_count;
};

/* Load every plan of a bundle, and the inputs. `*profiler` is the caller's, also on failure (it may be NULL), to be given
 * to hp_profiler_free. `options` says where plans run; its plan and trace do not matter. */
hp_code hp_profiler_open(const char *bundle, const hp_options *options, struct profiler **profiler, hp_error *error);

void hp_profiler_free(struct profiler *profiler);

#endif

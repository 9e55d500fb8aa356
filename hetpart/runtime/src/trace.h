/* When each step ran: recorded per run, written as Chrome trace JSON. */
#ifndef HP_TRACE_H
#define HP_TRACE_H

#include "plan.h"

/* One command on one processor. Times are CLOCK_MONOTONIC; both 0 if it did not run. */
struct span {
    uint32_t step;        /* index in the plan */
    int64_t transfer;     /* buffer that is moved, or -1 for the step's kernel */
    uint64_t start_ns, end_ns;
};

/* One processor's commands, in order. */
struct trace_row {
    struct span *spans;
    uint32_t count;
};

struct trace {
    struct trace_row rows[PLAN_MAX_PROCESSORS];
    uint64_t start_ns, end_ns; /* of the run; 0 before the first */
};

/* Room for `count` spans of processor `row`. */
hp_code hp_trace_reserve(struct trace *trace, uint32_t row, uint32_t count, hp_error *error);

hp_code hp_trace_write(const struct trace *trace, const struct plan *plan, const char *path, hp_error *error);

void hp_trace_free(struct trace *trace);

#endif

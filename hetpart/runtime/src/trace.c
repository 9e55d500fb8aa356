/* The last run as Chrome trace JSON ("Trace Event Format": complete events, microseconds). */
#include "trace.h"

#include "error.h"
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hp_code hp_trace_reserve(struct trace *trace, uint32_t row, uint32_t count, hp_error *error)
{
    trace->rows[row].spans = calloc((size_t)count + 1, sizeof(struct span));
    trace->rows[row].count = count;
    return trace->rows[row].spans ? HP_OK : hp_fail(error, HP_MEMORY, "no memory for a trace of %u events", count);
}

void hp_trace_free(struct trace *trace)
{
    for (int row = 0; row < PLAN_MAX_PROCESSORS; row++) {
        free(trace->rows[row].spans);
    }
    *trace = (struct trace){0};
}

/* Nanoseconds as microseconds, without the locale's decimal point. */
static void write_us(FILE *file, const char *key, uint64_t ns)
{
    fprintf(file, ",\"%s\":%" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

static void write_row_name(FILE *file, uint32_t row, const char *name)
{
    fprintf(file, ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\",\"args\":{\"name\":", row + 1);
    hp_json_string(file, name);
    fprintf(file, "}}");
}

static void write_span(FILE *file, const struct plan *plan, uint32_t row, const struct span *span, uint64_t origin_ns)
{
    const struct plan_step *step = &plan->steps[span->step];
    bool transfer = span->transfer >= 0;
    fprintf(file, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"cat\":\"%s\",\"name\":", row + 1,
            transfer ? "transfer" : "step");
    hp_json_string(file, plan_string(plan, transfer ? plan->buffers[span->transfer].name : step->unit));
    write_us(file, "ts", span->start_ns > origin_ns ? span->start_ns - origin_ns : 0);
    write_us(file, "dur", span->end_ns > span->start_ns ? span->end_ns - span->start_ns : 0);
    if (transfer) {
        fprintf(file, ",\"args\":{\"bytes\":%" PRIu64 ",\"unit\":", plan->buffers[span->transfer].bytes);
        hp_json_string(file, plan_string(plan, step->unit));
    } else {
        fprintf(file, ",\"args\":{\"predicted_us\":%u,\"kernel\":", step->predicted_us);
        hp_json_string(file, plan_string(plan, step->kernel));
    }
    fprintf(file, "}}");
}

hp_code hp_trace_write(const struct trace *trace, const struct plan *plan, const char *path, hp_error *error)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        return hp_fail(error, HP_FILE, "%s: %s", path, strerror(errno));
    }
    fprintf(file, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    fprintf(file, "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"hetpart\"}}");
    for (uint32_t row = 0; row < plan->header->processor_count; row++) {
        write_row_name(file, row, plan_string(plan, plan->processors[row].name));
        for (uint32_t i = 0; i < trace->rows[row].count; i++) {
            const struct span *span = &trace->rows[row].spans[i];
            if (span->end_ns) {
                write_span(file, plan, row, span, trace->start_ns);
            }
        }
    }
    fprintf(file, "\n],\"otherData\":{\"predicted_us\":%" PRIu64 ",\"start_ns\":%" PRIu64, plan->header->predicted_us,
            trace->start_ns);
    fprintf(file, ",\"run_ns\":%" PRIu64 "}}\n", trace->end_ns - trace->start_ns);
    bool written = !ferror(file);
    if (fclose(file) != 0 || !written) {
        return hp_fail(error, HP_FILE, "%s: cannot be written: %s", path, strerror(errno));
    }
    return HP_OK;
}

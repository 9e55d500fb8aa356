#include "profile_rounds.h"

#include "error.h"
#include "file.h"
#include "json.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LEAST_ROUNDS = 5, /* whatever the time limit */
    PLAIN_RUNS = 2,   /* runs without a recorder in each turn */
    LONG_RUN_MS = 100,
};

/* Where traces go, one member after the other. */
struct list {
    FILE *file;
    const char *scratch;   /* path for a trace */
    const char *separator; /* before the next member */
};

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static hp_code infer(struct profiler *profiler, hp_model *model, hp_error *error)
{
    return hp_infer(model, profiler->inputs, profiler->input_count, profiler->outputs, profiler->output_count, error);
}

/* A run before those that count. A long one finds nothing in the caches that the run before it left there. */
static hp_code warm_up(struct profiler *profiler, hp_model *model, hp_error *error)
{
    return hp_run_ns(model) > LONG_RUN_MS * 1000000u ? HP_OK : infer(profiler, model, error);
}

/* Begins a member, which is about `plan` and open. */
static void begin(struct list *list, const struct loaded *plan)
{
    fprintf(list->file, "%s\n{\"plan\":", list->separator);
    hp_json_string(list->file, plan->file);
    list->separator = ",";
}

/* The trace of the last run, as a member. */
static hp_code append_trace(struct list *list, const struct loaded *plan, hp_error *error)
{
    char *text;
    size_t bytes;
    hp_code code = hp_trace(plan->recorded, list->scratch, error);
    code = code ? code : hp_read_file(list->scratch, &text, &bytes, error);
    if (!code) {
        begin(list, plan);
        fprintf(list->file, ",\"trace\":%s}", text);
        free(text);
    }
    return code;
}

/* One plan's turn: a run to warm up, one with a recorder, and the same without. */
static hp_code take_turn(struct profiler *profiler, const struct loaded *plan, struct list *list, hp_error *error)
{
    hp_code code = warm_up(profiler, plan->recorded, error);
    code = code ? code : infer(profiler, plan->recorded, error);
    code = code ? code : append_trace(list, plan, error);
    code = code ? code : warm_up(profiler, plan->plain, error);
    for (int i = 0; !code && i < PLAIN_RUNS; i++) {
        uint64_t start_ns = now_ns();
        code = infer(profiler, plan->plain, error);
        uint64_t call_ns = now_ns() - start_ns;
        begin(list, plan);
        fprintf(list->file, ",\"run_ns\":%" PRIu64 ",\"call_ns\":%" PRIu64 "}", hp_run_ns(plan->plain), call_ns);
    }
    return code;
}

/* A recorded run in a thread of its own. It leaves the outputs alone, which belong to the other run. */
struct companion {
    struct profiler *profiler;
    const struct loaded *plan;
    atomic_bool started;
    hp_code code;
    hp_error error;
};

static void *accompany(void *argument)
{
    struct companion *self = argument;
    struct profiler *profiler = self->profiler;
    atomic_store(&self->started, true);
    self->code = hp_infer(self->plan->recorded, profiler->inputs, profiler->input_count, NULL, 0, &self->error);
    return NULL;
}

static hp_code infer_both(struct profiler *profiler, const struct loaded *plan, const struct loaded *beside,
                          hp_error *error)
{
    struct companion companion = {.profiler = profiler, .plan = beside};
    pthread_t thread;
    if (pthread_create(&thread, NULL, accompany, &companion)) {
        return hp_fail(error, HP_THREAD, "cannot start a thread for %s", beside->file);
    }
    while (!atomic_load(&companion.started)) { /* starting it takes as long as some networks */
        sched_yield();
    }
    hp_code code = infer(profiler, plan->recorded, error);
    pthread_join(thread, NULL);
    if (!code && companion.code && error) {
        *error = companion.error;
    }
    return code ? code : companion.code;
}

/* Two plans at once, with a recorder: how much their processors slow each other down. */
static hp_code run_together(struct profiler *profiler, const struct loaded *plan, const struct loaded *beside,
                            struct list *list, hp_error *error)
{
    hp_code code = warm_up(profiler, plan->recorded, error);
    code = code ? code : warm_up(profiler, beside->recorded, error);
    code = code ? code : infer_both(profiler, plan, beside, error);
    if (!code) {
        fprintf(list->file, "%s\n{\"together\":[", list->separator);
        list->separator = "";
        code = append_trace(list, plan, error);
        code = code ? code : append_trace(list, beside, error);
        fprintf(list->file, "]}");
    }
    return code;
}

static const struct loaded *find(const struct profiler *profiler, const char *file)
{
    for (size_t i = 0; i < profiler->plan_count; i++) {
        if (strcmp(profiler->plans[i].file, file) == 0) {
            return &profiler->plans[i];
        }
    }
    return NULL;
}

hp_code hp_profiler_measure(struct profiler *profiler, long most, long time_limit_s, FILE *file, const char *scratch,
                            hp_error *error)
{
    struct list list = {file, scratch, ""};
    const struct loaded *host = find(profiler, "plan.bin"), *gpu = find(profiler, "plan-gpu.bin");
    hp_code code = HP_OK;
    size_t count = profiler->plan_count;
    for (size_t i = 0; !code && i < count; i++) { /* pages of weights and arenas are touched */
        code = infer(profiler, profiler->plans[i].recorded, error);
        code = code ? code : infer(profiler, profiler->plans[i].plain, error);
    }
    uint64_t end_ns = now_ns() + (uint64_t)time_limit_s * 1000000000u;
    for (long round = 0; !code && round < most; round++) {
        if (round >= LEAST_ROUNDS && now_ns() > end_ns) {
            break;
        }
        for (size_t i = 0; !code && i < count; i++) {
            code = take_turn(profiler, &profiler->plans[((size_t)round + i) % count], &list, error);
        }
        code = code || !host || !gpu ? code : run_together(profiler, host, gpu, &list, error);
        printf("round %ld of %ld\n", round + 1, most);
        fflush(stdout);
    }
    return code;
}

#include "profile_rounds.h"

#include "error.h"
#include "file.h"
#include "json.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_PLANS = 16,
    LEAST_ROUNDS = 5, /* whatever the time limit */
    PLAIN_RUNS = 2,   /* runs without a recorder in each turn */
};

/* A plan, loaded twice: with a recorder and without. */
struct loaded {
    char file[256];
    hp_model *recorded, *plain;
};

struct profiler {
    struct loaded plans[MAX_PLANS];
    size_t plan_count;
    hp_tensor *inputs, *outputs; /* of any plan: all have the same ports */
    size_t input_count, output_count;
    FILE *file;            /* where the list goes */
    const char *separator; /* before its next member */
};

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct loaded *)a)->file, ((const struct loaded *)b)->file);
}

/* The bundle's plan.bin and plan-NAME.bin, by name. */
static hp_code find_plans(struct profiler *profiler, const char *bundle, hp_error *error)
{
    DIR *folder = opendir(bundle);
    if (!folder) {
        return hp_fail(error, HP_FILE, "%s: no such folder", bundle);
    }
    hp_code code = HP_OK;
    for (struct dirent *entry; !code && (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (profiler->plan_count == MAX_PLANS) {
            code = hp_fail(error, HP_PLAN, "%s: more than %d plans", bundle, MAX_PLANS - 1);
        } else if (strncmp(entry->d_name, "plan", 4) == 0 && length >= 8 && length < sizeof profiler->plans[0].file &&
            strcmp(entry->d_name + length - 4, ".bin") == 0) {
            memcpy(profiler->plans[profiler->plan_count++].file, entry->d_name, length + 1);
        }
    }
    closedir(folder);
    qsort(profiler->plans, profiler->plan_count, sizeof profiler->plans[0], by_name);
    return code || profiler->plan_count ? code : hp_fail(error, HP_FILE, "%s: has no plans", bundle);
}

static hp_code load_plans(struct profiler *profiler, const char *bundle, const hp_options *chosen, hp_error *error)
{
    hp_code code = find_plans(profiler, bundle, error);
    for (size_t i = 0; !code && i < profiler->plan_count; i++) {
        struct loaded *plan = &profiler->plans[i];
        hp_options options = *chosen;
        options.plan = plan->file;
        options.trace = 1;
        code = hp_load(bundle, &options, &plan->recorded, error);
        options.trace = 0;
        code = code ? code : hp_load(bundle, &options, &plan->plain, error);
    }
    return code;
}

static hp_code read_inputs(struct profiler *profiler, const char *bundle, hp_error *error)
{
    hp_model *model = profiler->plans[0].plain;
    profiler->input_count = hp_input_count(model);
    profiler->output_count = hp_output_count(model);
    profiler->inputs = calloc(profiler->input_count + 1, sizeof *profiler->inputs);
    profiler->outputs = calloc(profiler->output_count + 1, sizeof *profiler->outputs);
    if (!profiler->inputs || !profiler->outputs) {
        return hp_fail(error, HP_MEMORY, "%s: no memory for inputs and outputs", bundle);
    }
    hp_code code = HP_OK;
    for (size_t i = 0; !code && i < profiler->input_count; i++) {
        char name[32], *data = NULL;
        snprintf(name, sizeof name, "input-%zu.bin", i);
        char *path = hp_join(bundle, name);
        hp_tensor *tensor = &profiler->inputs[i];
        tensor->name = hp_input(model, i)->name;
        code = path ? hp_read_file(path, &data, &tensor->bytes, error) : hp_fail(error, HP_MEMORY, "%s: no memory", name);
        tensor->data = data;
        free(path);
    }
    for (size_t i = 0; !code && i < profiler->output_count; i++) {
        const hp_port *port = hp_output(model, i);
        profiler->outputs[i] = (hp_tensor){port->name, malloc(port->bytes + 1), port->bytes};
        code = profiler->outputs[i].data ? HP_OK : hp_fail(error, HP_MEMORY, "%s: no memory", port->name);
    }
    return code;
}

static hp_code infer(struct profiler *profiler, hp_model *model, hp_error *error)
{
    return hp_infer(model, profiler->inputs, profiler->input_count, profiler->outputs, profiler->output_count, error);
}

/* The trace of the last run, as a member of the file's list. */
static hp_code append_trace(struct profiler *profiler, struct loaded *plan, const char *scratch, hp_error *error)
{
    char *text;
    size_t bytes;
    hp_code code = hp_trace(plan->recorded, scratch, error);
    code = code ? code : hp_read_file(scratch, &text, &bytes, error);
    if (!code) {
        fprintf(profiler->file, "%s\n{\"plan\":", profiler->separator);
        hp_json_string(profiler->file, plan->file);
        fprintf(profiler->file, ",\"trace\":%s}", text);
        profiler->separator = ",";
        free(text);
    }
    return code;
}

/* One plan's turn: a run to warm up, one with a recorder, and the same without. */
static hp_code take_turn(struct profiler *profiler, struct loaded *plan, const char *scratch, hp_error *error)
{
    hp_code code = infer(profiler, plan->recorded, error);
    code = code ? code : infer(profiler, plan->recorded, error);
    code = code ? code : append_trace(profiler, plan, scratch, error);
    code = code ? code : infer(profiler, plan->plain, error);
    for (int i = 0; !code && i < PLAIN_RUNS; i++) {
        uint64_t start_ns = now_ns();
        code = infer(profiler, plan->plain, error);
        uint64_t call_ns = now_ns() - start_ns;
        fprintf(profiler->file, "%s\n{\"plan\":", profiler->separator);
        hp_json_string(profiler->file, plan->file);
        fprintf(profiler->file, ",\"run_ns\":%" PRIu64 ",\"call_ns\":%" PRIu64 "}", hp_run_ns(plan->plain), call_ns);
    }
    return code;
}

hp_code hp_profiler_open(const char *bundle, const hp_options *options, struct profiler **profiler, hp_error *error)
{
    *profiler = calloc(1, sizeof **profiler);
    if (!*profiler) {
        return hp_fail(error, HP_MEMORY, "no memory for %d plans", MAX_PLANS);
    }
    hp_code code = load_plans(*profiler, bundle, options, error);
    return code ? code : read_inputs(*profiler, bundle, error);
}

hp_code hp_profiler_measure(struct profiler *profiler, long most, long time_limit_s, FILE *file, const char *scratch,
                            hp_error *error)
{
    profiler->file = file;
    profiler->separator = "";
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
            code = take_turn(profiler, &profiler->plans[((size_t)round + i) % count], scratch, error);
        }
        printf("round %ld of %ld\n", round + 1, most);
        fflush(stdout);
    }
    return code;
}

void hp_profiler_free(struct profiler *profiler)
{
    if (!profiler) {
        return;
    }
    for (size_t i = 0; i < profiler->plan_count; i++) {
        hp_free(profiler->plans[i].recorded);
        hp_free(profiler->plans[i].plain);
    }
    for (size_t i = 0; profiler->inputs && i < profiler->input_count; i++) {
        free(profiler->inputs[i].data);
    }
    for (size_t i = 0; profiler->outputs && i < profiler->output_count; i++) {
        free(profiler->outputs[i].data);
    }
    free(profiler->inputs);
    free(profiler->outputs);
    free(profiler);
}

#include "profile_plans.h"

#include "error.h"
#include "file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

hp_code hp_profiler_open(const char *bundle, const hp_options *options, struct profiler **profiler, hp_error *error)
{
    *profiler = calloc(1, sizeof **profiler);
    if (!*profiler) {
        return hp_fail(error, HP_MEMORY, "no memory for %d plans", MAX_PLANS);
    }
    hp_code code = load_plans(*profiler, bundle, options, error);
    return code ? code : read_inputs(*profiler, bundle, error);
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

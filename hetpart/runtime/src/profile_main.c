/*
 * hetpart-profile: run all plans of a bundle in turn, with and without a recorder, and write every trace to one file.
 *
 *   hetpart-profile BUNDLE TRACES [--runs N] [--time-limit SECONDS] [--threads N] [--cpu-cores MASK]
 *                   [--opencl-cores MASK] [--cache-dir DIR] [--device NAME] [--unit-local-size]
 *
 * BUNDLE is what `hetpart profile --emit-profiler` wrote: the plans, input-I.bin for every input, and profiler.json,
 * which says what they are and goes into TRACES as it is. `hetpart profile --from-trace TRACES` makes a profile of it.
 * Exits with 0, with the hp_code of a failure, or with 64 for a wrong command line.
 */
#include "error.h"
#include "file.h"
#include "profile_device.h"
#include "profile_rounds.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { USAGE = 64 };

struct arguments {
    const char *bundle, *traces, *device;
    long runs, time_limit_s;
    hp_options options;
};

static bool parse(int count, char **words, struct arguments *arguments)
{
    hp_options *options = &arguments->options;
    for (int i = 1; i < count; i++) {
        const char *flag = words[i];
        if (strcmp(flag, "--unit-local-size") == 0) {
            options->unit_local_size = 1;
            continue;
        }
        if (flag[0] != '-' && !arguments->traces) {
            *(arguments->bundle ? &arguments->traces : &arguments->bundle) = flag;
            continue;
        }
        const char *value = i + 1 < count ? words[++i] : NULL;
        if (!value) {
            fprintf(stderr, "hetpart-profile: %s: unknown, or its value is missing\n", flag);
            return false;
        }
        if (strcmp(flag, "--runs") == 0) {
            arguments->runs = strtol(value, NULL, 10);
        } else if (strcmp(flag, "--time-limit") == 0) {
            arguments->time_limit_s = strtol(value, NULL, 10);
        } else if (strcmp(flag, "--threads") == 0) {
            options->cpu_threads = (int)strtol(value, NULL, 10);
        } else if (strcmp(flag, "--cpu-cores") == 0) {
            options->cpu_cores = strtoull(value, NULL, 0);
        } else if (strcmp(flag, "--opencl-cores") == 0) {
            options->opencl_cores = strtoull(value, NULL, 0);
        } else if (strcmp(flag, "--cache-dir") == 0) {
            options->cache_dir = value;
        } else if (strcmp(flag, "--device") == 0) {
            arguments->device = value;
        } else {
            fprintf(stderr, "hetpart-profile: %s %s: not understood\n", flag, value);
            return false;
        }
    }
    return arguments->traces && arguments->runs > 0 && arguments->time_limit_s >= 0;
}

static hp_code write_traces(struct profiler *profiler, const struct arguments *arguments, const char *about, FILE *file,
                            hp_error *error)
{
    size_t length = strlen(arguments->traces) + sizeof ".one";
    char *scratch = malloc(length);
    if (!scratch) {
        return hp_fail(error, HP_MEMORY, "no memory for a path");
    }
    snprintf(scratch, length, "%s.one", arguments->traces);
    fprintf(file, "{\"format\":\"hetpart-traces\",\"schema\":2,\n\"bundle\":%s,\n\"device\":{", about);
    hp_write_device(file, arguments->device);
    fprintf(file, "},\n\"load_before\":");
    hp_write_load(file);
    fprintf(file, ",\n\"runs\":[");
    hp_code code = hp_profiler_measure(profiler, arguments->runs, arguments->time_limit_s, file, scratch, error);
    fprintf(file, "\n],\n\"load_after\":");
    hp_write_load(file);
    fprintf(file, "}\n");
    remove(scratch);
    free(scratch);
    return code;
}

/* All of the file or none of it. */
static hp_code profile(struct profiler *profiler, const struct arguments *arguments, hp_error *error)
{
    char *path = hp_join(arguments->bundle, "profiler.json"), *about = NULL;
    size_t bytes;
    hp_code code = path ? hp_read_file(path, &about, &bytes, error) : hp_fail(error, HP_MEMORY, "no memory for a path");
    free(path);
    FILE *file = code ? NULL : fopen(arguments->traces, "w");
    if (!code && !file) {
        code = hp_fail(error, HP_FILE, "%s: %s", arguments->traces, strerror(errno));
    }
    if (!code) {
        code = write_traces(profiler, arguments, about, file, error);
        bool written = !ferror(file);
        if ((fclose(file) != 0 || !written) && !code) {
            code = hp_fail(error, HP_FILE, "%s: cannot be written: %s", arguments->traces, strerror(errno));
        }
        if (code) {
            remove(arguments->traces);
        }
    }
    free(about);
    return code;
}

int main(int count, char **words)
{
    struct arguments arguments = {.runs = 30, .time_limit_s = 30, .options = hp_options_default()};
    struct profiler *profiler;
    hp_error error;
    if (!parse(count, words, &arguments)) {
        fprintf(stderr, "usage: hetpart-profile BUNDLE TRACES [--runs N] [--time-limit SECONDS] ...\n");
        return USAGE;
    }
    hp_code code = hp_profiler_open(arguments.bundle, &arguments.options, &profiler, &error);
    code = code ? code : profile(profiler, &arguments, &error);
    hp_profiler_free(profiler);
    if (code) {
        fprintf(stderr, "hetpart-profile: %s [%s]\n", error.message, hp_code_name(code));
    } else {
        printf("wrote %s\n", arguments.traces);
    }
    return (int)code;
}

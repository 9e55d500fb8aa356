/*
 * hetpart-run: run a bundle on files of raw tensor data.
 *
 *   hetpart-run BUNDLE [--input NAME=FILE]... [--output-dir DIR] [--trace FILE] [--repeat N] [--threads N]
 *               [--cpu-cores MASK] [--opencl-cores MASK] [--plan NAME] [--module FILE] [--cache-dir DIR]
 *               [--unit-local-size] [--allow-cpu-fallback] [--skip-file-check]
 *
 * Inputs without a file are zeros; with --repeat 0 the bundle is only loaded. Output i of the model is written to DIR/output-i.bin. NAME ends at the last '='.
 * Exits with 0, with the hp_code of a failure, or with 64 for a wrong command line.
 */
#include "file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USAGE = 64 };

struct arguments {
    const char *bundle, *output_dir, *trace;
    char **inputs; /* NAME=FILE */
    int input_count;
    long repeat;
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
        if (strcmp(flag, "--allow-cpu-fallback") == 0) {
            options->allow_cpu_fallback = 1;
            continue;
        }
        if (strcmp(flag, "--skip-file-check") == 0) {
            options->skip_file_check = 1;
            continue;
        }
        if (flag[0] != '-' && !arguments->bundle) {
            arguments->bundle = flag;
            continue;
        }
        char *value = i + 1 < count ? words[++i] : NULL;
        if (!value) {
            fprintf(stderr, "hetpart-run: %s: unknown, or its value is missing\n", flag);
            return false;
        }
        if (strcmp(flag, "--input") == 0 && strchr(value, '=')) {
            arguments->inputs[arguments->input_count++] = value;
        } else if (strcmp(flag, "--output-dir") == 0) {
            arguments->output_dir = value;
        } else if (strcmp(flag, "--trace") == 0) {
            arguments->trace = value;
            options->trace = 1;
        } else if (strcmp(flag, "--repeat") == 0) {
            arguments->repeat = strtol(value, NULL, 10);
        } else if (strcmp(flag, "--threads") == 0) {
            options->cpu_threads = (int)strtol(value, NULL, 10);
        } else if (strcmp(flag, "--cpu-cores") == 0) {
            options->cpu_cores = strtoull(value, NULL, 0);
        } else if (strcmp(flag, "--opencl-cores") == 0) {
            options->opencl_cores = strtoull(value, NULL, 0);
        } else if (strcmp(flag, "--plan") == 0) {
            options->plan = value;
        } else if (strcmp(flag, "--cache-dir") == 0) {
            options->cache_dir = value;
        } else if (strcmp(flag, "--module") == 0) {
            options->module_path = value;
        } else {
            fprintf(stderr, "hetpart-run: %s %s: not understood\n", flag, value);
            return false;
        }
    }
    return arguments->bundle && arguments->repeat >= 0;
}

/* The file given for `name`, or NULL. */
static const char *input_file(const struct arguments *arguments, const char *name)
{
    for (int i = 0; i < arguments->input_count; i++) {
        const char *split = strrchr(arguments->inputs[i], '=');
        size_t length = (size_t)(split - arguments->inputs[i]);
        if (strlen(name) == length && memcmp(name, arguments->inputs[i], length) == 0) {
            return split + 1;
        }
    }
    return NULL;
}

static hp_code set_inputs(hp_model *model, const struct arguments *arguments, hp_error *error)
{
    hp_code code = HP_OK;
    for (size_t i = 0; !code && i < hp_input_count(model); i++) {
        const hp_port *port = hp_input(model, i);
        const char *path = input_file(arguments, port->name);
        char *data = NULL;
        size_t bytes = port->bytes;
        if (path) {
            code = hp_read_file(path, &data, &bytes, error);
        } else {
            data = calloc(bytes + 1, 1);
        }
        if (!code && data) {
            code = hp_set_input(model, port->name, data, bytes, error);
        }
        free(data);
    }
    return code;
}

static bool write_output(hp_model *model, size_t index, const char *folder, hp_error *error)
{
    char name[32];
    const hp_port *port = hp_output(model, index);
    snprintf(name, sizeof name, "output-%zu.bin", index);
    char *path = hp_join(folder, name);
    char *data = malloc(port->bytes + 1);
    FILE *file = path && data ? fopen(path, "wb") : NULL;
    bool written = file && !hp_get_output(model, port->name, data, port->bytes, error) &&
                   fwrite(data, 1, port->bytes, file) == port->bytes;
    if (file && fclose(file) != 0) {
        written = false;
    }
    if (written) {
        printf("output %zu \"%s\" %s: %zu bytes\n", index, port->name, port->dtype, port->bytes);
    } else {
        fprintf(stderr, "hetpart-run: output \"%s\" cannot be written to %s\n", port->name, folder);
    }
    free(path);
    free(data);
    return written;
}

static int run(hp_model *model, const struct arguments *arguments)
{
    hp_error error;
    hp_code code = HP_OK;
    uint64_t best_ns = UINT64_MAX;
    for (long i = 0; !code && i < arguments->repeat; i++) {
        if (!(code = set_inputs(model, arguments, &error)) && !(code = hp_run(model, &error))) {
            best_ns = hp_run_ns(model) < best_ns ? hp_run_ns(model) : best_ns;
        }
    }
    if (!code && arguments->trace) {
        code = hp_trace(model, arguments->trace, &error);
    }
    if (code) {
        fprintf(stderr, "hetpart-run: %s [%s]\n", error.message, hp_code_name(code));
        return (int)code;
    }
    printf("fastest of %ld: %.3f ms\n", arguments->repeat, (double)best_ns / 1e6);
    for (size_t i = 0; arguments->output_dir && i < hp_output_count(model); i++) {
        if (!write_output(model, i, arguments->output_dir, &error)) {
            return HP_FILE;
        }
    }
    return HP_OK;
}

int main(int count, char **words)
{
    struct arguments arguments = {.repeat = 1, .options = hp_options_default()};
    hp_model *model;
    hp_error error;
    int status = USAGE;
    arguments.inputs = calloc((size_t)count, sizeof *arguments.inputs);
    if (!arguments.inputs || !parse(count, words, &arguments)) {
        fprintf(stderr, "usage: hetpart-run BUNDLE [--input NAME=FILE]... [--output-dir DIR] [--trace FILE] ...\n");
    } else if (hp_load(arguments.bundle, &arguments.options, &model, &error)) {
        fprintf(stderr, "hetpart-run: %s [%s]\n", error.message, hp_code_name(error.code));
        status = (int)error.code;
    } else {
        printf("plan: %s\n", hp_plan(model));
        if (hp_fallback_reason(model)) {
            printf("fallback: %s\n", hp_fallback_reason(model));
        }
        status = arguments.repeat ? run(model, &arguments) : HP_OK;
        hp_free(model);
    }
    free(arguments.inputs);
    return status;
}

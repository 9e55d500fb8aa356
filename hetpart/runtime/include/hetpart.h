/*
 * hetpart.h: run a compiled bundle on the processors of this device.
 *
 *   hp_options options = hp_options_default();
 *   hp_model *model;
 *   hp_error error;
 *   if (hp_load("model.hetpart", &options, &model, &error)) { puts(error.message); return 1; }
 *   hp_set_input(model, "image", pixels, sizeof pixels, &error);
 *   hp_run(model, &error);
 *   hp_get_output(model, "logits", logits, sizeof logits, &error);
 *   hp_free(model);
 *
 * Every function that can fail returns an hp_code, HP_OK (0) on success, and fills `*error` if `error` is not NULL.
 * Memory that goes in stays the caller's and is not kept; memory that comes out belongs to the model and lives until
 * hp_free. All functions may be called from any thread; calls on one model are serialised. Only hp_free must be the
 * last one. Nothing is allocated between hp_load and hp_free, save what the OpenCL driver does for itself.
 */
#ifndef HETPART_H
#define HETPART_H

#include <stddef.h>
#include <stdint.h>

#define HP_VERSION_TEXT "0.1.0" /* of this header; hp_version() is the library's */

#define HP_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* Stable numbers; hp_code_name gives the same names in kebab case ("no-opencl"). */
typedef enum hp_code {
    HP_OK = 0,
    HP_BAD_ARGUMENT = 1, /* a wrong name, size or option */
    HP_FILE = 2,         /* a file of the bundle is missing, unreadable, of the wrong size or damaged */
    HP_PLAN = 3,         /* the plan is corrupt or contradicts itself */
    HP_VERSION = 4,      /* the bundle was written for another version of this runtime */
    HP_MODULE = 5,       /* the module of CPU kernels cannot be loaded or lacks a kernel */
    HP_NO_OPENCL = 6,    /* this device has no OpenCL library or no OpenCL device */
    HP_OPENCL = 7,       /* OpenCL refused a kernel, a buffer or a command */
    HP_KERNEL = 8,       /* a CPU kernel reported an error */
    HP_MEMORY = 9,       /* out of memory */
    HP_THREAD = 10,      /* a thread could not be started or pinned */
    HP_UNSUPPORTED = 11, /* the plan needs a processor that this runtime does not drive */
    HP_NO_INPUT = 12,    /* hp_run without all inputs set since the last run */
    HP_NO_TRACE = 13     /* nothing was recorded */
} hp_code;

typedef struct hp_error {
    hp_code code;
    char message[1024]; /* one sentence, NUL-terminated, naming the thing at fault; OpenCL build logs follow it */
} hp_error;

/* Kernels that are linked into the application (model.o of the bundle); it defines `hp_module`. */
struct hp_module;

typedef struct hp_options {
    int cpu_threads;          /* threads that share each CPU kernel; 0: as many as the plan was made for */
    uint64_t cpu_cores;       /* bit i: CPU threads may run on core i; 0: anywhere */
    uint64_t opencl_cores;    /* likewise for the thread that feeds OpenCL, and for PoCL's own workers, whose number
                                 becomes the number of cores named (only before PoCL's first use in the process) */
    int unit_local_size;      /* launch OpenCL kernels with local size 1, save those that need their work-groups: a
                                 rehearsal on devices that run one work-item at a time */
    int trace;                /* record when each step ran, for hp_trace; OpenCL then runs with profiling */
    int allow_cpu_fallback;   /* if OpenCL is missing or refuses, take plan-cpu.bin; see hp_fallback_reason */
    const char *plan;         /* file name of the plan inside the bundle; NULL: "plan.bin" */
    const char *module_path;  /* shared library of CPU kernels, looked for by dlopen; NULL: cpu/<triple>/libmodel.so of
                                 the bundle */
    const struct hp_module *module; /* statically linked kernels; comes before module_path */
    const char *cache_dir;    /* existing folder of the app for compiled OpenCL programs, so that only the first load
                                 on a device compiles; NULL: none. What does not fit the bundle, the device or its
                                 driver is ignored and replaced, and a folder that cannot be used is no error */
    int skip_file_check;      /* believe that weights.bin, libmodel.so and kernels.cl are what was written: lengths are
                                 compared, digests are not, so weights are read from the disk as kernels need them */
} hp_options;

/* One CPU thread, no pinning, no trace, no fallback. */
HP_API hp_options hp_options_default(void);

typedef struct hp_model hp_model;

/* An input or output: row-major, dense, in the type that the ONNX model declares. */
typedef struct hp_port {
    const char *name;
    const char *dtype; /* numpy's name: "float32", "int64", "bool", ... */
    int dims;
    const int64_t *shape;
    size_t bytes;
} hp_port;

/* One tensor of hp_infer. `data` is read for inputs and written for outputs. */
typedef struct hp_tensor {
    const char *name;
    void *data;
    size_t bytes;
} hp_tensor;

/* "0.1.0" */
HP_API const char *hp_version(void);

HP_API const char *hp_code_name(hp_code code);

/* Load the bundle folder `path`. `options` may be NULL. On success `*model` is the caller's, to be given to hp_free;
 * on failure it is NULL. Compiles the OpenCL kernels, which may take seconds, unless options->cache_dir has them. */
HP_API hp_code hp_load(const char *path, const hp_options *options, hp_model **model, hp_error *error);

/* Ends the model's threads and releases everything. NULL is allowed. */
HP_API void hp_free(hp_model *model);

HP_API size_t hp_input_count(const hp_model *model);
HP_API size_t hp_output_count(const hp_model *model);

/* The port at `index`, in the ONNX model's order; NULL beyond the last. */
HP_API const hp_port *hp_input(const hp_model *model, size_t index);
HP_API const hp_port *hp_output(const hp_model *model, size_t index);

/* Copy `bytes` bytes in; a run uses inputs up, so set each of them before every run. */
HP_API hp_code hp_set_input(hp_model *model, const char *name, const void *data, size_t bytes, hp_error *error);

/* Execute the plan; blocks until every output is there. */
HP_API hp_code hp_run(hp_model *model, hp_error *error);

/* Copy an output of the last run out. */
HP_API hp_code hp_get_output(hp_model *model, const char *name, void *data, size_t bytes, hp_error *error);

/* Set all inputs, run and copy outputs as one indivisible call: what threads that share a model want. Inputs that were
 * set before do not count. */
HP_API hp_code hp_infer(hp_model *model, const hp_tensor *inputs, size_t input_count, const hp_tensor *outputs,
                        size_t output_count, hp_error *error);

/* Duration of the last run in nanoseconds, without copies of inputs and outputs; 0 before the first. */
HP_API uint64_t hp_run_ns(hp_model *model);

/* Write the last run as Chrome trace JSON (chrome://tracing, Perfetto): a row per processor, an event per step. */
HP_API hp_code hp_trace(hp_model *model, const char *path, hp_error *error);

/* File name of the plan that was loaded, and why it is not the one asked for (NULL if it is). */
HP_API const char *hp_plan(const hp_model *model);
HP_API const char *hp_fallback_reason(const hp_model *model);

#ifdef __cplusplus
}
#endif

#endif

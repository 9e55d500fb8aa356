/*
 * The program of a GPU: compiled from the bundle's kernels.cl, or as the driver compiled it before.
 *
 * A cache file belongs to one source, device and driver. Its name is a digest of these, and its head repeats them in
 * words, so that neither another driver's program nor a collision is ever taken; a checksum finds damage. Whatever is
 * wrong with the cache, the source is compiled: it can make a load fast, but never fail.
 */
#include "digest.h"
#include "error.h"
#include "opencl.h"
#include "part.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char OPTIONS[] = "-cl-std=CL1.2";

/* In front of the binary in a cache file. */
struct head {
    char magic[8]; /* "HETCLBN", version 2 */
    uint64_t source_bytes, source_digest, binary_bytes, binary_digest;
    char device[512]; /* name, vendor, version and driver, one per line; zeros behind */
};
static const char MAGIC[8] = {'H', 'E', 'T', 'C', 'L', 'B', 'N', 2};

/* What the cache file for this source must begin with, as far as it is known without a binary. */
static struct head expected_head(const struct opencl *gpu, const struct mapping *source)
{
    static const cl_uint facts[] = {CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DEVICE_VERSION, CL_DRIVER_VERSION};
    struct head head = {.source_bytes = source->bytes,
                        .source_digest = hp_digest(source->bytes ? source->data : "", source->bytes, 0)};
    size_t used = 0;
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        char fact[128] = "";
        gpu->api.GetDeviceInfo(gpu->device, facts[i], sizeof fact, fact, NULL); /* too long: stays empty */
        fact[sizeof fact - 1] = '\0';
        used += (size_t)snprintf(head.device + used, sizeof head.device - used, "%.126s\n", fact);
    }
    return head;
}

/* "<cache_dir>/hetpart-<digest>.bin", allocated; NULL without a cache. */
static char *cache_path(const struct machine *machine, const struct head *head)
{
    char name[40];
    if (!machine->options.cache_dir || !*machine->options.cache_dir) {
        return NULL;
    }
    uint64_t key = hp_digest(head->device, sizeof head->device, head->source_digest);
    snprintf(name, sizeof name, "hetpart-%016" PRIx64 ".bin", key);
    return hp_join(machine->options.cache_dir, name);
}

static bool fits(const struct head *head, const struct head *wanted, size_t file_bytes, const char *binary)
{
    return memcmp(head->magic, wanted->magic, sizeof head->magic) == 0 && head->source_bytes == wanted->source_bytes &&
           head->source_digest == wanted->source_digest &&
           memcmp(head->device, wanted->device, sizeof head->device) == 0 &&
           head->binary_bytes == file_bytes - sizeof *head && head->binary_bytes > 0 &&
           hp_digest(binary, (size_t)head->binary_bytes, 0) == head->binary_digest;
}

/* Leaves `gpu->program` built if the cache has it, else NULL. */
static void load_cached(struct opencl *gpu, const char *path, const struct head *wanted)
{
    char *file = NULL;
    size_t bytes = 0;
    struct head head;
    if (!path || !hp_exists(path) || hp_read_file(path, &file, &bytes, NULL)) {
        return;
    }
    if (bytes > sizeof head) {
        memcpy(&head, file, sizeof head);
        if (fits(&head, wanted, bytes, file + sizeof head)) {
            const unsigned char *binary = (const unsigned char *)file + sizeof head;
            const size_t binary_bytes = bytes - sizeof head;
            cl_int taken = CL_SUCCESS, status = CL_SUCCESS;
            gpu->program = gpu->api.CreateProgramWithBinary(gpu->context, 1, &gpu->device, &binary_bytes, &binary,
                                                            &taken, &status);
            if (gpu->program &&
                (taken || status || gpu->api.BuildProgram(gpu->program, 1, &gpu->device, OPTIONS, NULL, NULL))) {
                gpu->api.ReleaseProgram(gpu->program);
                gpu->program = NULL;
            }
        }
    }
    free(file);
}

/* Writes the built program to a file of its own, which then takes its place at once. */
static void store(struct opencl *gpu, const char *path, struct head head)
{
    size_t bytes = 0;
    if (!path || gpu->api.GetProgramInfo(gpu->program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) || !bytes) {
        return;
    }
    unsigned char *binary = malloc(bytes);
    size_t length = strlen(path) + 32;
    char *work = malloc(length);
    if (binary && work && !gpu->api.GetProgramInfo(gpu->program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL)) {
        head.binary_bytes = bytes;
        head.binary_digest = hp_digest(binary, bytes, 0);
        snprintf(work, length, "%s.%ld", path, (long)getpid());
        FILE *file = fopen(work, "wb");
        bool written = file && fwrite(&head, sizeof head, 1, file) == 1 && fwrite(binary, bytes, 1, file) == 1;
        written = file && fclose(file) == 0 && written;
        if (file && (!written || rename(work, path) != 0)) {
            remove(work);
        }
    }
    free(work);
    free(binary);
}

static hp_code compile(struct opencl *gpu, const struct mapping *source, hp_error *error)
{
    cl_int status;
    char *text = malloc(source->bytes + 1); /* with a NUL behind it, should a driver look for one */
    if (!text) {
        return hp_fail(error, HP_MEMORY, "no memory for gpu/kernels.cl");
    }
    memcpy(text, source->bytes ? source->data : "", source->bytes);
    text[source->bytes] = '\0';
    gpu->program = gpu->api.CreateProgramWithSource(gpu->context, 1, (const char **)&text, &source->bytes, &status);
    free(text);
    if (!gpu->program) {
        return hp_opencl_failed(gpu, "source", "gpu/kernels.cl", status, error);
    }
    status = gpu->api.BuildProgram(gpu->program, 1, &gpu->device, OPTIONS, NULL, NULL);
    if (status) {
        size_t length = 0;
        gpu->api.GetProgramBuildInfo(gpu->program, gpu->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &length);
        char *log = calloc(length + 1, 1);
        if (log) {
            gpu->api.GetProgramBuildInfo(gpu->program, gpu->device, CL_PROGRAM_BUILD_LOG, length, log, NULL);
        }
        hp_fail(error, HP_OPENCL, "gpu/kernels.cl does not build on %s: %s\n%s", gpu->device_name,
                hp_opencl_status(status), log ? log : "");
        free(log);
        return HP_OPENCL;
    }
    return HP_OK;
}

hp_code hp_opencl_build_program(struct processor *self, hp_error *error)
{
    struct opencl *gpu = self->state;
    struct mapping source = {0};
    hp_code code = hp_part_map(self->machine, "gpu/kernels.cl", &source, error);
    if (code) {
        return code;
    }
    const struct head head = expected_head(gpu, &source);
    char *cached = cache_path(self->machine, &head);
    load_cached(gpu, cached, &head);
    if (!gpu->program && !(code = compile(gpu, &source, error))) {
        store(gpu, cached, head);
    }
    free(cached);
    hp_unmap(&source);
    return code;
}

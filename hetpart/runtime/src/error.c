/* Error codes as names, errors as sentences. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

hp_code hp_fail(hp_error *error, hp_code code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        error->code = code;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return code;
}

const char *hp_code_name(hp_code code)
{
    switch (code) {
    case HP_OK: return "ok";
    case HP_BAD_ARGUMENT: return "bad-argument";
    case HP_FILE: return "bundle-file";
    case HP_PLAN: return "corrupt-plan";
    case HP_VERSION: return "version-mismatch";
    case HP_MODULE: return "cpu-module";
    case HP_NO_OPENCL: return "no-opencl";
    case HP_OPENCL: return "opencl-failed";
    case HP_KERNEL: return "kernel-failed";
    case HP_MEMORY: return "out-of-memory";
    case HP_THREAD: return "thread-failed";
    case HP_UNSUPPORTED: return "unsupported-processor";
    case HP_NO_INPUT: return "input-not-set";
    case HP_NO_TRACE: return "no-trace";
    }
    return "unknown";
}

"""The functions of ``include/hetpart.h`` through ctypes, and its errors as exceptions."""

from __future__ import annotations

import ctypes as c
from functools import cache

from hetpart.errors import HetpartError
from hetpart.runtime.library import runtime_library

HINTS = {
    "no-opencl": "install OpenCL (here: pip install 'hetpart[opencl]'), or allow the CPU-only plan",
    "version-mismatch": "compile the model again with this version",
    "corrupt-plan": "compile the model again",
    "bundle-file": "copy the bundle again, or compile the model again",
    "cpu-module": "compile the model for this machine's target",
}


class Error(c.Structure):
    """hp_error."""

    _fields_ = (("code", c.c_int), ("message", c.c_char * 1024))


class Options(c.Structure):
    """hp_options."""

    _fields_ = (
        ("cpu_threads", c.c_int),
        ("cpu_cores", c.c_uint64),
        ("opencl_cores", c.c_uint64),
        ("unit_local_size", c.c_int),
        ("trace", c.c_int),
        ("allow_cpu_fallback", c.c_int),
        ("plan", c.c_char_p),
        ("module_path", c.c_char_p),
        ("module", c.c_void_p),
        ("cache_dir", c.c_char_p),
        ("skip_file_check", c.c_int),
    )


class Port(c.Structure):
    """hp_port."""

    _fields_ = (
        ("name", c.c_char_p),
        ("dtype", c.c_char_p),
        ("dims", c.c_int),
        ("shape", c.POINTER(c.c_int64)),
        ("bytes", c.c_size_t),
    )


class Tensor(c.Structure):
    """hp_tensor."""

    _fields_ = (("name", c.c_char_p), ("data", c.c_void_p), ("bytes", c.c_size_t))


@cache
def library() -> c.CDLL:
    """The runtime, loaded once, with the types of its functions."""
    loaded = c.CDLL(str(runtime_library()))
    model, error = c.c_void_p, c.POINTER(Error)
    signatures = {
        "hp_version": (c.c_char_p, ()),
        "hp_code_name": (c.c_char_p, (c.c_int,)),
        "hp_options_default": (Options, ()),
        "hp_load": (c.c_int, (c.c_char_p, c.POINTER(Options), c.POINTER(c.c_void_p), error)),
        "hp_free": (None, (model,)),
        "hp_input_count": (c.c_size_t, (model,)),
        "hp_output_count": (c.c_size_t, (model,)),
        "hp_input": (c.POINTER(Port), (model, c.c_size_t)),
        "hp_output": (c.POINTER(Port), (model, c.c_size_t)),
        "hp_infer": (c.c_int, (model, c.POINTER(Tensor), c.c_size_t, c.POINTER(Tensor), c.c_size_t, error)),
        "hp_run_ns": (c.c_uint64, (model,)),
        "hp_trace": (c.c_int, (model, c.c_char_p, error)),
        "hp_plan": (c.c_char_p, (model,)),
        "hp_fallback_reason": (c.c_char_p, (model,)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def check(code: int, error: Error) -> None:
    """Raise the HetpartError that a failed call reported; its code is `hp_code_name`'s."""
    if code:
        name = library().hp_code_name(code).decode()
        raise HetpartError(name, error.message.decode(errors="replace").strip(), hint=HINTS.get(name))

"""hetpart behind ONNX's backend interface: `prepare` and `run` ONNX models as other ONNX runtimes do.

    import hetpart.backend as backend
    (y,) = backend.run_model(model, [x])

`prepare` is `hetpart.compile` for target ``host`` into a temporary bundle, `run` is `hetpart.load` on it: the same
passes, kernels, checks and runtime as on the command line.
"""

from hetpart.backend.backend import HetpartBackend, HetpartRep

is_compatible = HetpartBackend.is_compatible
prepare = HetpartBackend.prepare
run = HetpartBackend.run_model
run_model = HetpartBackend.run_model
run_node = HetpartBackend.run_node
supports_device = HetpartBackend.supports_device

__all__ = [
    "HetpartBackend",
    "HetpartRep",
    "is_compatible",
    "prepare",
    "run",
    "run_model",
    "run_node",
    "supports_device",
]

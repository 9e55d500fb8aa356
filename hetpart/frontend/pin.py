"""Give every dynamic dimension of the inputs a size, from what the user said."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx

from hetpart.errors import HetpartError


def pin_shapes(
    model: onnx.ModelProto, weights: Collection[str], shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]
) -> None:
    """Make all input shapes of `model` static, in place.

    Args:
        model: a skeleton; its inputs named in `weights` are left alone.
        weights: names of inputs that stand for initialisers.
        shapes: full shapes of inputs by name. A symbol that a shape meets gets its size in all inputs.
        dims: sizes of symbols by name.

    Raises:
        HetpartError: ``unknown-input``, ``unknown-dim``, ``bad-shape``, ``rank-mismatch``, ``shape-contradiction``, or
            ``dynamic-shape`` where a dimension is still open.
    """
    inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    sizes = _Sizes()
    symbols = sorted({dim.dim_param for value in inputs.values() for dim in _dims(value) if dim.dim_param})
    for symbol, size in dims.items():
        if symbol not in symbols:
            known = ", ".join(symbols) or "none"
            raise HetpartError(
                "unknown-dim", f"no input has a dimension named '{symbol}'", hint=f"named dimensions: {known}"
            )
        if size < 1:
            raise HetpartError("bad-shape", f"sizes must be positive: --dim {symbol}={size}")
        sizes.bind(symbol, size, f"--dim {symbol}={size}")
    for name, shape in shapes.items():
        if name not in inputs:
            raise HetpartError("unknown-input", f"the model has no input '{name}'", hint=f"inputs: {', '.join(inputs)}")
        _pin(inputs[name], shape, sizes)
    for value in inputs.values():
        for axis, dim in enumerate(_dims(value)):
            if dim.dim_param in sizes.bound:
                dim.dim_value = sizes.bound[dim.dim_param][0]
            given = value.name in shapes or dim.dim_param in sizes.bound
            if dim.dim_value <= 0 and not given:  # unset, or the 0 and -1 that some exporters write for "unknown"
                raise _dynamic(value, axis)
        if not value.type.tensor_type.HasField("shape"):
            raise _dynamic(value, None)


class _Sizes:
    """What each symbol was bound to, and by which option."""

    def __init__(self) -> None:
        self.bound: dict[str, tuple[int, str]] = {}

    def bind(self, symbol: str, size: int, option: str) -> None:
        known, earlier = self.bound.setdefault(symbol, (size, option))
        if known != size:
            raise HetpartError(
                "shape-contradiction", f"dimension '{symbol}' is {known} by {earlier}, but {size} by {option}"
            )


def _pin(value: onnx.ValueInfoProto, shape: Sequence[int], sizes: _Sizes) -> None:
    option = f"--shape {value.name}:{','.join(map(str, shape))}"
    if any(size < 0 for size in shape):
        raise HetpartError("bad-shape", f"sizes must not be negative: {option}", node=value.name)
    if not value.type.tensor_type.HasField("shape"):
        for size in shape:
            value.type.tensor_type.shape.dim.add().dim_value = size
        value.type.tensor_type.shape.SetInParent()  # a scalar has a shape too
        return
    if len(shape) != len(_dims(value)):
        raise HetpartError(
            "rank-mismatch", f"input '{value.name}' has {len(_dims(value))} dimensions; {option} has {len(shape)}",
            node=value.name, hint=f"declared: {_describe(value)}",
        )  # fmt: skip
    for axis, (dim, size) in enumerate(zip(_dims(value), shape, strict=True)):
        if dim.dim_param:
            sizes.bind(dim.dim_param, size, option)
        elif dim.dim_value > 0 and dim.dim_value != size:
            raise HetpartError(
                "shape-contradiction",
                f"axis {axis} of input '{value.name}' is {dim.dim_value} in the model, {size} by {option}",
                node=value.name, hint="a static dimension can only be changed where the model is exported",
            )  # fmt: skip
        else:
            dim.dim_value = size


def _dynamic(value: onnx.ValueInfoProto, axis: int | None) -> HetpartError:
    if axis is None:
        return HetpartError(
            "dynamic-shape", f"input '{value.name}' has no shape", node=value.name,
            hint=f"pass its shape, e.g. --shape {value.name}:1,3,224,224",
        )  # fmt: skip
    symbol = _dims(value)[axis].dim_param
    example = ",".join(str(dim.dim_value) if dim.dim_value > 0 else "1" for dim in _dims(value))
    flag = f"--shape {value.name}:{example}"
    name = f"'{symbol}' " if symbol else ""
    return HetpartError(
        "dynamic-shape",
        f"input '{value.name}' has the shape {_describe(value)}: dimension {name}(axis {axis}) has no size",
        node=value.name,
        hint=f"pass --dim {symbol}=1 or {flag}" if symbol else f"pass {flag}",
    )


def _dims(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _describe(value: onnx.ValueInfoProto) -> str:
    return ",".join(dim.dim_param or (str(dim.dim_value) if dim.dim_value > 0 else "?") for dim in _dims(value))

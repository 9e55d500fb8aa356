"""What a kernel must compute, as plain data.

A spec holds everything that the generated code depends on and nothing else: logical shapes, layouts, attributes and
the epilogue. Equal specs share one kernel, and `signature` is the key of the compile cache. Importing this file does
not import tvm.

Argument order of every kernel, on every processor: ``inputs..., operands..., packed constants..., outputs...``; CPU
kernels end with two int32 scalars ``lo, hi``: the half-open range of work items to do (see hetpart.kernels.kernel).
Only an `OnnxSpec` becomes several kernels, whose calls say what they are given.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Layout, Plain, channels_last
from hetpart.graph.units import Picks


@dataclass(frozen=True)
class Spec:
    """Base of all specs. `outputs` and `inputs` are layouts in argument order; `operands` those of the epilogue."""

    @property
    def inputs(self) -> tuple[Layout, ...]:
        return (self.x,)  # type: ignore[attr-defined]  # every spec with another signature overrides this

    @property
    def outputs(self) -> tuple[Layout, ...]:
        return (self.out,)  # type: ignore[attr-defined]  # likewise

    @property
    def signature(self) -> str:
        """Stable digest of the spec (repr of frozen dataclasses of plain values is canonical)."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ConvSpec(Spec):
    """2-D convolution (1-D is mapped to height 1) with an epilogue.

    Constants: ``w`` (C_out, C_in / group, kh, kw) and ``b`` (C_out,) or absent. `pads` are top, left, bottom, right;
    ``x.halo`` covers what the windows reach beyond the image. ``group == x.c`` with one filter each is depthwise.
    An operand's layout broadcasts where its n, h or w is 1.
    """

    x: Blocked
    out: Blocked
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    bias: bool = True
    steps: tuple[Step, ...] = ()
    operands: tuple[Blocked, ...] = ()

    @property
    def depthwise(self) -> bool:
        return self.group > 1 and self.group == self.x.c == self.out.c

    @property
    def macs(self) -> int:
        o = self.out
        return o.n * o.c * o.h * o.w * (self.x.c // self.group) * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class ConvTransposeSpec(Spec):
    """2-D transposed convolution. Constants: ``w`` (C_in, C_out / group, kh, kw), ``b`` (C_out,) or absent.

    `out` fixes the output size, whatever output_padding or output_shape said; `pads` are the effective ones.
    """

    x: Blocked
    out: Blocked
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    bias: bool = True
    steps: tuple[Step, ...] = ()
    operands: tuple[Blocked, ...] = ()


@dataclass(frozen=True)
class DenseSpec(Spec):
    """``out[m, n] = sum_k x[m, k] * w[k, n] + b[n]``, then the epilogue; row-major x and out, w constant.

    ``x.shape`` is (..., k) with all leading dimensions flattened to m, ``out.shape`` is (..., n). Constants: ``w``
    (k, n) and ``b`` (n,) or absent. Operands broadcast to ``out.shape`` by ONNX's rules. `weights` is the type that the
    weights are stored in; where it is float16, the CPU also multiplies in it.
    """

    x: Plain
    out: Plain
    m: int
    k: int
    n: int
    bias: bool = True
    steps: tuple[Step, ...] = ()
    operands: tuple[Plain, ...] = ()
    weights: str = "float32"


@dataclass(frozen=True)
class MatmulSpec(Spec):
    """Batched ``out[..., m, n] = sum_k a[..., m, k] * b[..., k, n]`` of two activations with ONNX broadcasting.

    `a` and `b` may be `Strided`, with neighbouring elements in their last dimension.
    """

    a: Plain
    b: Plain
    out: Plain
    steps: tuple[Step, ...] = ()
    operands: tuple[Plain, ...] = ()

    @property
    def inputs(self) -> tuple[Layout, ...]:
        return (self.a, self.b)


@dataclass(frozen=True)
class PoolSpec(Spec):
    """Max or average pooling; windows are clipped to the image, ``x.halo`` is not relied upon.

    `mode` is ``max`` or ``average``; `include_pad` is ONNX's count_include_pad (declared pads count, the overhang
    of ceil_mode does not); `pads` are top, left, bottom, right.
    """

    x: Blocked
    out: Blocked
    mode: str
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    include_pad: bool = False


@dataclass(frozen=True)
class GlobalPoolSpec(Spec):
    """Mean (``average``) or maximum (``max``) over height and width; `out` is 1 x 1."""

    x: Blocked
    out: Blocked
    mode: str


@dataclass(frozen=True)
class SoftmaxSpec(Spec):
    """Softmax (or log-softmax) over the middle extent of row-major (outer, length, inner)."""

    x: Plain
    out: Plain
    outer: int
    length: int
    inner: int
    log: bool = False


@dataclass(frozen=True)
class LayerNormSpec(Spec):
    """Layer normalisation of row-major (rows, length) over `length`. Constants: ``scale``, ``b`` (length,) or absent.

    ``rms`` leaves out the mean (RMSNormalization).
    """

    x: Plain
    out: Plain
    rows: int
    length: int
    epsilon: float
    bias: bool = True
    rms: bool = False


@dataclass(frozen=True)
class InstanceNormSpec(Spec):
    """Normalisation of each (image, channel) plane, then the epilogue. Constants: ``scale`` (C,), ``b`` (C,)."""

    x: Blocked
    out: Blocked
    epsilon: float
    steps: tuple[Step, ...] = ()
    operands: tuple[Blocked, ...] = ()


@dataclass(frozen=True)
class EltwiseSpec(Spec):
    """``out = steps(x)``. All layouts are Blocked (halos may differ) or all are Plain.

    Blocked operands broadcast where n, h or w is 1 (c never, except c == 1: lane 0 of block 0 is meant);
    Plain x and operands broadcast to ``out.shape`` by ONNX's rules.
    """

    x: Layout
    out: Layout
    steps: tuple[Step, ...]
    operands: tuple[Layout, ...] = ()


@dataclass(frozen=True)
class RepackSpec(Spec):
    """Copy `x` into channels ``[channel, channel + x.c)`` of `out`, changing layout on the way.

    Plain x or out of a Blocked partner has the same logical NCHW shape, or with `nhwc` its transposition to NHWC.
    `channel` serves concatenation by copy (it need not be a multiple of the block); the halo of `out` is zeroed for
    the blocks that are touched.
    """

    x: Layout
    out: Layout
    channel: int = 0
    nhwc: bool = False

    @property
    def maps(self) -> tuple[Layout, Layout]:
        """x and `out`, the NHWC one as a map whose only block holds all channels: the same bytes."""
        if not self.nhwc:
            return self.x, self.out
        if isinstance(self.x, Blocked):
            return self.x, channels_last(self.x.shape, self.out.dtype)
        return channels_last(self.out.shape, self.x.dtype), self.out


@dataclass(frozen=True)
class ConcatSpec(Spec):
    """Row-major concatenation along `axis` of all inputs."""

    xs: tuple[Plain, ...]
    out: Plain
    axis: int

    @property
    def inputs(self) -> tuple[Layout, ...]:
        return self.xs


@dataclass(frozen=True)
class ChannelsSpec(Spec):
    """Channel ``i`` of `out` is the channel of the input that ``picks[i]`` says; any dtype, the same in all maps."""

    xs: tuple[Blocked, ...]
    out: Blocked
    picks: Picks

    @property
    def inputs(self) -> tuple[Layout, ...]:
        return self.xs


@dataclass(frozen=True)
class TransposeSpec(Spec):
    """Row-major permutation, ``out[i_perm] = x[i]`` as ONNX Transpose; any 1, 2, 4 or 8-byte dtype.

    `x` may be `Strided`.
    """

    x: Plain
    out: Plain
    perm: tuple[int, ...]


@dataclass(frozen=True)
class ResizeSpec(Spec):
    """Spatial resize of a Blocked map.

    `mode` is ``nearest`` or ``linear``; the source coordinate of every output row and column is computed at compile
    time (all ONNX coordinate and rounding modes): `rows` and `columns` hold (low index, high index, weight of high)
    per output line; nearest has equal indices and weight 0.
    """

    x: Blocked
    out: Blocked
    mode: str
    rows: tuple[tuple[int, int, float], ...]
    columns: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class PadSpec(Spec):
    """Spatial padding of a Blocked map; `mode` is ``constant``, ``reflect`` or ``edge``.

    `pads` are top, left, bottom, right; `value` fills a constant border.
    """

    x: Blocked
    out: Blocked
    mode: str
    pads: tuple[int, int, int, int]
    value: float = 0.0


@dataclass(frozen=True)
class Rounding:
    """How a kernel stores real values as integers: ``clamp(round(real / scale) + zero_point, low, high)``.

    Ties go to the even integer. The scale is not here: kernels get it folded into their multipliers.
    """

    zero_point: int
    low: int
    high: int


@dataclass(frozen=True)
class QConvSpec(Spec):
    """2-D convolution of a quantised map by int8 weights; geometry as in `ConvSpec`.

    ``acc = sum (x - zero point of x) * w + b`` in int32, then ``acc * scale[channel]`` in float32, stored as it is
    (`y` is None, `out` float32) or as `y` says. The halo of `x` holds its zero point.
    Constants: ``w`` int8 (C_out, C_in / group, kh, kw), ``b`` int32 (C_out,), ``scale`` float32 (C_out,), and
    ``zero_point``, a single integer.
    """

    x: Blocked
    out: Blocked
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    y: Rounding | None = None

    @property
    def depthwise(self) -> bool:
        return self.group > 1 and self.group == self.x.c == self.out.c


@dataclass(frozen=True)
class QDenseSpec(Spec):
    """`DenseSpec` of a quantised matrix by int8 weights; arithmetic and constants as in `QConvSpec`, ``w`` (k, n)."""

    x: Plain
    out: Plain
    m: int
    k: int
    n: int
    y: Rounding | None = None


@dataclass(frozen=True)
class QPoolSpec(Spec):
    """Pooling of a quantised map into other parameters; geometry as in `PoolSpec`.

    `mode` is ``average``: real numbers are summed, as in onnxruntime's QLinearAveragePool; ``sum``: so are integers,
    as in its QLinearGlobalAveragePool; or ``max``. `scales` are those of x and of out.
    """

    x: Blocked
    out: Blocked
    mode: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    include_pad: bool
    zero_point: int
    scales: tuple[float, float]
    y: Rounding


@dataclass(frozen=True)
class QEltwiseSpec(Spec):
    """`EltwiseSpec` in which any tensor may be quantised: real = scale * (stored - zero point).

    `schemes` are (scale, zero point) of x and of each operand, None where it is float32; `scale` is that of out, or 1
    where out is float32 and `y` None. Without steps this is QuantizeLinear, DequantizeLinear, or one after the other.
    """

    x: Layout
    out: Layout
    steps: tuple[Step, ...]
    operands: tuple[Layout, ...]
    schemes: tuple[tuple[float, int] | None, ...]
    scale: float = 1.0
    y: Rounding | None = None


@dataclass(frozen=True)
class OnnxSpec(Spec):
    """Any other operator: a one-unit ONNX model (serialised, constants inside), compiled through TVM's importer."""

    model: bytes
    xs: tuple[Plain, ...]
    outs: tuple[Plain, ...]

    @property
    def inputs(self) -> tuple[Layout, ...]:
        return self.xs

    @property
    def outputs(self) -> tuple[Layout, ...]:
        return self.outs

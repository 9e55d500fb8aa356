"""Decompositions, part 2: recurrent layers, one step after the other.

The number of steps is static, so the loop is written out: per step one product with the recurrent weights and the
gates; the products with the inputs are done for all steps at once. Weights may be computed. ``sequence_lens`` freezes a
sequence's state at its end and makes its later outputs zero.

Equations: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import operand, shape_of

_MAX_STEPS = 256
"""Longer sequences would become graphs of thousands of nodes."""

State = tuple[ir.Value, ...]
Cell = Callable[["_Direction", ir.Value, State], State]

_PLAIN = {"Relu": "Relu", "Tanh": "Tanh", "Sigmoid": "Sigmoid", "Softsign": "Softsign", "Softplus": "Softplus"}
_WITH_ALPHA = {"LeakyRelu": 0.01, "Elu": 1.0, "ThresholdedRelu": 1.0}


def rnn(at: Block) -> bool:
    """RNN -> its steps."""
    return _write_out(at, gates=1, states=1, activations=("Tanh",), cell=_rnn_cell)


def gru(at: Block) -> bool:
    """GRU -> its steps."""
    return _write_out(at, gates=3, states=1, activations=("Sigmoid", "Tanh"), cell=_gru_cell)


def lstm(at: Block) -> bool:
    """LSTM -> its steps."""
    return _write_out(at, gates=4, states=2, activations=("Sigmoid", "Tanh", "Tanh"), cell=_lstm_cell)


class _Direction:
    """One direction of a layer: its weights and activations."""

    def __init__(self, at: Block, index: int, gates: int, functions: tuple[str, ...]) -> None:
        self.at = at
        self.functions = functions
        self.hidden: int = shape_of(at.input(2))[-1]
        self.w = self._of(at.input(1), index)
        self.r = self._of(at.input(2), index)
        self.wb = self.rb = None
        bias = operand(at.node, 3)
        if bias is not None:
            both = self._of(bias, index)
            self.wb = at.slice(both, 0, 0, gates * self.hidden)
            self.rb = at.slice(both, 0, gates * self.hidden, 2 * gates * self.hidden)
        peepholes = operand(at.node, 7) if at.node.op_type == "LSTM" else None
        self.peepholes = None if peepholes is None else self._of(peepholes, index)

    def _of(self, value: ir.Value, index: int) -> ir.Value:
        """Direction `index` of a tensor whose first axis is the direction."""
        return self.at.reshape(self.at.slice(value, 0, index, index + 1), shape_of(value)[1:])

    def linear(self, x: ir.Value, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
        """``x @ weight.T + bias``"""
        made = self.at.op("MatMul", x, self.at.op("Transpose", weight, perm=[1, 0]))
        return made if bias is None else self.at.op("Add", made, bias)

    def gate(self, value: ir.Value, index: int) -> ir.Value:
        """Gate `index` along the last axis (of activations) or the first (of weights, biases, peepholes)."""
        axis = len(shape_of(value)) - 1
        return self.at.slice(value, axis, index * self.hidden, (index + 1) * self.hidden)

    def activate(self, index: int, x: ir.Value) -> ir.Value:
        """Activation `index`, after clipping its argument if the layer clips."""
        clip = self.at.attribute("clip", 0.0)
        if clip:
            x = self.at.op("Clip", x, self.at.const(-clip, like=x), self.at.const(clip, like=x))
        return _activation(self.at, self.functions[index], x)


def _activation(at: Block, name: str, x: ir.Value) -> ir.Value:
    if name in _WITH_ALPHA:
        return at.op(name, x, alpha=_WITH_ALPHA[name])
    if name == "HardSigmoid":
        return at.op("HardSigmoid", x, alpha=0.2, beta=0.5)
    return at.op(_PLAIN[name], x)


def _write_out(at: Block, gates: int, states: int, activations: tuple[str, ...], cell: Cell) -> bool:
    batch_first = bool(at.attribute("layout", 0))
    x = at.input(0)
    if batch_first:
        x = at.op("Transpose", x, perm=[1, 0, 2])
    steps, batch, _ = shape_of(x)
    directions, _, hidden = shape_of(at.input(2))
    names = at.attribute("activations", activations * directions)
    known = {*_PLAIN, *_WITH_ALPHA, "HardSigmoid"}
    if (
        steps > _MAX_STEPS
        or not known.issuperset(names)
        or {"activation_alpha", "activation_beta"} & set(at.node.attributes)
    ):
        return False
    lengths = operand(at.node, 4)
    initial = [operand(at.node, 5 + index) for index in range(states)]
    all_steps, last = [], []
    for index in range(directions):
        functions = tuple(names[index * len(activations) : (index + 1) * len(activations)])
        direction = _Direction(at, index, gates, functions)
        state = tuple(_initial(at, value, index, batch, hidden, batch_first) for value in initial)
        backward = at.attribute("direction", "forward") == "reverse" or index == 1
        made = direction.linear(x, direction.w, direction.wb)
        outputs: dict[int, ir.Value] = {}
        for step in reversed(range(steps)) if backward else range(steps):
            inputs = at.reshape(at.slice(made, 0, step, step + 1), (batch, gates * hidden))
            following = cell(direction, inputs, state)
            output = following[0]
            if lengths is not None:
                alive = at.op("Less", at.const(np.int32(step)), at.reshape(lengths, (batch, 1)))
                output = at.op("Where", alive, output, at.const(0.0, like=output))
                following = tuple(at.op("Where", alive, new, old) for new, old in zip(following, state, strict=True))
            state = following
            outputs[step] = at.reshape(output, (1, 1, batch, hidden))
        if lengths is not None:  # onnxruntime's reading of a sequence of no steps, of which ONNX says nothing
            begun = at.op("Less", at.const(np.int32(0)), at.reshape(lengths, (batch, 1)))
            state = tuple(at.op("Where", begun, value, at.const(0.0, like=value)) for value in state)
        all_steps.append(_concat(at, [outputs[step] for step in range(steps)], 0))
        last.append([at.reshape(value, (1, batch, hidden)) for value in state])
    y = _concat(at, all_steps, 1)  # (steps, directions, batch, hidden)
    ends = [_concat(at, [state[index] for state in last], 0) for index in range(states)]
    if batch_first:
        y = at.op("Transpose", y, perm=[2, 0, 1, 3])
        ends = [at.op("Transpose", end, perm=[1, 0, 2]) for end in ends]
    return at.replace(y, *ends)


def _initial(at: Block, value: ir.Value | None, index: int, batch: int, hidden: int, batch_first: bool) -> ir.Value:
    if value is None:
        return at.const(np.zeros((batch, hidden)), like=at.input(0))
    if batch_first:
        value = at.op("Transpose", value, perm=[1, 0, 2])
    return at.reshape(at.slice(value, 0, index, index + 1), (batch, hidden))


def _concat(at: Block, values: list[ir.Value], axis: int) -> ir.Value:
    return values[0] if len(values) == 1 else at.op("Concat", *values, axis=axis)


def _rnn_cell(d: _Direction, inputs: ir.Value, state: State) -> State:
    return (d.activate(0, d.at.op("Add", inputs, d.linear(state[0], d.r, d.rb))),)


def _gru_cell(d: _Direction, inputs: ir.Value, state: State) -> State:
    op = d.at.op
    (h,) = state
    n = d.hidden
    both = d.at.slice(d.r, 0, 0, 2 * n)
    both_bias = None if d.rb is None else d.at.slice(d.rb, 0, 0, 2 * n)
    recurrent = d.linear(h, both, both_bias)
    z = d.activate(0, op("Add", d.gate(inputs, 0), d.gate(recurrent, 0)))
    r = d.activate(0, op("Add", d.gate(inputs, 1), d.gate(recurrent, 1)))
    rh = d.at.slice(d.r, 0, 2 * n, 3 * n)
    rbh = None if d.rb is None else d.at.slice(d.rb, 0, 2 * n, 3 * n)
    if d.at.attribute("linear_before_reset", 0):
        hidden = op("Mul", r, d.linear(h, rh, rbh))
    else:
        hidden = d.linear(op("Mul", r, h), rh, rbh)
    candidate = d.activate(1, op("Add", d.gate(inputs, 2), hidden))
    one = d.at.const(1.0, like=h)
    return (op("Add", op("Mul", op("Sub", one, z), candidate), op("Mul", z, h)),)


def _lstm_cell(d: _Direction, inputs: ir.Value, state: State) -> State:
    op = d.at.op
    h, c = state
    gates = op("Add", inputs, d.linear(h, d.r, d.rb))  # input, output, forget, cell
    i, o, f, g = (d.gate(gates, index) for index in range(4))
    if d.peepholes is not None:
        i = op("Add", i, op("Mul", d.gate(d.peepholes, 0), c))
        f = op("Add", f, op("Mul", d.gate(d.peepholes, 2), c))
    i = d.activate(0, i)
    coupled = d.at.attribute("input_forget", 0)
    f = op("Sub", d.at.const(1.0, like=i), i) if coupled else d.activate(0, f)
    new = op("Add", op("Mul", f, c), op("Mul", i, d.activate(1, g)))
    if d.peepholes is not None:
        o = op("Add", o, op("Mul", d.gate(d.peepholes, 1), new))
    return (op("Mul", d.activate(0, o), d.activate(2, new)), new)

"""Decompositions, part 8: counting n-grams of tokens."""

from __future__ import annotations

from functools import reduce

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import shape_of

_MAX_COMPARISONS = 1 << 12
"""Nodes that a vectoriser may become: one for every token of its pool, and every distance."""


def tf_idf_vectorizer(at: Block) -> bool:
    """TfIdfVectorizer of integers -> for every n-gram, the number of places at which its tokens stand.

    The tokens of an n-gram are 1 to ``max_skip_count + 1`` places apart; single tokens count once.
    """
    x, output = at.input(0), at.node.outputs[0]
    pool, targets = at.attribute("pool_int64s", ()), at.attribute("ngram_indexes", ())
    first, last = at.attribute("min_gram_length", 1), at.attribute("max_gram_length", 1)
    distances = at.attribute("max_skip_count", 0) + 1
    shape = shape_of(x)
    if not pool or 0 in shape or len(shape) not in (1, 2) or len(pool) * distances > _MAX_COMPARISONS:
        return False
    tokens = at.reshape(at.cast(x, ir.DataType.INT64), (shape[0] if len(shape) == 2 else 1, shape[-1]))
    rows, length = shape_of(tokens)
    grams = _grams(pool, at.attribute("ngram_counts", ()))
    if len(grams) != len(targets) or len(set(grams)) < len(grams):
        return False
    weights, mode = at.attribute("weights", ()), at.attribute("mode", "TF")
    if mode != "TF" and weights and list(targets) != list(range(len(weights))):
        return False  # of the n-gram, says ONNX; of the column, say onnxruntime and ONNX's reference
    width = shape_of(output)[-1]
    columns: list[ir.Value | None] = [None] * width
    for gram, target in zip(grams, targets, strict=True):
        size = len(gram)
        if not first <= size <= last:
            continue
        for distance in range(1, distances + 1 if size > 1 else 2):
            places = length - distance * (size - 1)
            if places <= 0:
                continue
            matches = [
                at.op("Equal", at.slice(tokens, 1, begin, begin + places), at.const(np.int64(token)))
                for begin, token in zip(range(0, size * distance, distance), gram, strict=True)
            ]
            there = reduce(lambda a, b: at.op("And", a, b), matches)
            count = at.op("ReduceSum", at.cast(there, ir.DataType.FLOAT), at.const([1]))
            before = columns[target]
            columns[target] = count if before is None else at.op("Add", before, count)
    empty = at.const(np.zeros((rows, 1), np.float32))
    counts = at.op("Concat", *(empty if column is None else column for column in columns), axis=1)
    if mode == "IDF":
        counts = at.cast(at.op("Greater", counts, at.const(np.float32(0))), ir.DataType.FLOAT)
    if mode != "TF" and weights:
        counts = at.op("Mul", counts, at.const(np.array(weights, np.float32)))
    return at.replace(at.reshape(counts, shape_of(output)))


def _grams(pool: tuple[int, ...], starts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The n-grams that lie in `pool` one behind the other: those of n tokens from ``starts[n - 1]`` on."""
    ends = [*starts[1:], len(pool)]
    return [
        tuple(pool[at : at + size])
        for size, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
        for at in range(start, end, size)
    ]

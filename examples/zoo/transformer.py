"""ViT-Tiny/16 (Touvron et al. 2021, "DeiT-Ti") and BERT-Tiny (Turc et al. 2019, google/bert_uncased_L-2_H-128_A-2).

Spelled as torch exports them: GELU from Erf, attention from MatMul and Softmax.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto

from examples.zoo.builder import Builder, Value


def vit_tiny(seed: int) -> onnx.ModelProto:
    """Input (1, 3, 224, 224); 196 patches of 16 x 16 and a class token; pre-norm blocks."""
    b = Builder("vit_tiny", seed)
    width, depth, heads = 192, 12, 3
    patches = b.conv(b.input("input", (1, 3, 224, 224)), width, 16, stride=16, pad=0, bias=True, gain=1.0)
    patches = b.transpose(b.reshape(patches, 1, width, -1), 0, 2, 1)
    x = b.concat(b.parameter("class_token", b.normal(1, 1, width)), patches)
    x = b.op("Add", x, b.normal(1, 197, width, std=0.3))
    branch_gain = 1 / (2 * depth)  # the sum of all residual branches has about the variance of one
    for _ in range(depth):
        normed = b.layer_norm(x)
        qkv = b.reshape(b.linear(normed, 3 * width), 1, 197, 3, heads, width // heads)
        qkv = b.transpose(qkv, 2, 0, 3, 1, 4)
        q, k, v = (b.op("Gather", qkv, np.array(i, np.int64), axis=0) for i in range(3))
        attended = b.linear(_attention(b, q, b.transpose(k, 0, 1, 3, 2), v), width, gain=16 * branch_gain)
        x = b.op("Add", x, attended)
        hidden = _gelu(b, b.linear(b.layer_norm(x), 4 * width, gain=2.0))
        x = b.op("Add", x, b.linear(hidden, width, gain=branch_gain))
    token = b.op("Gather", b.layer_norm(x), np.array(0, np.int64), axis=1)
    return b.finish(logits=b.dense(token, 1000))


def bert_tiny(seed: int) -> onnx.ModelProto:
    """128 tokens; outputs the last hidden state (1, 128, 128) and the pooled first token (1, 128)."""
    b = Builder("bert_tiny", seed)
    width, depth, heads, length, vocabulary = 128, 2, 2, 128, 30522
    names = ("input_ids", "attention_mask", "token_type_ids")
    ids, mask, kinds = (b.input(name, (1, length), TensorProto.INT64) for name in names)
    words = b.op("Gather", b.parameter("word_embeddings", b.normal(vocabulary, width)), ids, axis=0)
    segments = b.op("Gather", b.parameter("token_type_embeddings", b.normal(2, width, std=0.3)), kinds, axis=0)
    table = b.parameter("position_embeddings", b.normal(512, width, std=0.3))
    positions = b.op("Gather", table, np.arange(length, dtype=np.int64)[None], axis=0)
    x = b.layer_norm(b.op("Add", b.op("Add", words, segments), positions), epsilon=1e-12)
    bias = _mask_bias(b, mask)
    for _ in range(depth):
        q, k, v = (b.reshape(b.linear(x, width), 1, length, heads, width // heads) for _ in range(3))
        q, k, v = b.transpose(q, 0, 2, 1, 3), b.transpose(k, 0, 2, 3, 1), b.transpose(v, 0, 2, 1, 3)
        attended = b.linear(_attention(b, q, k, v, bias), width, gain=16.0)
        x = b.layer_norm(b.op("Add", attended, x), epsilon=1e-12)
        hidden = b.linear(_gelu(b, b.linear(x, 4 * width, gain=2.0)), width)
        x = b.layer_norm(b.op("Add", hidden, x), epsilon=1e-12)
    pooled = b.op("Tanh", b.dense(b.op("Gather", x, np.array(0, np.int64), axis=1), width))
    return b.finish(last_hidden_state=x, pooler_output=pooled)


def _attention(b: Builder, q: Value, k_transposed: Value, v: Value, bias: Value | None = None) -> Value:
    """Softmax(q k' / sqrt(d) + bias) v of (n, heads, tokens, d), with the heads side by side again."""
    n, heads, tokens, d = q.shape
    scores = b.op("Div", b.op("MatMul", q, k_transposed), np.array(math.sqrt(d), np.float32))
    if bias:
        scores = b.op("Add", scores, bias)
    mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
    return b.reshape(b.transpose(mixed, 0, 2, 1, 3), n, tokens, heads * d)


def _gelu(b: Builder, x: Value) -> Value:
    """x / 2 * (1 + erf(x / sqrt 2)), node for node as torch's exporter writes it at opset 17."""
    erf = b.op("Erf", b.op("Div", x, np.array(math.sqrt(2), np.float32)))
    product = b.op("Mul", x, b.op("Add", erf, np.array(1, np.float32)))
    return b.op("Mul", product, np.array(0.5, np.float32))


def _mask_bias(b: Builder, mask: Value) -> Value:
    """(1, tokens) of 0 and 1 -> (1, 1, 1, tokens) with the lowest float where a token is masked out, else 0."""
    spread = b.op("Unsqueeze", b.op("Unsqueeze", mask, np.array([1], np.int64)), np.array([2], np.int64))
    inverted = b.op("Sub", np.array(1, np.float32), b.op("Cast", spread, to=TensorProto.FLOAT))
    return b.op("Mul", inverted, np.array(np.finfo(np.float32).min, np.float32))

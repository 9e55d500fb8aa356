"""Making a network smaller: what lossy passes are told of the target, what they did, and what it costs in accuracy."""

from hetpart.compression.context import NOT_EVALUATED, Compression, compression_context, predict_us

__all__ = ["NOT_EVALUATED", "Compression", "compression_context", "predict_us"]

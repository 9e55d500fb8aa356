"""Making a network smaller: what lossy passes are told of the target, what they did, and what it costs in accuracy."""

from hetpart.compression.accuracy import NOT_EVALUATED, Accuracy, Similarity
from hetpart.compression.context import Compression, compression_context, predict_us
from hetpart.compression.trial import AccuracyOptions, Trial

__all__ = [
    "NOT_EVALUATED",
    "Accuracy",
    "AccuracyOptions",
    "Compression",
    "Similarity",
    "Trial",
    "compression_context",
    "predict_us",
]

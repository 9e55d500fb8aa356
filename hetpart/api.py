"""The public Python functions; `hetpart` re-exports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hetpart.compiler import Model, Options, assess, prepare
from hetpart.phases import Phases
from hetpart.targets import load_target, target_names

if TYPE_CHECKING:
    from hetpart.bundle.read import Bundle
    from hetpart.compression.compress import CompressReport
    from hetpart.cost.predict import Prediction
    from hetpart.report.check import CheckReport
    from hetpart.report.profiles import ProfileReport
    from hetpart.runtime.session import Session


def compile(
    source: Model,
    target: str = "host",
    *,
    output: str | Path,
    options: Options | None = None,
    verify: str = "outputs",
    overwrite: bool = False,
    zip: bool = False,
) -> Bundle:
    """Compiles `source` for `target` and writes the bundle `output`; see `hetpart.build.build` for the arguments."""
    from hetpart.build import build
    from hetpart.bundle.read import read_bundle

    path = Path(output)
    build(source, target, path, options or Options(), verify=verify, overwrite=overwrite, as_zip=zip)
    return read_bundle(path)


def compress(
    source: str | Path,
    target: str = "host",
    *,
    passes: str,
    output: str | Path | None = None,
    calibration: str | Path | None = None,
    evaluation: str = "",
    max_drop: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> CompressReport:
    """Makes the model file `source` smaller for `target`, and writes it as the ONNX model `output`.

    `passes` is what ``--pass`` takes, separated by commas: ``prune-channels{ratio=0.3},repair``. The data and the limit
    are those of `hetpart.compression.AccuracyOptions`, the rest as for `hetpart.compression.compress.compress`. The
    report says what was saved and lost; `CompressReport.refused` why nothing was written, if so.
    """
    from hetpart.compression import AccuracyOptions
    from hetpart.compression.compress import compress as compress_model

    options = AccuracyOptions(None if calibration is None else Path(calibration), evaluation, max_drop, seed)
    path = None if output is None else Path(output)
    return compress_model(
        Path(source), load_target(target), passes, options, output=path, overwrite=overwrite, shapes=shapes, dims=dims
    )


def check(
    source: Model,
    target: str = "host",
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> CheckReport:
    """Verdicts for every operator of `source` on every processor of `target`, without compiling."""
    from hetpart.fallback import price_fallbacks
    from hetpart.report.check import check_report

    chosen = load_target(target)
    graph, _ = prepare(source, Options(shapes=shapes or {}, dims=dims or {}), Phases())
    return check_report(graph, chosen, price_fallbacks(assess(graph, chosen, Phases()), chosen))


def check_profiles(
    source: Model,
    profiles: Sequence[str],
    target: str = "host",
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> ProfileReport:
    """Verdicts for every operator of `source` under `profiles`: what other engines are published to support."""
    from hetpart.frontend import import_model
    from hetpart.oracle.profiles import load_profile
    from hetpart.report.profiles import profile_report

    chosen, known = load_target(target), [load_profile(name) for name in dict.fromkeys(profiles)]
    return profile_report(import_model(source, shapes=shapes, dims=dims), known, chosen)


def predict(
    source: Model,
    target: str = "sd855",
    *,
    processor: str = "cpu",
    threads: int | None = None,
    dtype: str = "fp32",
    engine: str = "hetpart",
    memory: str = "image",
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> Prediction:
    """An estimate of `source`'s latency on one processor of `target`; see `hetpart.cost.predict`.

    A chip with published latencies is predicted from them, whatever its target file says. For the other targets (this
    machine, a file of the user's, a chip that nobody measured) the estimate is that of the cost table in their file:
    see `hetpart.single`. An `engine` other than hetpart's is extrapolated even to a chip that nobody measured.

    `threads` counts on a CPU (None: 4, or what the target file says); `memory` on a GPU, for an engine that has kernels
    on buffers as well.
    """
    from hetpart.cost.fitted import published
    from hetpart.cost.layers import layers
    from hetpart.cost.phones import CHIPS, Setting
    from hetpart.cost.predict import OWN, check_setting, predict_latency
    from hetpart.single import estimate_latency

    by_law = target in CHIPS and (published(target) or engine != OWN)
    file = None if by_law or not (target in target_names() or target.endswith(".toml")) else load_target(target)
    usual = file.processor(processor).threads if file is not None else 4
    count = (usual if threads is None else threads) if processor == "cpu" else 0
    on_buffers = "buffer" if memory == "buffer" else ""
    setting = Setting(target if file is None else file.name, engine, processor, dtype, count, on_buffers)
    if file is None:
        check_setting(setting)
    graph, _ = prepare(source, Options(shapes=shapes or {}, dims=dims or {}), Phases())
    return predict_latency(layers(graph), setting) if file is None else estimate_latency(graph, file, setting)


def load(path: str | Path) -> Session:
    """Opens a bundle to run it on this machine: ``load(path).run({name: array}) -> {name: array}``."""
    from hetpart.runtime.session import Session

    return Session(path)

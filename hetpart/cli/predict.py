"""``hetpart predict``: how long a model would take on one processor of a phone."""

from __future__ import annotations

from typing import Annotated

import typer

from hetpart.cli.common import (
    DimOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
    console,
    parse_dims,
    parse_shapes,
    print_json,
)


def predict(
    model: ModelArgument,
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="CHIP|FILE", help="Chip, e.g. sd855; host; or a .toml file.")
    ] = "sd855",
    processor: Annotated[str, typer.Option("--processor", "-p", help="cpu or gpu.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads of the CPU, 1 to 8 (default: 4, or the file's).")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="fp32, fp16 or int8.")] = "fp32",
    engine: Annotated[
        str, typer.Option("--engine", help="Engine with published latencies, e.g. ncnn; hetpart: the fastest of them.")
    ] = "hetpart",
    memory: Annotated[str, typer.Option("--memory", help="GPU kernels of mace: image or buffer.")] = "image",
    shape: ShapeOption = None,
    dim: DimOption = None,
    json: JsonOption = False,
) -> None:
    """Estimate the latency of MODEL on one processor of a phone, from published latencies of other models.

    Where none are published (host, kirin985, a target file of yours) the estimate is that of the target's cost table.
    Exit code 0: estimated; 2: bad input, or nothing published to estimate from.
    """
    from hetpart.api import predict as predict_model
    from hetpart.errors import HetpartError

    if memory not in ("image", "buffer"):
        raise HetpartError("bad-option", f"--memory {memory}", hint="write image or buffer")
    if processor == "gpu" and threads is not None:
        raise HetpartError("bad-option", "--threads means nothing on a GPU")
    found = predict_model(
        model, target=target, processor=processor, threads=threads, dtype=dtype, engine=engine, memory=memory,
        shapes=parse_shapes(shape), dims=parse_dims(dim),
    )  # fmt: skip
    if json:
        print_json({"schema": 1, "model": str(model), "target": target, **found.to_json()})
        return
    out = console()
    if found.low_us is None or found.high_us is None:
        out.print(f"{found.latency_us / 1e3:.2f} ms, estimated: how far off is not known")
        out.print(f"from the cost table of {target}, as there is {found.extrapolated}")
    else:
        out.print(
            f"{found.latency_us / 1e3:.2f} ms, estimated: four of five lie in {found.low_us / 1e3:.2f} to "
            f"{found.high_us / 1e3:.2f} ms (by {found.band_of})"
        )
        out.print("from published latencies of other models")
    if found.left_out:
        out.print(f"not counted, as {processor} cannot run it: {', '.join(found.left_out)}")
    if found.engine != found.setting.engine:
        out.print(f"assumes kernels as fast as the fastest published engine's, here {found.setting.engine}")
    if found.extrapolated and found.method == "published-latencies":
        out.print(f"extrapolated: {found.extrapolated}")
    for name, share in found.shares.items():
        out.print(f"  {name:<12} {share:6.1%}")

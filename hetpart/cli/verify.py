"""``hetpart verify``: compare a bundle with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hetpart.cli.common import (
    BundleArgument,
    JsonOption,
    ModelArgument,
    console,
    open_session,
    plan_in_words,
    print_json,
)
from hetpart.cli.run import InputOption, SeedOption
from hetpart.errors import HetpartError

if TYPE_CHECKING:
    import numpy as np


def verify(
    bundle: BundleArgument,
    model: ModelArgument,
    input_: InputOption = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="Run a phone's bundle under qemu-aarch64.")] = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> int:
    """Run BUNDLE and compare its outputs with what onnxruntime computes from MODEL.

    Exit code 0: equal within the tolerance; 1: not equal; 2: bad input, or the bundle does not run here.
    """
    from hetpart.bundle.read import read_bundle
    from hetpart.cli.inputs import load_or_random
    from hetpart.frontend.load import read_proto
    from hetpart.runtime.emulate import emulate as run_emulated
    from hetpart.verify import compare, is_quantised, reference, spread, too_far

    read_proto(model)  # says what is wrong with a file that is no model; onnxruntime would not
    inputs = load_or_random(bundle, input_ or [], seed)
    if emulate:
        outputs, how = run_emulated(bundle, inputs), "aarch64 code and OpenCL under emulation"
    else:
        with open_session(bundle) as session:
            outputs, how = session.run(inputs), f"on this machine, plan {plan_in_words(session)}"
    expected = reference(model, inputs)
    _require_same_outputs(outputs, expected)
    differences = compare(outputs, expected)
    spreads = spread(model, inputs, expected) if is_quantised(model) else None
    storage = str(read_bundle(bundle).manifest.decision.get("storage", "float32"))
    wrong = too_far(differences, expected, spreads, storage)
    if json:
        rows = {name: asdict(found) for name, found in differences.items()}
        print_json({"schema": 1, "equal": not wrong, "how": how, "outputs": rows})
    else:
        out = console()
        for name, found in differences.items():
            verdict = f"; more than the {wrong[name]:.0e} allowed" if name in wrong else ""
            error = f"relative L2 error {found.rel_l2:.1e}{verdict}, largest difference {found.max_abs:.1e}"
            out.print(f"{name}: {error}", markup=False)
        out.print(f"{'not equal' if wrong else 'equal'} ({how})", style="bold red" if wrong else "", markup=False)
    return 1 if wrong else 0


def _require_same_outputs(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Refuses to compare a bundle with another model than its own."""

    def shapes(outputs: Mapping[str, np.ndarray]) -> dict[str, str]:
        return {name: f"{array.dtype}{list(array.shape)}" for name, array in outputs.items()}

    ours, theirs = shapes(actual), shapes(expected)
    if ours != theirs:
        bundle, model = (", ".join(f"{k} {v}" for k, v in sorted(outputs.items())) for outputs in (ours, theirs))
        raise HetpartError(
            "model-mismatch",
            f"the bundle computes {bundle}; the model computes {model}",
            hint="name the model that the bundle was compiled from",
        )

"""``hetpart verify``: compare a bundle with onnxruntime."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hetpart.cli.common import BundleArgument, JsonOption, ModelArgument, console, print_json
from hetpart.cli.run import InputOption, SeedOption


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
    from hetpart.cli.inputs import load_or_random
    from hetpart.errors import InternalError
    from hetpart.runtime.emulate import emulate as run_emulated
    from hetpart.runtime.session import Session
    from hetpart.verify import compare, reference, require_equal

    inputs = load_or_random(bundle, input_ or [], seed)
    if emulate:
        outputs, how = run_emulated(bundle, inputs), "aarch64 code and OpenCL under emulation"
    else:
        with Session(bundle) as session:
            outputs, how = session.run(inputs), f"on this machine, plan {session.plan_used}"
    expected = reference(model, inputs)
    differences = compare(outputs, expected)
    try:
        require_equal(differences, expected, how)
        equal = True
    except InternalError:
        equal = False
    if json:
        rows = {name: asdict(found) for name, found in differences.items()}
        print_json({"schema": 1, "equal": equal, "how": how, "outputs": rows})
    else:
        out = console()
        for name, found in differences.items():
            out.print(f"{name}: relative L2 error {found.rel_l2:.1e}, largest difference {found.max_abs:.1e}", markup=False)
        out.print(f"{'equal' if equal else '[bold red]not equal[/]'} ({how})")
    return 0 if equal else 1

"""Train -> compress -> repair -> compile -> run, from the committed weights, with every figure measured here.

Command line: ``python -m examples.digits [-o FOLDER]``; the folder gets the files for trying it by hand.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import onnx

import hetpart
from examples.digits import INPUT, MODEL, load
from examples.digits.compress import accuracy, accuracy_of, compress
from examples.zoo import macs, parameters

RATIOS = (0.2, 0.3, 0.4, 0.5)
ROUNDS = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.digits", description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("out/digits"), help="folder (default: %(default)s)")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    training, held_out = load()
    shutil.copy(MODEL, folder / "digits.onnx")
    np.savez(folder / "calibration.npz", **{INPUT: training.images})
    np.savez(folder / "heldout.npz", **{INPUT: held_out.images, "labels": held_out.labels.astype(np.int64)})

    print(f"accuracy on {len(held_out.labels)} held-out images; repaired with 256 training images without labels")
    print("pruned  one-shot  repaired  parameters")
    for ratio in RATIOS:
        result = compress(f"prune-channels{{ratio={ratio},multiple=1}}", training)
        figures = [accuracy_of(model, held_out) for model in (result.one_shot, result.repaired)]
        print(f"{ratio:6.0%}  {figures[0]:8.1%}  {figures[1]:8.1%}  {parameters(result.repaired):10}")

    # half of the channels is a whole number of vectors on every processor
    result = compress("prune-channels{ratio=0.5,multiple=16}", training)
    onnx.save(result.repaired, folder / "smaller.onnx")
    sessions = {}
    for name in ("digits", "smaller"):
        bundle = folder / f"{name}.hetpart"
        hetpart.compile(folder / f"{name}.onnx", "host", output=bundle, overwrite=True)
        sessions[name] = hetpart.load(bundle)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    feeds = {INPUT: held_out.images[:1]}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(feeds)
            times[name].append(time.perf_counter() - start)
    print("\ncompiled for this machine (half of the channels left in 'smaller')")
    for name, session in sessions.items():
        model = onnx.shape_inference.infer_shapes(onnx.load(folder / f"{name}.onnx"))
        right, micros = accuracy(session.run, held_out), 1e6 * statistics.median(times[name])
        print(f"{name:8} {right:6.1%}  {macs(model) / 1e6:5.2f} M multiply-adds  {micros:5.0f} us a run, measured")
        session.close()


if __name__ == "__main__":
    main()

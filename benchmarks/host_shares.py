"""Fits the shares of targets/host.toml to networks of the zoo: ``python -m benchmarks.host_shares``.

Each network is profiled on this machine as `hetpart profile` does. Printed are, per processor and kernel class, what
the target estimates, what was measured, and the share with which both sums would agree; host.toml states rounded ones.
Run it where nothing else runs: it wants both cores, for about 20 seconds per network once its kernels are compiled.
"""

from __future__ import annotations

import argparse

from rich.console import Console

from examples import zoo
from hetpart.profile.shares import Share, summed
from hetpart.profiler import profile
from hetpart.report.profile import print_shares

NETWORKS = ("resnet18", "squeezenet", "mobilenetv2", "inception_v1")
"""Those by which host.toml was fitted."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.host_shares", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"zoo names; default: {' '.join(NETWORKS)}")
    parser.add_argument("--seconds", type=int, default=12, help="measuring per network (default: 12)")
    arguments = parser.parse_args()
    if unknown := [model for model in arguments.models if model not in zoo.names()]:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(zoo.names())}")
    rows: list[Share] = []
    for name in arguments.models or NETWORKS:
        rows += profile(zoo.build(name), time_limit_s=arguments.seconds).shares
    print_shares(summed(rows), Console(width=120))


if __name__ == "__main__":
    main()

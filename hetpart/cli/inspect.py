"""``hetpart inspect``: what is in a bundle."""

from __future__ import annotations

from hetpart.cli.common import BundleArgument, JsonOption, console, print_json


def inspect(bundle: BundleArgument, json: JsonOption = False) -> None:
    """Check BUNDLE's hashes and show what it contains.

    Exit code 0: intact; 2: not a bundle, of another version, or damaged.
    """
    from hetpart.bundle.read import read_bundle
    from hetpart.report.inspect import print_manifest

    manifest = read_bundle(bundle).manifest
    if json:
        print_json(manifest.to_json())
    else:
        print_manifest(manifest, console())

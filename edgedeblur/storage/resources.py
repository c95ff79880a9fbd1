"""Files that ship with the package: targets, calibration manifests, trained weights."""

from pathlib import Path


def resource_folder(name: str) -> Path:
    """The folder `targets`, `calibration` or `weights` (the first two are links to the checkout's top level)."""
    return Path(__file__).parents[1] / name

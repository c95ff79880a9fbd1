"""The trained weights that ship with the package."""

from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.storage.resources import resource_folder

DEFAULT_TIER = "small"


def shipped_teacher() -> Path:
    """The network that teaches by default: the largest student, which leads every other network that ships."""
    return shipped_student("large")


def shipped_student(tier: str) -> Path:
    """The trained student of a tier."""
    return _shipped(f"student-{tier}.safetensors")


def shipped_network(tier: str) -> Path:
    """The quantised network of a tier: what `quantize` makes of `shipped_student`."""
    return _shipped(f"student-{tier}.edq")


def _shipped(name: str) -> Path:
    path = resource_folder("weights") / name
    if not path.is_file():
        raise UserError(f"{path} is missing from this installation", "install edgedeblur again")
    return path

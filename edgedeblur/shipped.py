"""The trained weights that ship with the package."""

from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.resources import resource_folder
from edgedeblur.workdir import WorkDir

DEFAULT_TIER = "small"


def shipped_teacher() -> Path:
    """The U-Net teacher."""
    return _shipped("teacher-unet.safetensors")


def shipped_student(tier: str) -> Path:
    """The trained student of a tier."""
    return _shipped(f"student-{tier}.safetensors")


def default_model(workdir: WorkDir) -> Path:
    """The work directory's most finished model, else the shipped student of the default tier."""
    return workdir.best_model() or shipped_student(DEFAULT_TIER)


def _shipped(name: str) -> Path:
    path = resource_folder("weights") / name
    if not path.is_file():
        raise UserError(f"{path} is missing from this installation", "install edgedeblur again")
    return path

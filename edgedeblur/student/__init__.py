"""The student: the network as data (spec.py, without torch) and as a torch module (module.py, loaded on first use)."""

from typing import TYPE_CHECKING

from edgedeblur.student.operations import OpSpec
from edgedeblur.student.spec import IMAGE, MAX_PARAMETERS, ConvSpec, Layer, StudentSpec, layer_record
from edgedeblur.student.table import TIERS, student_spec

if TYPE_CHECKING:
    from edgedeblur.student.module import Student, build_student, depth_to_space, space_to_depth

__all__ = [
    "IMAGE",
    "MAX_PARAMETERS",
    "TIERS",
    "ConvSpec",
    "Layer",
    "OpSpec",
    "Student",
    "StudentSpec",
    "build_student",
    "depth_to_space",
    "layer_record",
    "space_to_depth",
    "student_spec",
]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgedeblur.student import module

    return getattr(module, name)

"""Shipped targets with other kernels."""

import dataclasses

from edgedeblur.artefact.isa import ISAS
from edgedeblur.artefact.target import Target


def with_isa(target: Target, isa: str) -> Target:
    """The target with these kernels alone, and the LLVM features that they need."""
    missing = tuple(feature for feature in ISAS[isa].features if feature not in target.features)
    return dataclasses.replace(target, isa=isa, features=target.features + missing, fallbacks=())

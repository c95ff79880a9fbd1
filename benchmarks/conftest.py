"""What every benchmark runs: the shipped students, quantised on the default photographs, compiled for the host."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions
from edgedeblur.workflow.quantize import quantise_step
from edgedeblur.workflow.shipped import shipped_student

Size = tuple[int, int]


@pytest.fixture(scope="session")
def network_of(tmp_path_factory) -> Callable[[str], QuantisedNetwork]:
    """A tier's network."""

    @functools.cache
    def quantised(tier: str) -> QuantisedNetwork:
        output = tmp_path_factory.mktemp("network") / f"{tier}.edq"
        return quantise_step(shipped_student(tier), None, output, QuantiseOptions(), lambda line: None)

    return quantised


@pytest.fixture(scope="session")
def artefact_of(network_of, tmp_path_factory) -> Callable[[str, Size], ArtefactInfo]:
    """A tier's artefact for this machine and images of (height, width)."""

    @functools.cache
    def compiled(tier: str, size: Size) -> ArtefactInfo:
        folder = tmp_path_factory.mktemp("host") / "artefact"
        return compile_network(network_of(tier), load_target("host"), *size, folder)

    return compiled


def noise_image(size: Size) -> np.ndarray:
    """uint8 [height, width, 3]; the time does not depend on its content."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)

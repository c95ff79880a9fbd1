"""What every benchmark runs: the shipped small student, quantised on the default photographs, compiled for the host."""

import numpy as np
import pytest

from edgedeblur.compile.artefact import ArtefactInfo, compile_network
from edgedeblur.compile.target import load_target
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions
from edgedeblur.shipped import shipped_student
from edgedeblur.steps import quantise_step

SIDE = 512


@pytest.fixture(scope="session")
def network(tmp_path_factory) -> QuantisedNetwork:
    output = tmp_path_factory.mktemp("network") / "small.edq"
    return quantise_step(shipped_student("small"), None, output, QuantiseOptions(), 0, lambda line: None)


@pytest.fixture(scope="session")
def artefact(network, tmp_path_factory) -> ArtefactInfo:
    return compile_network(network, load_target("host"), SIDE, SIDE, tmp_path_factory.mktemp("host") / "artefact")


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """uint8 [512, 512, 3]; the time does not depend on its content."""
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)

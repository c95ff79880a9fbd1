"""What compilation brings: the compiled student against the NumPy interpreter that defines its arithmetic."""

import numpy as np
import pytest

from edgedeblur.quantize import interpreter
from edgedeblur.runtime.session import Session


@pytest.mark.benchmark(group="512x512, small")
def test_compiled(benchmark, artefact, network, image):
    with Session(artefact.path) as session:
        restored = benchmark.pedantic(session.run, (image,), rounds=30, warmup_rounds=5)
    assert np.array_equal(restored, interpreter.run(network, image))


@pytest.mark.benchmark(group="512x512, small")
def test_interpreted(benchmark, network, image):
    benchmark.pedantic(interpreter.run, (network, image), rounds=3)

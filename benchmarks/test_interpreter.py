"""What compilation brings: the compiled student against the NumPy interpreter that defines its arithmetic."""

import numpy as np
import pytest
from conftest import noise_image

from edgedeblur.quantize import interpreter
from edgedeblur.runtime.session import Session

SIZE = (512, 512)


@pytest.mark.benchmark(group="512x512, small")
def test_compiled(benchmark, artefact_of, network_of):
    image = noise_image(SIZE)
    with Session(artefact_of("small", SIZE).path) as session:
        restored = benchmark.pedantic(session.run, (image,), rounds=30, warmup_rounds=5)
    assert np.array_equal(restored, interpreter.run(network_of("small"), image))


@pytest.mark.benchmark(group="512x512, small")
def test_interpreted(benchmark, network_of):
    benchmark.pedantic(interpreter.run, (network_of("small"), noise_image(SIZE)), rounds=3)

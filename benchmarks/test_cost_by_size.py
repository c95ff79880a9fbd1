"""Time per pixel of the small student from 256x256 to 1920x1088, all sizes in turns in one session, against 512x512.

A pixel should cost the same at every size; where it costs more, a schedule that suits one size does not suit another,
or what passes between layers has left a cache.
"""

from contextlib import ExitStack

import numpy as np
import pytest
from conftest import Size, noise_image

from edgedeblur.bench.latency import percentile
from edgedeblur.bench.peers import take_turns
from edgedeblur.runtime.session import Session

SIZES: tuple[Size, ...] = ((256, 256), (512, 512), (720, 1280), (1088, 1920))
REFERENCE = (512, 512)
ROUNDS, BLOCK = 6, 3


@pytest.mark.parametrize("threads", [1, 2])
def test_a_pixel_costs_the_same_at_every_size(benchmark, artefact_of, threads, capsys):
    with ExitStack() as stack:
        sessions = {size: stack.enter_context(Session(artefact_of("small", size).path, threads)) for size in SIZES}
        runs = [_of(session, noise_image(size)) for size, session in sessions.items()]
        times = take_turns(runs, noise_image(REFERENCE), ROUNDS, BLOCK)
        benchmark.pedantic(runs[SIZES.index(REFERENCE)], (None,), rounds=10, warmup_rounds=2)
    costs = {
        size: 1e6 * percentile(samples, 50) / (size[0] * size[1]) for size, samples in zip(SIZES, times, strict=True)
    }
    for (height, width), cost in costs.items():
        ratio = cost / costs[REFERENCE]
        benchmark.extra_info[f"{width}x{height}"] = {"ns_per_pixel": cost, "ratio": ratio}
        with capsys.disabled():
            print(f"\n{width}x{height}, {threads} threads: {cost:.1f} ns a pixel, {ratio:.2f} of 512x512's", end="")


def _of(session: Session, image: np.ndarray):
    """Runs the session on its own image, whatever it is called with."""
    return lambda _: session.run(image)

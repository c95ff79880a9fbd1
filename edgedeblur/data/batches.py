"""Batches for training: drawn, augmented and stacked ahead of time by threads, each a function of (seed, step)."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from edgedeblur.data.sources import Source

_AHEAD = 4


def draw_batch(source: Source, seed: int, step: int, count: int, size: int, part: int = 0) -> tuple[Tensor, Tensor]:
    """Batch number `step` of a run: (blur, sharp), float32 [count, 3, size, size] RGB in [0, 1], channels last.

    Every pair is flipped and turned by a multiple of 90 degrees at random, and its brightness scaled. Each pair has a
    seed of its own, so that processes can draw a batch in parts: part 1 of 8 pairs are the last 8 of 16.
    """
    rngs = [np.random.default_rng((seed, step, part * count + index)) for index in range(count)]
    pairs = [augment(rng, *source.draw(rng, size)) for rng in rngs]
    return tuple(_stack([pair[side] for pair in pairs]) for side in (0, 1))


def batches(
    source: Source, seed: int, first_step: int, count: int, size: int, threads: int = 1, part: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches from `first_step` on without end; a resumed run sees the batches the first would have seen."""
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future] = deque()
        step = first_step
        try:
            while True:
                while len(waiting) < _AHEAD:
                    waiting.append(pool.submit(draw_batch, source, seed, step, count, size, part))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def augment(
    rng: np.random.Generator, blur: np.ndarray, sharp: np.ndarray, brightness: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """The pair flipped, turned by 0 to 270 degrees, and scaled in brightness by 1 -/+ `brightness`; uint8."""
    turns, flip, gain = int(rng.integers(4)), bool(rng.integers(2)), rng.uniform(1 - brightness, 1 + brightness)
    table = np.clip(np.arange(256) * gain + 0.5, 0, 255).astype(np.uint8)
    pair = (np.rot90(image, turns) for image in (blur, sharp))
    return tuple(table[image[:, ::-1] if flip else image] for image in pair)


def _stack(images: list[np.ndarray]) -> Tensor:
    """uint8 HWC images to float32 NCHW in [0, 1], stored channels last."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(images)))
    return stacked.permute(0, 3, 1, 2).to(torch.float32).div_(255)

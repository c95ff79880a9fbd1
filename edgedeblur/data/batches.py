"""Batches for training: drawn, augmented and stacked ahead of time by threads, each a function of (seed, step)."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from edgedeblur.data.opencv_threads import one_opencv_thread
from edgedeblur.data.sources import Source, crop_at_random

MAX_REUSE = 64
_AHEAD = 4
_STOCK_BYTES = 256 << 20
_STOCK_SHARE = 1.5  # side of a pair that is used again, in crops

Pair = tuple[np.ndarray, np.ndarray]


class Stock:
    """The batches of a run by step. Making blur costs more than a small network's step, so a pair may be used more than
    once: a batch has `count / reuse` new pairs, and others of the last 256 MB, each time cut and turned differently.

    Every pair has a seed of its own, a function of (seed, step, place in the batch), so a batch does not depend on
    those drawn before it, and processes can draw a batch in parts: part 1 of 8 pairs are the last 8 of 16.

    Args:
        count: pairs in a batch. size: their side in pixels. reuse: how often a pair is used on average, from 1.
    """

    def __init__(self, source: Source, seed: int, count: int, size: int, reuse: int = 1, part: int = 0):
        self.source, self.seed, self.count, self.size, self.part = source, seed, count, size, part
        self._new = -(-count // reuse)
        self._side = size if reuse == 1 else round(size * _STOCK_SHARE)
        self._kept = max(count, _STOCK_BYTES // (2 * 3 * self._side**2)) if reuse > 1 else 0
        self._pairs: OrderedDict[int, Pair] = OrderedDict()
        self._lock = threading.Lock()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step`: (blur, sharp), float32 [count, 3, size, size] RGB in [0, 1], channels last.

        Every pair is flipped and turned by a multiple of 90 degrees at random, and its brightness scaled.
        """
        pairs = [self._use(step, place) for place in range(self.count)]
        return tuple(_stack([pair[side] for pair in pairs]) for side in (0, 1))

    def _use(self, step: int, place: int) -> Pair:
        if place < self._new:
            rng, pair = self._draw(step, place)
        else:
            rng = np.random.default_rng((self.seed, step, self.part * self.count + place, 1))
            pair = self._again(rng, step)
        top, left = (int(rng.integers(self._side - self.size + 1)) for _ in range(2)) if self._kept else (0, 0)
        window = slice(top, top + self.size), slice(left, left + self.size)
        return augment(rng, *(image[window] for image in pair))

    def _again(self, rng: np.random.Generator, step: int) -> Pair:
        newest = (step + 1) * self._new
        number = int(rng.integers(max(0, newest - self._kept), newest))
        pair = self._pairs.get(number)
        if pair is None:  # the first batches of a resumed run, or another thread is at it
            pair = self._draw(*divmod(number, self._new))[1]
        return pair

    def _draw(self, step: int, place: int) -> tuple[np.random.Generator, Pair]:
        """A new pair, which is kept, and the generator that it was drawn from."""
        rng = np.random.default_rng((self.seed, step, self.part * self.count + place))
        pair = self.source.draw(rng, self._side)
        if self._kept:
            with self._lock:
                self._pairs[step * self._new + place] = pair
                while len(self._pairs) > self._kept:
                    self._pairs.popitem(last=False)
        return rng, pair


def batches(stock: Stock, first_step: int, threads: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches from `first_step` on without end; a resumed run sees the batches the first would have seen."""
    with one_opencv_thread(), ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future] = deque()
        step = first_step
        try:
            while True:
                while len(waiting) < _AHEAD:
                    waiting.append(pool.submit(stock.batch, step))
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


def random_crops(images: Sequence[np.ndarray], seed: int, count: int, size: int) -> Iterator[Tensor]:
    """Batches without end of random crops of `images`, flipped and turned at random: float32 [count, 3, size, size] in
    [0, 1], smaller where an image is."""
    rng = np.random.default_rng(seed)
    side = min(size, *(side for image in images for side in image.shape[:2]))
    while True:
        batch = []
        for _ in range(count):
            (crop,) = crop_at_random(rng, (side, side), images[rng.integers(len(images))])
            swap, down, right = rng.integers(2, size=3)
            crop = crop.swapaxes(0, 1) if swap else crop
            batch.append(np.flip(crop, [axis for axis, mirrored in enumerate((down, right)) if mirrored]))
        yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255


def _stack(images: list[np.ndarray]) -> Tensor:
    """uint8 HWC images to float32 NCHW in [0, 1], stored channels last."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(images)))
    return stacked.permute(0, 3, 1, 2).to(torch.float32).div_(255)

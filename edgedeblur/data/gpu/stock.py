"""Batches made where they are used: pictures decoded once into a GPU's memory, blurred there, cut and turned there.

A GPU learns from a hundred times as many pictures a second as the threads of `data.batches` can blur. The rules are the
same: new pairs join a stock, from which batches are cut at random places and turned; everything that is drawn is a
function of (seed, number), so a batch does not depend on those before it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.data.blur.blurring import KINDS
from edgedeblur.data.blur.gopro import MAX_FRAMES, MIN_FRAMES
from edgedeblur.data.blur.light import HIGHLIGHTS
from edgedeblur.data.blur.shake_model import shipped_shake
from edgedeblur.data.gpu.motion import ON_GPU, PathBank, assemble_all, draw_motions, expose, sample
from edgedeblur.data.gpu.recorded import RecordedBank
from edgedeblur.data.gpu.sensor import add_noise, add_photon_noise, jpeg_all
from edgedeblur.data.sources import Frames, ImageCache, Mixture, Pairs, Photos, Source, draw_reduction

_STOCK_BYTES = 4 << 30
_STOCK_SHARE = 1.5  # side of a pair in the stock, in crops
_CHUNK = 256  # pairs that are made at once
_FIRST = 4  # chunks that are made before the first batch
_DECODERS = 8
_GAIN = 0.2  # of brightness, as `batches.augment`

Window = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(picture, top, left), [N] each."""


def made_on_gpu(source: Source) -> bool:
    """Whether all models of the source's recipes are among those that a GPU computes here."""
    if isinstance(source, Mixture):
        return all(made_on_gpu(part) for part in source.sources)
    if isinstance(source, Photos):
        return all(share == 0 or kind in ON_GPU for kind, share in zip(KINDS, source.recipe.shares, strict=True))
    return isinstance(source, Frames | Pairs)


class GpuStock:
    """What `batches.Stock` is for threads, for one process on one device.

    Args:
        count: pairs in a batch. size: their side in pixels. reuse: how often a pair is used on average, from 1.
        chunk: pairs that are made at once. limit: bytes that the stock may take.
    """

    def __init__(
        self,
        source: Source,
        seed: int,
        count: int,
        size: int,
        reuse: int,
        device: torch.device,
        chunk: int = _CHUNK,
        limit: int = _STOCK_BYTES,
    ):
        self.seed, self.count, self.size, self.reuse, self.device, self.chunk = seed, count, size, reuse, device, chunk
        self.side = -(-round(size * _STOCK_SHARE) // 16) * 16
        self.chunks = max(_FIRST, limit // (2 * 3 * self.side**2 * chunk))
        parts = source.sources if isinstance(source, Mixture) else (source,)
        weights = np.array(source.weights if isinstance(source, Mixture) else (1.0,))
        self._shares = weights / weights.sum()
        self._makers = [_maker(part, self.side, seed, device) for part in parts]
        self._kept: Tensor | None = None
        self._made = 0

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step`: (blur, sharp), float32 [count, 3, size, size] RGB in [0, 1], channels last."""
        newest = _FIRST + step * self.count // (self.reuse * self.chunk)
        self._make_until(newest)
        rng = np.random.default_rng((self.seed, step, 0x6B))
        oldest = max(0, newest - self.chunks)
        number = rng.integers(oldest * self.chunk, newest * self.chunk, self.count) % (self.chunks * self.chunk)
        corner = rng.integers(self.side - self.size + 1, size=(2, self.count))
        turns = rng.integers(2, size=(3, self.count))
        drawn = torch.from_numpy(np.stack([number, *corner, *turns])).to(self.device)
        gain = torch.from_numpy(rng.uniform(1 - _GAIN, 1 + _GAIN, self.count).astype(np.float32)).to(self.device)
        return self._cut(drawn, gain)

    def batches(self, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches from `first_step` on without end."""
        step = first_step
        while True:
            yield self.batch(step)
            step += 1

    def _cut(self, drawn: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        number, top, left, swap, down, right = (row[:, None, None] for row in drawn)
        along = torch.arange(self.size, device=self.device)
        row, column = along[None, :, None], along[None, None, :]
        y, x = torch.where(swap > 0, column, row), torch.where(swap > 0, row, column)
        last = self.size - 1
        y, x = top + torch.where(down > 0, last - y, y), left + torch.where(right > 0, last - x, x)
        cut = self._kept[number, y, x].float()  # [count, size, size, 6]
        cut = (cut * gain[:, None, None, None] + 0.5).floor_().clamp_(max=255).div_(255).permute(0, 3, 1, 2)
        return cut[:, :3], cut[:, 3:]

    def _make_until(self, newest: int) -> None:
        if self._kept is None:
            shape = (self.chunks * self.chunk, self.side, self.side, 6)
            self._kept = torch.empty(shape, dtype=torch.uint8, device=self.device)
        if newest < self._made or newest - self._made > self.chunks:
            self._made = max(0, newest - self.chunks)
        while self._made < newest:
            start = self._made % self.chunks * self.chunk
            self._kept[start : start + self.chunk] = self._chunk(self._made)
            self._made += 1

    def _chunk(self, number: int) -> Tensor:
        """Pairs uint8 [chunk, side, side, 6]: blurred and sharp, of all parts of the source by their shares."""
        rng = np.random.default_rng((self.seed, number, 0xC4))
        counts = rng.multinomial(self.chunk, self._shares)
        made = [maker.make(rng, count) for maker, count in zip(self._makers, counts, strict=True) if count]
        return torch.cat(made).to(torch.uint8).permute(0, 2, 3, 1)


class _Pictures:
    """Decoded pictures of any sizes in one tensor on the device, mirrored outwards up to a least side."""

    def __init__(self, images: Sequence[Path | np.ndarray], cache: ImageCache, least: int, device: torch.device):
        def read(image: Path | np.ndarray) -> np.ndarray:
            image = image if isinstance(image, np.ndarray) else cache[image]
            grow = [(0, max(0, least - side)) for side in image.shape[:2]]
            return np.pad(image, (*grow, (0, 0)), mode="symmetric") if any(map(sum, grow)) else image

        with ThreadPoolExecutor(_DECODERS) as pool:
            pictures = list(pool.map(read, images))
        self.sizes = np.array([picture.shape[:2] for picture in pictures])
        self._starts = np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))])
        self._pixels = torch.cat([torch.tensor(picture.reshape(-1, 3), device=device) for picture in pictures])

    @property
    def device(self) -> torch.device:
        return self._pixels.device

    def draw_sides(
        self, rng: np.random.Generator, pictures: np.ndarray, side: int, reductions: Sequence[int]
    ) -> np.ndarray:
        """[N]: what to cut of each picture, so that reduced by a factor drawn from `reductions` it is `side` wide."""
        drawn = (draw_reduction(rng, reductions, (side, side), tuple(self.sizes[picture])) for picture in pictures)
        return side * np.array(list(drawn))

    def draw_windows(self, rng: np.random.Generator, pictures: np.ndarray, side: int | np.ndarray) -> Window:
        room = self.sizes[pictures] - np.reshape(side, (-1, 1)) + 1
        top, left = (rng.random(len(pictures)) * room[:, axis] for axis in (0, 1))
        return pictures, top.astype(int), left.astype(int)

    def windows(self, window: Window, side: int) -> Tensor:
        """float32 [N, 3, side, side] in 0..255."""
        pictures, top, left = window
        device, width = self._pixels.device, self.sizes[pictures, 1]
        first = torch.from_numpy(self._starts[pictures] + top * width + left).to(device)
        along, width = torch.arange(side, device=device), torch.from_numpy(width).to(device)
        places = first[:, None, None] + along[None, :, None] * width[:, None, None] + along
        return self._pixels[places].permute(0, 3, 1, 2).float()


class _PhotoMaker:
    """Pairs from photographs, as `Photos.make` and `blur_and_record` make them one by one."""

    def __init__(self, photos: Photos, side: int, seed: int, device: torch.device):
        self.recipe, self.side = photos.recipe, side
        self.wide = side + 2 * photos.recipe.margin
        self.pictures = _Pictures(photos.images, photos.cache, self.wide, device)
        self.bank, self.recorded = PathBank(photos.recipe, seed), None
        if photos.recipe.recorded_share > 0:
            self.recorded = RecordedBank(photos.recipe, photos.shake or shipped_shake(), self.wide, seed)
        self.device = device
        self._generator = torch.Generator(device)

    def make(self, rng: np.random.Generator, count: int) -> Tensor:
        """Blurred and sharp, [count, 6, side, side] in 0..255."""
        self._generator.manual_seed(int(rng.integers(2**62)))
        drawn = rng.integers(len(self.pictures.sizes), size=count)
        wide = self.pictures.windows(self.pictures.draw_windows(rng, drawn, self.wide), self.wide)
        wide = self._softened(rng, wide) / 255
        motions = draw_motions(rng, self.recipe, self.bank, self.wide, count, self.recorded)
        gamma = self._column(rng.choice(self.recipe.gammas, count))
        gain = self._column(rng.uniform(1, max(1.0, self.recipe.highlight_gain), count))
        light = wide**gamma
        sharp = self._inside(assemble_all(light, motions) ** (1 / gamma) * 255).round_()
        light = light + (light - HIGHLIGHTS).clamp_min_(0) * ((gain - 1) / (1 - HIGHLIGHTS))  # stretch_highlights
        blurred = expose(light, motions, self.recipe.margin)
        if self.recipe.photon_noise > 0:
            at_white = self._column(rng.uniform(0, self.recipe.photon_noise, count)).flatten()
            blurred = add_photon_noise(blurred, at_white, self._generator)
        blurred = (blurred.clamp_(0, 1) ** (1 / gamma) * 255).round_()
        return torch.cat([self._degraded(rng, blurred), sharp], 1)

    def _softened(self, rng: np.random.Generator, wide: Tensor) -> Tensor:
        """Enlarged about the centre and of less contrast, as `Photos` has it."""
        recipe, count = self.recipe, len(wide)
        if recipe.max_zoom > 1:
            zoom = self._column(rng.uniform(1, recipe.max_zoom, count))
            along = torch.arange(self.wide, device=self.device, dtype=torch.float32)
            middle = (self.wide - 1) / 2
            near = middle + (along - middle)[None, None, :, None] / zoom
            y, x = near.expand(-1, -1, -1, self.wide)[:, 0], near.transpose(2, 3).expand(-1, -1, self.wide, -1)[:, 0]
            wide = sample(wide, torch.stack([x, y], -1), "bicubic").clamp_(0, 255)
        if recipe.min_contrast < 1:
            contrast = self._column(rng.uniform(recipe.min_contrast, 1, count))
            mean = wide.mean((1, 2, 3), keepdim=True)
            wide = (wide - mean) * contrast + mean
        return wide.round().clamp_(0, 255)

    def _degraded(self, rng: np.random.Generator, blurred: Tensor) -> Tensor:
        """Noise and JPEG, as often as the recipe says (`blur.degrade`)."""
        recipe, count = self.recipe, len(blurred)
        sigma = rng.uniform(0, recipe.noise, count) * (rng.random(count) < recipe.noise_share)
        blurred = add_noise(blurred, self._column(sigma).flatten(), self._generator)
        compressed = np.flatnonzero(rng.random(count) < recipe.jpeg_share)
        quality = rng.integers(recipe.jpeg_quality, 101, count)[compressed]
        if len(compressed):
            which = torch.from_numpy(compressed).to(self.device)
            blurred[which] = jpeg_all(blurred[which], self._column(quality).flatten())
        return blurred

    def _inside(self, wide: Tensor) -> Tensor:
        margin = self.recipe.margin
        return wide[:, :, margin:-margin, margin:-margin]

    def _column(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(self.device)[:, None, None, None]


class _FrameMaker:
    """Pairs from runs of 7 to 13 video frames, as `Frames.make`."""

    def __init__(self, frames: Frames, side: int, seed: int, device: torch.device):
        self.side, self.gammas, self.reductions = side, frames.recipe.gammas, frames.recipe.reductions
        every = [path for sequence in frames.sequences for path in sequence]
        self.pictures = _Pictures(every, frames.cache, side, device)
        self.lengths = np.array([len(sequence) for sequence in frames.sequences])

    def make(self, rng: np.random.Generator, count: int) -> Tensor:
        sequence = rng.integers(len(self.lengths), size=count)
        exposures = rng.integers(MIN_FRAMES, np.minimum(MAX_FRAMES, self.lengths[sequence]) + 1)
        offset = (rng.random(count) * (self.lengths[sequence] - exposures + 1)).astype(int)
        first = (np.cumsum(self.lengths) - self.lengths)[sequence] + offset
        sides = self.pictures.draw_sides(rng, first, self.side, self.reductions)
        _, top, left = self.pictures.draw_windows(rng, first, sides)
        powers = rng.choice(self.gammas, count).astype(np.float32)
        made = []
        for place in range(count):  # their numbers of frames differ
            run = np.arange(first[place], first[place] + exposures[place])
            window = run, np.full_like(run, top[place]), np.full_like(run, left[place])
            frames, gamma = self.pictures.windows(window, sides[place]), float(powers[place])
            frames = _reduced(frames, self.side)
            blurred = ((frames / 255) ** gamma).mean(0) ** (1 / gamma) * 255
            made.append(torch.cat([blurred.round_(), frames[exposures[place] // 2]]))
        return torch.stack(made)


class _PairMaker:
    """Crops of ready pairs."""

    def __init__(self, pairs: Pairs, side: int, seed: int, device: torch.device):
        self.side, self.reductions = side, pairs.reductions
        blurred, sharp = zip(*((pair.blur, pair.sharp) for pair in pairs.pairs), strict=True)
        for pair in pairs.pairs:
            if pairs.cache[pair.blur].shape != pairs.cache[pair.sharp].shape:
                pair.read()  # raises the message that names both files
        self.blurred, self.sharp = (_Pictures(paths, pairs.cache, side, device) for paths in (blurred, sharp))

    def make(self, rng: np.random.Generator, count: int) -> Tensor:
        chosen = rng.integers(len(self.sharp.sizes), size=count)
        sides = self.sharp.draw_sides(rng, chosen, self.side, self.reductions)
        window = self.sharp.draw_windows(rng, chosen, sides)
        made = torch.empty(count, 6, self.side, self.side, device=self.sharp.device)
        for side in np.unique(sides):
            alike = np.flatnonzero(sides == side)
            cut = [row[alike] for row in window]
            both = torch.cat([pictures.windows(cut, side) for pictures in (self.blurred, self.sharp)], 1)
            made[torch.from_numpy(alike).to(made.device)] = _reduced(both, self.side)
        return made


def _reduced(pictures: Tensor, side: int) -> Tensor:
    """[N, C, a * side, a * side] to [N, C, side, side] by the mean of a x a pixels, rounded as in a file."""
    factor = pictures.shape[-1] // side
    return pictures if factor == 1 else F.avg_pool2d(pictures, factor).round_()


def _maker(part: Source, side: int, seed: int, device: torch.device) -> _PhotoMaker | _FrameMaker | _PairMaker:
    kinds = {Photos: _PhotoMaker, Frames: _FrameMaker, Pairs: _PairMaker}
    return kinds[type(part)](part, side, seed, device)

"""Frames in memory with gaps, and frames.c, the program that restores one: for tests, and to measure its memory."""

import subprocess
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.compile.linking import link
from edgedeblur.runtime.frame import FORMATS, MATRICES, RANGES, Frame, plane_shapes

PAD = 0xA5


def random_plane(rng: np.random.Generator, shape: tuple[int, ...], row_pad: int = 0, step: int = 1) -> np.ndarray:
    """A plane inside a larger block of memory, with `row_pad` bytes after each row, samples `step` bytes apart."""
    height, width, *channels = shape
    block = np.full((height, width * step * (channels[0] if channels else 1) + row_pad), PAD, np.uint8)
    inside = block[:, : block.shape[1] - row_pad]
    plane = inside.reshape(height, width, *channels) if channels else inside[:, ::step]
    plane[...] = rng.integers(0, 256, shape, np.uint8)
    return plane


def random_frame(rng: np.random.Generator, format: str, size: tuple[int, int], strange: bool, **colours) -> Frame:
    shapes = plane_shapes(format, *size)
    pads = [int(rng.integers(0, 9)) * strange for _ in shapes]
    steps = [int(rng.integers(1, 4)) if strange and format == "yuv_420_888" and index else 1 for index in range(3)]
    planes = (random_plane(rng, *one) for one in zip(shapes, pads, steps, strict=False))
    return Frame(format, tuple(planes), **colours)


def build_program(artefact: ArtefactInfo, output: Path) -> Path:
    """frames.c with an artefact's sources, as a static program for its target."""
    source = Path(__file__).with_name("frames.c")
    compiler = link.zig_cc(artefact.target.zig_target)
    sources = [str(source), *link._sources(bench=False, gpu=False)]
    link.run_compiler(
        [*compiler, *link._COMPILE_FLAGS, "-s", "-Werror", "-static", *sources, "-o", str(output)], artefact.path
    )
    return output


def described(frame: Frame) -> list[int]:
    """What frames.c is told of a frame: format, matrix, range, row strides, pixel strides. (NumPy's row stride of a
    plane with one row says nothing.)"""
    numbers = [FORMATS.index(frame.format), MATRICES.index(frame.matrix), RANGES.index(frame.range)]
    none = [0] * (3 - len(frame.planes))
    rows, pixels = (block.shape[1] for block in memory_of(frame)), (plane.strides[1] for plane in frame.planes)
    return [*numbers, *rows, *none, *pixels, *none]


def memory_of(frame: Frame) -> list[np.ndarray]:
    """Of a frame from `random_frame`: the planes with the bytes between their pixels, uint8 [rows, bytes of one]."""
    return [plane.base for plane in frame.planes]


def run_program(
    program: Path, runner: tuple[str, ...], frame: Frame, out: Frame, rotation: int, overlap: int, mask=None
) -> tuple[int, int]:
    """Restores `frame` into `out`, both with memory of their own, by frames.c: the tiles and peak kilobytes that it
    prints."""
    folder = program.parent
    (folder / "in").write_bytes(b"".join(block.tobytes() for block in memory_of(frame)))
    words = [folder / "in", folder / "out", *frame.size[::-1], *described(frame), *described(out), rotation, overlap]
    if mask is not None:
        (folder / "mask").write_bytes(mask.tobytes())
    words += ["-", 0, 0] if mask is None else [folder / "mask", *mask.shape[::-1]]
    command = [*runner, program, *map(str, words), "1", "1"]
    said = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout
    data = (folder / "out").read_bytes()
    for block in memory_of(out):
        block[...] = np.frombuffer(data[: block.size], np.uint8).reshape(block.shape)
        data = data[block.size :]
    tiles, peak_kb = map(int, said.split())
    return tiles, peak_kb

"""Recordings of a phone's gyroscope: how a camera in a hand turns, as CSV files of angular rates.

    t_s,wx_rad_s,wy_rad_s,wz_rad_s     seconds, and radians a second about the phone's axes: x to the right of the
    0.000000,-0.2073,-0.2004,-0.0665   screen held upright, y to its top, z out of it towards the user, right-handed,
                                       as Android's TYPE_GYROSCOPE and iOS's CMDeviceMotion.rotationRate give them

docs/blur-synthesis.md says how to make your own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError

COLUMNS = ("t_s", "wx_rad_s", "wy_rad_s", "wz_rad_s")
SAMPLES = 33  # of a window, evenly spaced from its beginning to its end
LONGEST = 1 / 8  # seconds: the longest window that is drawn
LEAST_RATE = 90.0  # samples a second: iOS gives 100; at 50 a window of 13 frames at 240 fps has three samples
MOST_RATE = 20_000.0
WIDEST_GAP = 0.025  # seconds between samples; wider ones part a recording
FASTEST = 40.0  # rad/s; gyroscopes of phones measure up to 2000 degrees/s, 35 rad/s
_FIX = "docs/blur-synthesis.md describes the columns, units and axes"


@dataclass(frozen=True)
class ShakeWindows:
    """Pieces of motion. rates: float64 [M, SAMPLES, 3], rad/s about the phone's axes. recording: [M], which one each
    was cut from. start: [M], where in it, in seconds."""

    rates: np.ndarray
    recording: np.ndarray
    start: np.ndarray


@dataclass(frozen=True)
class Segment:
    """A stretch without gaps. times: float64 [n], rising. rates: float64 [n, 3]. recording: which it is of."""

    times: np.ndarray
    rates: np.ndarray
    recording: int


@dataclass(frozen=True)
class ShakeLogs:
    """Recordings to cut windows from, each stretch as often as it is long. names: of the recordings."""

    names: tuple[str, ...]
    segments: tuple[Segment, ...]

    @property
    def seconds(self) -> float:
        return sum(float(segment.times[-1] - segment.times[0]) for segment in self.segments)

    def draw(self, rng: np.random.Generator, seconds: np.ndarray) -> ShakeWindows:
        """A window of each length in `seconds`, [M], none longer than LONGEST."""
        times, rates, first, room, shift = self._joined
        chosen = rng.choice(len(room), size=len(seconds), p=room / room.sum())
        start = first[chosen] + rng.random(len(seconds)) * room[chosen]
        at = start[:, None] + np.linspace(0, 1, SAMPLES) * np.asarray(seconds)[:, None]
        drawn = np.stack([np.interp(at, times, rates[:, axis]) for axis in range(3)], axis=-1)
        recording = np.array([segment.recording for segment in self.segments])[chosen]
        return ShakeWindows(drawn, recording, start - shift[chosen])

    @cached_property
    def _joined(self) -> tuple[np.ndarray, ...]:
        """All stretches one after the other: times, rates; and of each its begin, its room for the begin of a window,
        and by how much its times were shifted."""
        lengths = np.array([segment.times[-1] - segment.times[0] for segment in self.segments])
        first = np.concatenate([[0.0], np.cumsum(lengths + 1.0)[:-1]])
        shift = first - [segment.times[0] for segment in self.segments]
        times = np.concatenate([segment.times + by for segment, by in zip(self.segments, shift, strict=True)])
        return times, np.concatenate([segment.rates for segment in self.segments]), first, lengths - LONGEST, shift


def read_shake_logs(path: Path) -> ShakeLogs:
    """The recordings of a folder, its `.csv` files in the order of their names, or of one file.

    Raises:
        UserError: no such folder, no CSV file in it, or a file that `read_shake_log` refuses.
    """
    if not path.exists():
        raise UserError(f"no {path}", "--shake takes a folder of CSV files of angular rates; " + _FIX)
    found = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not found:
        raise UserError(f"{path} has no .csv file", "--shake takes a folder of CSV files of angular rates; " + _FIX)
    segments = [segment for index, file in enumerate(found) for segment in read_shake_log(file, index)]
    return ShakeLogs(tuple(file.name for file in found), tuple(segments))


def read_shake_log(path: Path, recording: int = 0) -> list[Segment]:
    """A recording as stretches without gaps. Rows that have a value that is not a number count as lost; where samples
    are more than WIDEST_GAP apart the recording is parted, and parts too short for a window are left out.

    Raises:
        UserError: no CSV with COLUMNS, times that do not rise, a rate of samples that is too low, values that are no
            rad/s, or no part of it is long enough.
    """
    table = _table(path)
    table = table[~np.isnan(table).any(axis=1)]
    times, rates = table[:, 0], table[:, 1:]
    if len(times) < 2:
        raise UserError(f"{path} has {len(times)} samples; a window of it is {LONGEST} s", _FIX)
    steps = np.diff(times)
    if steps.min() <= 0:
        place = int(np.argmax(steps <= 0))
        told = f"{path}: time {times[place + 1]:g} s follows {times[place]:g} s; times must rise"
        raise UserError(told, "sort its rows by t_s, without repetitions; two recordings are two files")
    rate = 1 / float(np.median(steps))
    if not LEAST_RATE <= rate <= MOST_RATE:
        allowed = f"t_s is in seconds, and a recording has {LEAST_RATE:g} to {MOST_RATE:g} samples a second"
        raise UserError(f"{path} has {rate:.4g} samples a second; {allowed}", "record at the sensor's highest rate")
    fastest = float(np.abs(rates).max())
    if fastest > FASTEST:
        told = f"{path} has a rate of {fastest:.4g}; rates are in rad/s, up to {FASTEST:g}"
        raise UserError(told, "divide degrees a second by 57.2958")
    cuts = np.flatnonzero(steps > max(WIDEST_GAP, 2.5 / rate)) + 1
    parts = zip(np.split(times, cuts), np.split(rates, cuts), strict=True)
    segments = [Segment(*part, recording) for part in parts if part[0][-1] - part[0][0] > LONGEST]
    if not segments:
        told = f"{path} has no {LONGEST} s without a gap of more than {WIDEST_GAP} s between samples"
        raise UserError(told, "record for some seconds, or leave the file out")
    return segments


def _table(path: Path) -> np.ndarray:
    """float64 [n, 4] in the order of COLUMNS; other columns are left out."""
    try:
        header, *lines = path.read_text("utf-8-sig").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text: {error}", _FIX) from error
    names = [name.strip() for name in header.split(",")]
    missing = [name for name in COLUMNS if names.count(name) != 1]
    if missing:
        raise UserError(f"{path} has the columns {', '.join(names)[:80]}, not {', '.join(COLUMNS)}", _FIX)
    return _numbers(path, lines, [names.index(name) for name in COLUMNS], len(names))


def _numbers(path: Path, lines: Iterable[str], columns: list[int], count: int) -> np.ndarray:
    rows = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = line.split(",")
        try:
            if len(cells) != count:
                raise ValueError(f"{len(cells)} values, not {count}")
            rows.append([float(cells[column]) for column in columns])
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}", _FIX) from error
        if any(map(np.isinf, rows[-1])):
            raise UserError(f"{path}, line {number}: a value is infinite", _FIX)
    return np.array(rows, np.float64).reshape(-1, len(columns))

"""Observers: from calibration statistics to one scale and zero point per tensor. One function per observer.

Where a residual is added, the range also holds the convolution alone, which is larger than the sum where the two
cancel. The network's own arithmetic does not need it, but other runtimes quantise the convolution before they add:
with the room, the exported network gives the same bytes. It costs 0.01 dB or, where the convolution is much larger than
the sum, as in the finest blocks of students with gates, 0.05 dB; so it can be left out.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.quantize.network import TensorScale, image_scale, is_image
from edgedeblur.quantize.observe import TensorStatistics
from edgedeblur.student import IMAGE, OpSpec, StudentSpec

Observer = Literal["mse", "min-max", "percentile"]
OBSERVERS: tuple[str, ...] = get_args(Observer)
MIN_RANGE = 1e-4  # of a tensor that is (almost) constantly zero, so that its scale stays usable
_STEPS = 255
_SHRINKS = np.linspace(1.0, 0.02, 99).tolist()
_ROUNDS = 3


@dataclass(frozen=True)
class Range:
    """The real values that int8 spans; holds zero, since zero must be exact for padding and ReLU."""

    low: float
    high: float


def decide_tensors(
    spec: StudentSpec,
    statistics: dict[str, TensorStatistics],
    observer: Observer,
    percentile: float = 99.99,
    export_room: bool = True,
) -> dict[str, TensorScale]:
    """A scale and zero point for every tensor; images are fixed at 1/255 and -128.

    Args:
        export_room: where a residual is added, leave room for the convolution alone.

    Raises:
        UserError: no such observer, a percentile outside (50, 100], or a tensor without statistics.
    """
    if observer not in OBSERVERS:
        raise UserError(f"no observer {observer!r}; there are {', '.join(OBSERVERS)}", exit_code=2)
    if not 50 < percentile <= 100:
        raise UserError(f"percentile is {percentile:g}; it must be above 50 and at most 100", exit_code=2)
    tensors = {IMAGE: image_scale()}
    for layer in spec.layers:
        if is_image(layer.name, spec):
            tensors[layer.name] = image_scale()
            continue
        if isinstance(layer, OpSpec) and layer.operation.keeps_scale:
            tensors[layer.name] = tensors[layer.source]
            continue
        if layer.name not in statistics:
            raise UserError(f"the calibration statistics have no tensor {layer.name!r}", "edgedeblur quantize")
        seen = statistics[layer.name]
        span = observe(seen, observer, percentile)
        if export_room and layer.residual is not None:
            span = with_room(span, seen.conv_maximum)
        tensors[layer.name] = tensor_scale(span)
    return tensors


def observe(seen: TensorStatistics, observer: Observer, percentile: float) -> Range:
    """The range that the observer gives a tensor."""
    if observer == "min-max":
        return min_max_range(seen)
    if observer == "percentile":
        return percentile_range(seen, percentile)
    return mse_range(seen)


def min_max_range(seen: TensorStatistics) -> Range:
    """Everything that was seen (Krishnamoorthi, arXiv:1806.08342, section 3)."""
    return Range(min(seen.minimum, 0.0), max(seen.maximum, 0.0))


def percentile_range(seen: TensorStatistics, percentile: float) -> Range:
    """All but the tails: (100 - percentile) % of the values are cut at each end, to the width of a histogram bin."""
    cumulative = np.concatenate([[0], np.cumsum(seen.counts)]) / seen.counts.sum()
    edges = np.append(seen.centres() - seen.bin_width / 2, seen.centres()[-1] + seen.bin_width / 2)
    low, high = np.interp([1 - percentile / 100, percentile / 100], cumulative, edges)
    full = min_max_range(seen)
    return Range(max(full.low, min(float(low), 0.0)), min(full.high, max(float(high), 0.0)))


def mse_range(seen: TensorStatistics) -> Range:
    """The range with the least mean squared error of rounding and clipping, searched on the histogram.

    As TensorRT's calibration searches its clipping threshold (Migacz, GTC 2017), with squared error in place of the
    Kullback-Leibler divergence and both ends searched in turn.
    """
    full = min_max_range(seen)
    best = full
    centres, weights = seen.centres(), seen.counts / seen.counts.sum()
    for _ in range(_ROUNDS):
        before = best
        for candidates in (
            [Range(best.low, full.high * shrink) for shrink in _SHRINKS],
            [Range(full.low * shrink, best.high) for shrink in _SHRINKS],
        ):
            # the full range comes first, and ties keep it
            best = min([best, *candidates], key=lambda span: squared_error(span, centres, weights))
        if best == before:
            break
    return best


def with_room(span: Range, conv_maximum: float) -> Range:
    """The range, widened where needed so that 127 of its steps hold a convolution of that magnitude."""
    needed = conv_maximum / 127 * _STEPS
    width = max(span.high - span.low, MIN_RANGE)
    if needed <= width:
        return span
    if span.high == span.low:
        return Range(0.0, needed)
    return Range(span.low * needed / width, span.high * needed / width)


def squared_error(span: Range, centres: np.ndarray, weights: np.ndarray) -> float:
    """The mean squared difference between values and their int8 forms, for a weighted set of values."""
    chosen = tensor_scale(span)
    quantised = np.clip(np.rint(centres / chosen.scale) + chosen.zero_point, -128, 127)
    return float(weights @ (chosen.scale * (quantised - chosen.zero_point) - centres) ** 2)


def tensor_scale(span: Range) -> TensorScale:
    """Asymmetric int8 over the range; zero is exact. A range from zero up (ReLU) gives zero point -128."""
    scale = float(max(span.high - span.low, MIN_RANGE)) / _STEPS
    zero_point = int(np.clip(np.rint(-128 - span.low / scale), -128, 127))
    return TensorScale(scale, zero_point)

"""int16 activations (w8a16) for single layers: the last resort where int8 costs more than a bound.

A layer takes them when its output does: the same weights, and the convolutions that read it multiply int16 by int8. Its
scale becomes finer by a power of two, so that every other number is exactly what it was: the scales that divide or
multiply by it, and the biases of its readers, which count in its steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.progress import Log, Progress, silent, unheard
from edgedeblur.quantize.check import MAX_BITS, check_bounds, check_int16, check_scales
from edgedeblur.quantize.cost.sensitivity import PartCost, rank_layers
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, TensorScale, is_image
from edgedeblur.quantize.observe import crop_images
from edgedeblur.quantize.pipeline import Quantised
from edgedeblur.quantize.quality import QuantiseQuality, capped_psnr, measure_quality
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import Student

RECIPE_KEY = "int16_activations"
_MOST_OF_WEIGHTS = 0.9


@dataclass(frozen=True)
class Widened:
    """quantised: with int16 activations of `layers`, in the order in which they were taken; quality: of it.
    refused: why others cannot have them, or what they would not help, by layer."""

    quantised: Quantised
    quality: QuantiseQuality
    layers: tuple[str, ...]
    refused: dict[str, str]


def widen_until(
    student: Student,
    made: Quantised,
    held_back: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    bound_db: float,
    progress: Progress = silent,
    log: Log = unheard,
) -> Widened:
    """Gives int16 activations to one layer after the other, the dearest first, until at most `bound_db` is lost.

    The order is that of `rank_layers`, without layers whose error is nearly all that of their weights. A layer keeps
    them where the pictures then lose less than before; else it costs milliseconds for nothing.

    Args:
        student: float, as it was given. made: its int8 network. held_back: blurred and sharp pictures.
    """
    network, taken, refused = made.network, [], {}
    first = measure_quality(network, student, *held_back, progress, restore=run_simulated)
    lost = _lost(first)
    judge = _Judge(first.float_db, *(list(crop_images(images, network.spec.multiple)) for images in held_back))
    ranked = [one for one in rank_layers(made.student, network, *held_back, progress) if one.part != "gate"]
    for number, cost in enumerate(ranked, 1):
        if lost <= bound_db:
            break
        name = cost.layer
        try:
            _check_share(cost)
            tried = with_int16(network, name)
        except UserError as error:
            refused[name] = error.message
        else:
            found = judge.lost_db(tried)
            log(f"int16 activations of {name}: {found:.3f} dB lost, {'kept' if found < lost else 'not kept'}")
            if found < lost:
                network, lost = tried, found
                taken.append(name)
        progress("try int16 activations, layer", number, len(ranked))
    if taken:
        network = replace(network, recipe={**network.recipe, RECIPE_KEY: taken})
    quality = measure_quality(network, student, *held_back, restore=run_simulated) if taken else first
    return Widened(Quantised(network, made.student), quality, tuple(taken), refused)


@dataclass(frozen=True)
class _Judge:
    """float_db: PSNR of the float student's images to the sharp ones, uint8 [H, W, 3]; blurred: what it was given."""

    float_db: float
    blurred: Sequence[np.ndarray]
    sharp: Sequence[np.ndarray]

    def lost_db(self, network: QuantisedNetwork) -> float:
        restored = [run_simulated(network, image) for image in self.blurred]
        return self.float_db - float(np.mean([capped_psnr(*pair) for pair in zip(restored, self.sharp, strict=True)]))


def _check_share(cost: PartCost) -> None:
    """Raises UserError where finer activations cannot help a layer."""
    if cost.weights_share is not None and cost.weights_share > _MOST_OF_WEIGHTS:
        raise UserError(f"{min(cost.weights_share, 1):.0%} of its error is its weights'")


def with_int16(network: QuantisedNetwork, name: str) -> QuantisedNetwork:
    """The network with int16 values in the tensor that layer `name` writes.

    Raises:
        UserError: the tensor is an image, or not only read as a convolution's source or residual; or the sums of a
            layer that reads it have no room for more bits.
    """
    _check_readers(network, name)
    wide, finer = _finer_scale(network, name)
    factor = np.float32(1 << finer)
    layers, tensors = [], network.tensors | {name: wide}
    for layer in network.layers:
        if layer.spec.name == name or name in layer.spec.reads:
            layer = _written_finer(layer, factor) if layer.spec.name == name else _read_finer(layer, name, factor)
            for check in (check_int16, check_scales, check_bounds):
                check(layer, tensors)
        layers.append(layer)
    return replace(network, tensors=tensors, layers=tuple(layers))


def _written_finer(layer: QuantisedConv, factor: np.float32) -> QuantisedConv:
    negative, residual = layer.negative_scale, layer.residual_scale
    return replace(
        layer,
        scale=layer.scale * factor,
        negative_scale=None if negative is None else negative * factor,
        residual_scale=None if residual is None else residual * factor,
    )


def _read_finer(layer: QuantisedConv, name: str, factor: np.float32) -> QuantisedConv:
    if layer.spec.residual == name:
        layer = replace(layer, residual_scale=layer.residual_scale / factor)
    if layer.spec.source != name:
        return layer
    negative = layer.negative_scale
    return replace(
        layer,
        bias=layer.bias * np.int32(factor),
        scale=layer.scale / factor,
        negative_scale=None if negative is None else negative / factor,
    )


def _finer_scale(network: QuantisedNetwork, name: str) -> tuple[TensorScale, int]:
    """The scale with the most bits that every reader's sums have room for, and by which power of two it is finer."""
    old = network.tensors[name]
    readers = [layer for layer in network.convolutions if layer.spec.source == name]
    for bits in range(MAX_BITS, 8, -1):
        highest = (1 << (bits - 1)) - 1
        finer = ((highest + 1) // old.largest_input).bit_length() - 1
        if finer > 0 and all(_sums_fit(layer, highest, finer) for layer in readers):
            return TensorScale(old.scale / (1 << finer), 0, bits), finer
    crowded = next(layer.spec.name for layer in readers if not _sums_fit(layer, 2 * old.largest_input, 1))
    raise UserError(f"the sums of layer {crowded} leave int32 with a single bit more")


def _sums_fit(layer: QuantisedConv, highest: int, finer: int) -> bool:
    """Whether no sum of products and bias can leave int32, whatever the image."""
    weight = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1).sum(axis=1)
    return int((weight * highest + (np.abs(layer.bias.astype(np.int64)) << finer)).max()) < 2**31


def _check_readers(network: QuantisedNetwork, name: str) -> None:
    """Raises UserError unless only convolutions write and read the tensor, as source or residual, none in halves."""
    if is_image(name, network.spec):
        raise UserError(f"{name} is the restored image, uint8")
    if network.tensors[name].int16:
        raise UserError(f"{name} has int16 activations already")
    for layer in network.layers:
        spec = layer.spec
        if not isinstance(layer, QuantisedConv) and name in (spec.name, *spec.sources):
            raise UserError(f"layer {spec.name} without weights ({spec.op}) takes int8 only")
        if spec.gate == name:
            raise UserError(f"the gate of layer {spec.name} takes its means, of int8 only")
        if isinstance(layer, QuantisedConv) and layer.winograd and spec.source == name:
            raise UserError(f"layer {spec.name} reads it in Winograd form, in seven bits")


def _lost(quality: QuantiseQuality) -> float:
    return quality.float_db - quality.int8_db

"""Which layers cost the most in int8: each is quantised alone, in a network that is float elsewhere.

A quantised layer has its integer weights and bias and its output rounded to int8 and clamped; what it reads is float.
Gates are parts of their own: with one quantised, the factors come from int8 means and weights, and all convolutions
are float. Both are the interpreter's arithmetic (simulate.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edgedeblur.errors import UserError
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork
from edgedeblur.quantize.observe import crop_images, float_activations
from edgedeblur.quantize.quality import capped_psnr
from edgedeblur.quantize.simulate import channel_means, convolve, gate_scale, pixels, requantise, scaled, torch_conv
from edgedeblur.student import ConvSpec, Student, depth_to_space

_NO_ERROR_DB = 100.0  # of a part that is exact


@dataclass(frozen=True)
class PartCost:
    """What quantising one part of the network alone costs; means over the pictures.

    layer: its name. part: `layer`, or `gate` for what computes the layer's factors.
    lost_db: PSNR to the sharp pictures that is lost; None where these are not known.
    to_float_db: PSNR of the output image to the float network's.
    error_db: the part's own signal to noise ratio, in dB: of the layer's tensor, or of the gate's factors.
    weights_share: of the layer's squared error, what is left if its output is not rounded and clamped, 0 to 1 and
        more; None for gates.
    clamped_share: of the layer's values, those beyond its range at either end (not by ReLU), 0 to 1; None for gates.
    """

    layer: str
    part: str
    lost_db: float | None
    to_float_db: float
    error_db: float
    weights_share: float | None
    clamped_share: float | None

    @property
    def name(self) -> str:
        """For tables: `enc0.0.a`, or `enc0.0.a gate`."""
        return self.layer if self.part == "layer" else f"{self.layer} {self.part}"


def rank_layers(
    student: Student,
    network: QuantisedNetwork,
    blurred: Sequence[np.ndarray],
    sharp: Sequence[np.ndarray] | None = None,
    progress: Progress = silent,
) -> list[PartCost]:
    """Every layer and gate, the dearest first: by `lost_db`, or by `to_float_db` where no sharp pictures are known.

    Args:
        student: float, in the network's units (`pipeline.Quantised`).
        blurred, sharp: held-back pictures, uint8 [H, W, 3] RGB, cropped at the centre as for calibration.

    Raises:
        UserError: no pictures, or bad ones.
    """
    if not blurred:
        raise UserError("there are no held-back pictures to rank layers on")
    images = list(crop_images(blurred, network.spec.multiple))
    targets = [None] * len(images) if sharp is None else list(crop_images(sharp, network.spec.multiple))
    parts = [
        (layer, part) for layer in network.convolutions for part in ("layer", "gate")[: 1 + (layer.gate is not None)]
    ]
    measured: list[list[PartCost]] = [[] for _ in parts]
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        picture = _Picture(student, network, image, target)
        for index, (layer, part) in enumerate(parts):
            measured[index].append(picture.cost(layer, part))
            progress("rank layers, part", number * len(parts) + index + 1, len(images) * len(parts))
    found = [_mean(costs) for costs in measured]
    return sorted(found, key=lambda cost: cost.to_float_db if cost.lost_db is None else -cost.lost_db)


class _Picture:
    """One picture: every tensor of the float network for it, from which single layers are tried."""

    def __init__(self, student: Student, network: QuantisedNetwork, image: np.ndarray, target: np.ndarray | None):
        self.student, self.network, self.target = student, network, target
        self.last = network.spec.layers[-1].name
        self.reals = float_activations(student, image)
        self.restored = self._image(self.reals[self.last])
        self.float_db = None if target is None else capped_psnr(self.restored, target)

    @torch.inference_mode()
    def cost(self, layer: QuantisedConv, part: str) -> PartCost:
        changed, weights_share, clamped = self._gated(layer) if part == "gate" else self._rounded(layer)
        output = self._image(self._rest(layer.spec, changed))
        lost = None if self.target is None else self.float_db - capped_psnr(output, self.target)
        error = _snr_db(self.reals[layer.spec.name], changed)
        return PartCost(layer.spec.name, part, lost, capped_psnr(output, self.restored), error, weights_share, clamped)

    def _rounded(self, layer: QuantisedConv) -> tuple[Tensor, float, float]:
        """The layer's output by its integers, the weights' share of its error, and the share of clamped values."""
        name, scale = layer.spec.name, self.network.tensors[layer.spec.name]
        steps = self._steps(layer)
        conv = torch_conv(self.network, layer)
        factor = conv.scale
        if layer.gate is not None:
            factor = factor * self.student.factors(name, self.reals[layer.spec.gate])
        values = scaled(conv, convolve(conv, steps[layer.spec.source]), factor)
        output = requantise(conv, values.clone(), steps) * scale.scale
        exact = depth_to_space(values, layer.spec.depth_to_space)
        if layer.spec.residual is not None:
            exact = exact + steps[layer.spec.residual] * float(layer.residual_scale)
        if layer.spec.limit is not None:
            exact = exact.clamp_max(layer.spec.limit / scale.scale)
        low, high = scale.lowest - 0.5 - scale.zero_point, scale.highest + 0.5 - scale.zero_point
        clamped = (exact > high) if layer.spec.relu else (exact > high) | (exact < low)
        wanted = self.reals[name]
        unrounded = (exact.relu() if layer.spec.relu else exact) * scale.scale
        total = _squared_error(output, wanted)
        weights_share = _squared_error(unrounded, wanted) / total if total else 0.0
        return output, weights_share, float(clamped.float().mean())

    def _gated(self, layer: QuantisedConv) -> tuple[Tensor, None, None]:
        """The layer's float output with the integer gate's factors in place of the float ones."""
        gating = self.reals[layer.spec.gate]
        read = self.network.tensors[layer.spec.gate]
        steps = self._steps(layer)[layer.spec.gate].round()
        steps.clamp_(read.lowest - read.zero_point, read.highest - read.zero_point)
        factors = gate_scale(layer, channel_means(steps))
        ratio = factors / self.student.factors(layer.spec.name, gating).clamp_min(1e-12)
        return self.reals[layer.spec.name] * ratio, None, None

    def _rest(self, after: ConvSpec, changed: Tensor) -> Tensor:
        """The network's output with one tensor changed: float layers, and only those that it reaches."""
        tensors, touched = {**self.reals, after.name: changed}, {after.name}
        for layer in self.network.spec.layers:
            if touched & set(layer.reads):
                tensors[layer.name] = self.student.layer_output(layer, tensors)
                touched.add(layer.name)
        return tensors[self.last]

    def _steps(self, layer: QuantisedConv) -> dict[str, Tensor]:
        """What the layer reads, in steps of each tensor's scale."""
        return {name: self.reals[name] / self.network.tensors[name].scale for name in layer.spec.reads}

    def _image(self, output: Tensor) -> np.ndarray:
        return pixels(output * 255)


def _squared_error(tensor: Tensor, wanted: Tensor) -> float:
    return float((tensor - wanted).double().square().sum())


def _snr_db(wanted: Tensor, found: Tensor) -> float:
    noise, signal = _squared_error(found, wanted), float(wanted.double().square().sum())
    if not noise:
        return _NO_ERROR_DB
    return min(10 * math.log10(max(signal, 1e-30) / noise), _NO_ERROR_DB)


def _mean(costs: Sequence[PartCost]) -> PartCost:
    """Of one part, over the pictures."""
    numbers = ("lost_db", "to_float_db", "error_db", "weights_share", "clamped_share")
    means = {
        name: None if getattr(costs[0], name) is None else float(np.mean([getattr(cost, name) for cost in costs]))
        for name in numbers
    }
    return replace(costs[0], **means)

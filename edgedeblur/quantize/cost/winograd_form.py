"""Which layers take Winograd form (network.py): those where it saves much for the noise that it adds.

Each layer that may have the form is tried in it alone, in the otherwise unchanged int8 network: what it adds to the
mean squared error of the output image to the float student's, in squared grey levels, over what it saves: a third of
the products, less what it costs to transform inputs and outputs. Layers are taken in that order while all noise that
was added stays within a share of what int8 adds anyway.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgedeblur.progress import Log, Progress, silent
from edgedeblur.quantize.fold import fold_layer
from edgedeblur.quantize.network import (
    QuantisedConv,
    QuantisedNetwork,
    QuantisedOp,
    TensorScale,
    fold_operation,
    may_take_winograd_form,
)
from edgedeblur.quantize.observe import crop_images, float_activations
from edgedeblur.quantize.simulate import convolve, image_steps, simulate_layer, torch_conv
from edgedeblur.student import IMAGE, ConvSpec, Student

_SHARE = 0.15  # of int8's own noise: 0.6 dB of what is 45 to 50 dB below the picture
_CHANNELS = 16  # of an activation load: input channels in other numbers are filled up
_PRODUCTS = 16  # of an instruction
_INPUT, _OUTPUT = 6, 5  # instructions for each pixel and 16 input channels, and each two pixels and 4 output channels


@dataclass(frozen=True)
class FormCost:
    """One layer in Winograd form, the others as they were.

    added: to the mean squared error of the image, squared grey levels. saved: instructions for each input pixel of the
    network. taken: whether it takes the form.
    """

    layer: str
    added: float
    saved: float
    taken: bool = False


@dataclass(frozen=True)
class Forms:
    """noise: of the network without the form, squared grey levels. layers: the most worthwhile first."""

    noise: float
    layers: tuple[FormCost, ...]

    @property
    def taken(self) -> frozenset[str]:
        return frozenset(one.layer for one in self.layers if one.taken)


def choose_winograd_form(
    student: Student, network: QuantisedNetwork, images: Sequence[np.ndarray], progress: Progress = silent
) -> Forms:
    """What the form costs each layer, and which take it.

    Args:
        student: float, in the network's units. network: folded from it, without layers in that form.
        images: calibration images, uint8 [H, W, 3] RGB.
    """
    odd = _with_tensors(network, with_odd_zero_points(network))
    candidates = _candidates(network)
    pictures = [_Picture(student, odd, image) for image in crop_images(images, network.spec.multiple)]
    noise = float(np.mean([picture.noise for picture in pictures]))
    sides = network.spec.sizes(network.spec.multiple, network.spec.multiple)
    costs = []
    for number, spec in enumerate(candidates, 1):
        tried = _corrected(student, odd, spec, pictures)
        added = float(np.mean([picture.noise_with(odd, tried) for picture in pictures])) - noise
        height, width = sides[spec.source]
        costs.append(FormCost(spec.name, added, saved_instructions(spec) * height * width / network.spec.multiple**2))
        progress("try Winograd form, layer", number, len(candidates))
    return Forms(noise, tuple(_taken(costs, _SHARE * noise)))


def saved_instructions(spec: ConvSpec) -> float:
    """Dot products that the form saves for each pixel, less the instructions that it takes; of 128 bits."""
    inputs, outputs = -(-spec.in_channels // _CHANNELS) * _CHANNELS, spec.out_channels
    return 3 * inputs * outputs / _PRODUCTS - _INPUT * inputs / _CHANNELS - _OUTPUT * outputs / 8


def _candidates(network: QuantisedNetwork) -> list[ConvSpec]:
    """Layers that can have the form, where it saves anything, and whose source may have another zero point: none that a
    layer without weights shares with its own source."""
    shared = {name for one in network.spec.operations if one.operation.keeps_scale for name in (one.name, *one.sources)}
    specs = [layer.spec for layer in network.convolutions if layer.spec.source not in shared]
    return [
        spec
        for spec in specs
        if may_take_winograd_form(spec) and spec.in_channels % _CHANNELS == 0 and saved_instructions(spec) > 0
    ]


def with_odd_zero_points(network: QuantisedNetwork, readers: frozenset[str] | None = None) -> dict[str, TensorScale]:
    """The tensors' scales, with zero points moved by one step where a layer in the form would need it.

    Args:
        readers: names of the layers that take the form; None: all that may.
    """
    chosen = _candidates(network) if readers is None else network.spec.layers
    sources = {one.source for one in chosen if readers is None or one.name in readers}
    return {
        name: dataclasses.replace(scale, zero_point=_odd(scale.zero_point)) if name in sources else scale
        for name, scale in network.tensors.items()
    }


def log_forms(forms: Forms, log: Log) -> None:
    """Says which layers take the form, and why others do not."""
    taken = [one for one in forms.layers if one.taken]
    if not forms.layers:
        log("Winograd form: no layer may take it")
        return
    share = sum(one.added for one in taken) / forms.noise if forms.noise else 0.0
    log(f"Winograd form: {len(taken)} of {len(forms.layers)} layers take it, which adds {share:.1%} to int8's noise")
    for one in forms.layers:
        if not one.taken:
            log(f"  {one.layer} stays plain: alone it adds {one.added / forms.noise if forms.noise else 0:.1%}")


def _odd(zero_point: int) -> int:
    return zero_point if zero_point % 2 else zero_point + (1 if zero_point < 0 else -1)


def _taken(costs: Sequence[FormCost], allowed: float) -> list[FormCost]:
    """With the noise of all of them together: what single layers seem to gain or lose on few pictures is luck to both
    sides, which adds up to nothing."""
    ordered = sorted(costs, key=lambda one: one.added / one.saved)
    added, found = 0.0, []
    for one in ordered:
        added += one.added
        found.append(dataclasses.replace(one, taken=added <= allowed))
    return found


def _with_tensors(network: QuantisedNetwork, tensors: dict[str, TensorScale]) -> QuantisedNetwork:
    """The network with other zero points, of which tables are made."""
    layers = tuple(fold_operation(one.spec, tensors) if isinstance(one, QuantisedOp) else one for one in network.layers)
    return dataclasses.replace(network, tensors=tensors, layers=layers)


class _Picture:
    """One picture: the float student's output, and every tensor of the int8 network, of which one layer changes."""

    @torch.inference_mode()
    def __init__(self, student: Student, network: QuantisedNetwork, image: np.ndarray):
        self.last = network.spec.layers[-1].name
        self.wanted = float_activations(student, image)[self.last].clamp(0, 1) * 255
        self.steps = {IMAGE: image_steps(image)}
        for layer in network.layers:
            self.steps[layer.spec.name] = simulate_layer(network, layer, self.steps)
        self.noise = self._noise(self.steps[self.last])

    @torch.inference_mode()
    def noise_with(self, network: QuantisedNetwork, changed: QuantisedConv) -> float:
        """The squared error with one layer changed; only what it reaches is computed again."""
        steps, touched = dict(self.steps), {changed.spec.name}
        for layer in network.layers:
            spec = layer.spec
            if spec.name == changed.spec.name:
                steps[spec.name] = simulate_layer(network, changed, steps)
            elif touched & set(spec.reads):
                steps[spec.name] = simulate_layer(network, layer, steps)
                touched.add(spec.name)
        return self._noise(steps[self.last])

    def _noise(self, output: Tensor) -> float:
        return float((output - self.wanted).double().square().mean())


@torch.inference_mode()
def _corrected(
    student: Student, network: QuantisedNetwork, spec: ConvSpec, pictures: Sequence[_Picture]
) -> QuantisedConv:
    """A layer in the form, the mean of its convolution on the pictures as the plain layer has it."""
    plain = next(layer for layer in network.convolutions if layer.spec.name == spec.name)
    tried = fold_layer(student, spec, network.tensors, winograd=True)
    shifts = []
    for picture in pictures:
        source = picture.steps[spec.source]
        sums = [convolve(torch_conv(network, one), source)[0] for one in (tried, plain)]
        means = [
            one.mean((1, 2)).double().numpy() * layer.scale for one, layer in zip(sums, (tried, plain), strict=True)
        ]
        shifts.append((means[0] - means[1]) / tried.scale)
    bias = tried.bias - np.rint(np.mean(shifts, axis=0)).astype(np.int32)
    return dataclasses.replace(tried, bias=bias)

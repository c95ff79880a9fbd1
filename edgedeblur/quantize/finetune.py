"""Quantisation-aware fine-tuning: weights, biases, scales, gates and channels' factors learn with rounding in place.

The arithmetic of network.py is simulated in float; gradients pass through rounding as if it were not there (Bengio et
al., arXiv:1308.3432), and scales learn with it (LSQ, Esser et al., ICLR 2020). What the int8 network is brought near to
is the float student: on the calibration images, or on pairs that are drawn from training data.

Channels of a tensor share its scale. What each is multiplied by, which equalisation (equalise.py) sets from its largest
value, learns too: a channel whose rounding harms the image gets finer steps, and its rare large values are clamped.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.data.batches import Stock, batches, random_crops
from edgedeblur.data.sources import Source
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.correct import fold_network
from edgedeblur.quantize.equalise import fixed_groups, scale_channels, scale_roots, tensor_groups
from edgedeblur.quantize.fold import transformed_scales, weight_scales
from edgedeblur.quantize.network import QuantisedNetwork, TensorScale, is_image, limit_step, read_scale
from edgedeblur.quantize.observe import crop_images
from edgedeblur.student import (
    IMAGE,
    ConvSpec,
    Layer,
    OpSpec,
    Student,
    depth_to_space,
    space_to_depth,
)
from edgedeblur.student.module import operation_output
from edgedeblur.training.schedule import rate_factor

_BATCH, _SIDE = 4, 128
_SOURCE_BATCH, _SOURCE_SIDE = 1, 128  # steps count more than pixels (docs/quantization.md)
_RATE = 4e-4  # of weights and biases, in their steps
_SCALE_RATE = 2e-3  # of the logarithm of activation scales
_GATE_RATE = 2e-3  # of gates: of weights in steps of the largest, of biases as they are
_FACTOR_RATE = 5e-3  # of the logarithm of channels' factors
_BETAS, _EPSILON = (0.9, 0.99), 1e-16  # most gradients are below Adam's usual 1e-8
_FULL_RATE_STEPS = 400  # beyond, rates fall with the fourth root of the steps
_BLOCKS_SHARE = 0.5  # of the loss in residual blocks' outputs, to that of the image
_TINY = 1e-12
_MOST = 127
_HALF_UP = 0.25  # of half steps: rounding to the nearest then rounds every half up


def finetune_network(
    student: Student,
    network: QuantisedNetwork,
    images: Sequence[np.ndarray],
    steps: int,
    seed: int = 0,
    progress: Progress = silent,
    export_room: bool = True,
    source: Source | None = None,
) -> tuple[QuantisedNetwork, Student]:
    """The network with other integers and scales, nearer to the float student; and the float student in its units.

    Args:
        student: what `network` was folded from, equalised if it was.
        images: blurred, uint8 [H, W, 3] RGB, of any sizes from one `spec.multiple` up.
        steps: updates, each on 4 crops of up to 128x128 of the images, or one of 128x128 of the source.
        seed: of the crops.
        export_room: keep the room that decide.py leaves for a convolution before its residual is added.
        source: draws the crops in place of the images.

    Raises:
        UserError: images of another type, or too small.
    """
    simulated = SimulatedNetwork(student, network, export_room)
    optimiser = torch.optim.Adam(
        [
            {"params": [*simulated.weights.values(), *simulated.biases.values()], "lr": _RATE},
            {"params": [*simulated.scales.values()], "lr": _SCALE_RATE},
            {"params": [*simulated.gate_weights.values(), *simulated.gate_biases.values()], "lr": _GATE_RATE},
            {"params": [*simulated.factors.values()], "lr": _FACTOR_RATE},
        ],
        betas=_BETAS,
        eps=_EPSILON,
    )
    slower = min(1.0, _FULL_RATE_STEPS / max(steps, 1)) ** 0.25
    rates = [group["lr"] * slower for group in optimiser.param_groups]
    with closing(_shown(images, source, student.spec.multiple, seed)) as shown:
        for step, blurred in zip(range(steps), shown, strict=False):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * rate_factor(step, step / steps)
            optimiser.zero_grad()
            finetune_loss(student, simulated, blurred).backward()
            optimiser.step()
            progress("fine-tuning", step + 1, steps)
    tuned = fold_network(simulated.student(), simulated.tensors(), simulated.winograd)
    scaled = scale_channels(student, simulated.channel_factors())
    return replace(network, layers=tuned.layers, tensors=tuned.tensors), scaled


def finetune_loss(student: Student, simulated: "SimulatedNetwork", blurred: Tensor) -> Tensor:
    """The mean squared error of the image [N, 3, H, W] to the float student's, and half as much for what residual
    blocks make: the squared errors of their sums, each over its mean square (docs/quantization.md: what it brings)."""
    with torch.no_grad():
        wanted = student.activations(blurred)
    found, last = simulated.run(blurred), student.spec.layers[-1].name
    of_image = F.mse_loss(found[last], wanted[last].clamp(0, 1))
    names = [one.name for one in student.spec.convolutions if one.residual is not None and one.name != last]
    if not names:
        return of_image
    errors = [F.mse_loss(found[one], wanted[one]) / wanted[one].square().mean().clamp_min(_TINY) for one in names]
    of_blocks = torch.stack(errors).sum()
    return of_image + _BLOCKS_SHARE * of_image.detach() / of_blocks.detach().clamp_min(_TINY) * of_blocks


class SimulatedNetwork:
    """A quantised network in float: real values that are multiples of their tensor's scale, and what is learnt of them.

    weights, biases: by layer, what is added to the student's and the network's, in steps of the layer's weights and
    outputs. scales: by tensor, logarithms of the factors of its scale; none for images, whose scale is fixed.
    gate_weights, gate_biases: by gated layer, what is added to its gate's, weights in 1/127 of the largest. factors: by
    group of tensors that are added, logarithms of what each channel is multiplied by before it is rounded; none for
    images. Values are in the student's units throughout: what is multiplied is divided again after rounding.
    """

    def __init__(self, student: Student, network: QuantisedNetwork, export_room: bool = True):
        self._export_room = export_room
        self.spec, self._tensors, self._layers = student.spec, network.tensors, {}
        self._student = copy.deepcopy(student).requires_grad_(False)
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}
        self.scales: dict[str, Tensor] = {}
        self.gate_weights: dict[str, Tensor] = {}
        self.gate_biases: dict[str, Tensor] = {}
        self.factors: dict[str, Tensor] = {}
        self.winograd = frozenset(layer.spec.name for layer in network.convolutions if layer.winograd)
        self._groups, self._channels = tensor_groups(student.spec), student.spec.channels()
        fixed = fixed_groups(student.spec, self._groups)
        self._roots = scale_roots(student.spec)
        for layer in network.spec.layers:
            if self._roots[layer.name] == layer.name and not is_image(layer.name, student.spec):
                self.scales[layer.name] = torch.zeros((), requires_grad=True)
        for layer in network.convolutions:
            name, steps = layer.spec.name, torch.from_numpy(layer.weight_scale)
            read = read_scale(layer.winograd, network.tensors[layer.spec.source])
            real_bias = layer.bias * layer.weight_scale.astype(np.float64) * read
            weight, bias = student.conv(name).weight.detach(), torch.from_numpy(real_bias).float()
            self._layers[name] = weight, steps[:, None, None, None], bias
            self.weights[name] = torch.zeros_like(weight, requires_grad=True)
            self.biases[name] = torch.zeros_like(bias, requires_grad=True)
            if layer.gate is not None:
                gate = self._student.gate(name)
                self.gate_weights[name] = torch.zeros_like(gate.weight, requires_grad=True)
                self.gate_biases[name] = torch.zeros_like(gate.bias, requires_grad=True)
            if (group := self._groups[name]) not in fixed | self.factors.keys():
                self.factors[group] = torch.zeros(self._channels[name], requires_grad=True)

    def run(self, image: Tensor) -> dict[str, Tensor]:
        """Every tensor [N, C, H, W] for an image [N, 3, H, W] RGB in [0, 1], multiples of 1/255."""
        tensors = {IMAGE: image}
        for layer in self.spec.layers:
            tensors[layer.name] = self.run_layer(layer, tensors)
        return tensors

    def run_layer(self, layer: Layer, tensors: dict[str, Tensor]) -> Tensor:
        """One layer's output [N, C, H, W] from the tensors that it reads."""
        if isinstance(layer, OpSpec):
            return self._run_operation(layer, operation_output(layer, tensors))
        ratio, bias = self._ratio(layer), self._bias(layer.name)
        scaled = self._weight(layer.name) * ratio
        steps = self._steps(layer, scaled)
        weight = _rounded(scaled / steps) * steps / ratio
        zero_point = self._tensors[layer.name].zero_point
        scale = self._scale(layer.name) / self._factor(layer.name)[:, None, None]
        source = space_to_depth(self._read(layer, tensors[layer.source]), layer.space_to_depth)
        convolved = F.conv2d(source, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        if layer.prelu:
            convolved = F.prelu(convolved, self._student.slope(layer.name))
        if layer.gate is not None:
            convolved = convolved * self._gate(layer.name, tensors[layer.gate])
        result = _rounded(depth_to_space(convolved, layer.depth_to_space) / scale)
        if layer.residual is not None:
            if self._export_room:  # other runtimes quantise the convolution alone (decide.py)
                result = result.clamp(-_MOST, _MOST)
            result = result + _rounded(tensors[layer.residual] / scale)
        low = max(-128, zero_point) if layer.relu else -128
        high = limit_step(layer, TensorScale(float(torch.as_tensor(self._scale(layer.name)).detach()), zero_point))
        return result.clamp(low - zero_point, high - zero_point) * scale

    def _run_operation(self, layer: OpSpec, real: Tensor) -> Tensor:
        """The output of a layer without weights, rounded unless its integers are some of its source's."""
        if layer.operation.keeps_scale:
            return real
        zero_point = self._tensors[layer.name].zero_point
        scale = self._scale(layer.name) / self._factor(layer.name)[:, None, None]
        return _rounded(real / scale).clamp(-128 - zero_point, 127 - zero_point) * scale

    def _read(self, layer: ConvSpec, source: Tensor) -> Tensor:
        """What the layer's convolution reads: in Winograd form half steps, rounded up where half a step is left."""
        if layer.name not in self.winograd:
            return source
        step = 2 * self._scale(layer.source) / self._factor(layer.source)[:, None, None]
        return _rounded(source / step + _HALF_UP) * step

    def _gate(self, name: str, gating: Tensor) -> Tensor:
        """What a layer's channels are multiplied by, [N, C, 1, 1]."""
        weight, bias = self._gate_parameters(name)
        return 2 * torch.sigmoid(F.linear(gating.mean((2, 3)), weight, bias))[:, :, None, None]

    def _gate_parameters(self, name: str) -> tuple[Tensor, Tensor]:
        gate = self._student.gate(name)
        step = gate.weight.abs().max() / _MOST
        return gate.weight + self.gate_weights[name] * step, gate.bias + self.gate_biases[name]

    def _factor(self, name: str) -> Tensor:
        """What each channel of a tensor is multiplied by before rounding, [C]; 1 in fixed groups."""
        group = self._groups[name]
        return self.factors[group].exp() if group in self.factors else torch.ones(self._channels[name])

    def _made(self, layer: ConvSpec) -> Tensor:
        """The same for each channel that the convolution makes, [out]."""
        return self._factor(layer.name).repeat(layer.depth_to_space**2)

    def _ratio(self, layer: ConvSpec) -> Tensor:
        """What the layer's weights are multiplied by for the factors of its tensors, [out, in, 1, 1]."""
        read = self._factor(layer.source).repeat(layer.space_to_depth**2).reshape(layer.groups, -1)
        read = read.repeat_interleave(layer.out_channels // layer.groups, 0)
        return (self._made(layer)[:, None] / read)[:, :, None, None]

    def _weight(self, name: str) -> Tensor:
        weight, steps, _ = self._layers[name]
        return weight + self.weights[name] * steps

    def _bias(self, name: str) -> Tensor:
        return self._layers[name][2] + self.biases[name] * self._tensors[name].scale

    @torch.no_grad()
    def _steps(self, layer: ConvSpec, scaled: Tensor) -> Tensor:
        """Of the layer's scaled weights, as they will be folded: [out, 1, 1, 1]."""
        bias = self._bias(layer.name) * self._made(layer)
        winograd = layer.name in self.winograd
        read = read_scale(winograd, TensorScale(float(self._scale(layer.source)), 0))
        found = weight_scales(scaled.numpy(), bias.numpy(), read)
        if winograd:
            found = np.maximum(found, transformed_scales(scaled.permute(0, 2, 3, 1).numpy()))
        return torch.from_numpy(found)[:, None, None, None]

    def _scale(self, name: str) -> Tensor | float:
        name = self._roots[name]
        first = self._tensors[name].scale
        return first * self.scales[name].exp() if name in self.scales else first

    @torch.no_grad()
    def student(self) -> Student:
        """A float student with what was learnt, its channels multiplied by their factors."""
        learnt = copy.deepcopy(self._student)
        for name in self._layers:
            conv = learnt.conv(name)
            conv.weight.copy_(self._weight(name))
            conv.bias.copy_(self._bias(name))
        for name in self.gate_weights:
            weight, bias = self._gate_parameters(name)
            learnt.gate(name).weight.copy_(weight)
            learnt.gate(name).bias.copy_(bias)
        return scale_channels(learnt, self.channel_factors())

    @torch.no_grad()
    def channel_factors(self) -> dict[str, np.ndarray]:
        """What each channel of each tensor is multiplied by, float64 [C]."""
        return {name: self._factor(name).double().numpy() for name in self._groups}

    @torch.no_grad()
    def tensors(self) -> dict[str, TensorScale]:
        """Scales with what was learnt."""
        return {name: TensorScale(float(self._scale(name)), old.zero_point) for name, old in self._tensors.items()}


def _shown(images: Sequence[np.ndarray], source: Source | None, multiple: int, seed: int) -> Iterator[Tensor]:
    """Batches without end, blurred, float32 [N, 3, H, W] in [0, 1]: of the source, else crops of the images."""
    if source is None:
        return random_crops(list(crop_images(images, multiple)), seed, _BATCH, _SIDE)
    side = max(1, _SOURCE_SIDE // multiple) * multiple
    return (blurred for blurred, _ in batches(Stock(source, seed, _SOURCE_BATCH, side), 0))


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return gradient


_rounded = _Rounding.apply

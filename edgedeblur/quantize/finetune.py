"""Quantisation-aware fine-tuning: weights, biases and activation scales learn with their rounding in place.

The arithmetic of network.py is simulated in float; gradients pass through rounding as if it were not there (Bengio et
al., arXiv:1308.3432), and scales learn with it (LSQ, Esser et al., ICLR 2020). What the int8 network is brought near to
is the float student, on the calibration images; sharp images are not needed.
"""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.data.sources import crop_at_random
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.correct import fold_network
from edgedeblur.quantize.fold import weight_scales
from edgedeblur.quantize.network import QuantisedNetwork, TensorScale, is_image
from edgedeblur.quantize.observe import crop_images
from edgedeblur.student import IMAGE, ConvSpec, Student, depth_to_space, space_to_depth
from edgedeblur.training.schedule import rate_factor

_BATCH, _SIDE = 4, 128
_RATE = 2e-3  # of weights and biases, in their steps
_SCALE_RATE = 2e-3  # of the logarithm of activation scales
_BETAS = (0.9, 0.99)
_MOST = 127


def finetune_network(
    student: Student,
    network: QuantisedNetwork,
    images: Sequence[np.ndarray],
    steps: int,
    seed: int = 0,
    progress: Progress = silent,
) -> QuantisedNetwork:
    """The network with other integers and scales, nearer to the float student.

    Args:
        student: what `network` was folded from, equalised if it was.
        images: blurred, uint8 [H, W, 3] RGB, of any sizes from one `spec.multiple` up.
        steps: updates, each on 4 crops of up to 128x128 of the images. seed: of the crops.

    Raises:
        UserError: images of another type, or too small.
    """
    simulated = SimulatedNetwork(student, network)
    optimiser = torch.optim.Adam(
        [
            {"params": [*simulated.weights.values(), *simulated.biases.values()], "lr": _RATE},
            {"params": [*simulated.scales.values()], "lr": _SCALE_RATE},
        ],
        betas=_BETAS,
    )
    rates = [group["lr"] for group in optimiser.param_groups]
    for step, blurred in enumerate(itertools.islice(_crops(images, student.spec.multiple, seed), steps)):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * rate_factor(step, step / steps)
        with torch.no_grad():
            wanted = student(blurred).clamp(0, 1)
        optimiser.zero_grad()
        F.mse_loss(simulated.run(blurred), wanted).backward()
        optimiser.step()
        progress("fine-tuning", step + 1, steps)
    tuned = fold_network(simulated.student(), simulated.tensors())
    return replace(network, layers=tuned.layers, tensors=tuned.tensors)


class SimulatedNetwork:
    """A quantised network in float: real values that are multiples of their tensor's scale, and what is learnt of them.

    weights, biases: by layer, what is added to the student's and the network's, in steps of the layer's weights and
    outputs. scales: by tensor, logarithms of the factors of its scale; none for images, whose scale is fixed. Gates
    stay as the student has them.
    """

    def __init__(self, student: Student, network: QuantisedNetwork):
        self.spec, self._tensors, self._layers = student.spec, network.tensors, {}
        self._student = copy.deepcopy(student).requires_grad_(False)
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}
        self.scales: dict[str, Tensor] = {}
        for layer in network.layers:
            name, steps = layer.spec.name, torch.from_numpy(layer.weight_scale)
            real_bias = layer.bias * layer.weight_scale.astype(np.float64) * network.tensors[layer.spec.source].scale
            weight, bias = student.conv(name).weight.detach(), torch.from_numpy(real_bias).float()
            self._layers[name] = weight, steps[:, None, None, None], bias
            self.weights[name] = torch.zeros_like(weight, requires_grad=True)
            self.biases[name] = torch.zeros_like(bias, requires_grad=True)
            if not is_image(name, student.spec):
                self.scales[name] = torch.zeros((), requires_grad=True)

    def run(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] RGB in [0, 1], multiples of 1/255, to the same."""
        tensors = {IMAGE: image}
        for layer in self.spec.layers:
            tensors[layer.name] = self.run_layer(layer, tensors)
        return tensors[self.spec.layers[-1].name]

    def run_layer(self, layer: ConvSpec, tensors: dict[str, Tensor]) -> Tensor:
        """One layer's output [N, C, H, W] from the tensors that it reads."""
        weight, bias = self._weight(layer.name), self._bias(layer.name)
        steps = self._steps(layer)
        weight = _rounded(weight / steps) * steps
        scale, zero_point = self._scale(layer.name), self._tensors[layer.name].zero_point
        source = space_to_depth(tensors[layer.source], layer.space_to_depth)
        convolved = F.conv2d(source, weight, bias, layer.stride, layer.kernel // 2)
        if layer.gate is not None:
            convolved = convolved * self._student.factors(layer.name, tensors[layer.gate])
        result = depth_to_space(_rounded(convolved / scale), layer.depth_to_space)
        if layer.residual is not None:  # other runtimes need room for the convolution alone (decide.py)
            result = result.clamp(-_MOST, _MOST) + _rounded(tensors[layer.residual] / scale)
        low = max(-128, zero_point) if layer.relu else -128
        return result.clamp(low - zero_point, 127 - zero_point) * scale

    def _weight(self, name: str) -> Tensor:
        weight, steps, _ = self._layers[name]
        return weight + self.weights[name] * steps

    def _bias(self, name: str) -> Tensor:
        return self._layers[name][2] + self.biases[name] * self._tensors[name].scale

    @torch.no_grad()
    def _steps(self, layer: ConvSpec) -> Tensor:
        """Of the layer's weights, as they will be folded: [out, 1, 1, 1]."""
        weight, bias = self._weight(layer.name).numpy(), self._bias(layer.name).numpy()
        return torch.from_numpy(weight_scales(weight, bias, float(self._scale(layer.source))))[:, None, None, None]

    def _scale(self, name: str) -> Tensor | float:
        first = self._tensors[name].scale
        return first * self.scales[name].exp() if name in self.scales else first

    @torch.no_grad()
    def student(self) -> Student:
        """A float student with what was learnt."""
        learnt = copy.deepcopy(self._student)
        for name in self._layers:
            conv = learnt.conv(name)
            conv.weight.copy_(self._weight(name))
            conv.bias.copy_(self._bias(name))
        return learnt

    @torch.no_grad()
    def tensors(self) -> dict[str, TensorScale]:
        """Scales with what was learnt."""
        return {name: TensorScale(float(self._scale(name)), old.zero_point) for name, old in self._tensors.items()}


def _crops(images: Sequence[np.ndarray], multiple: int, seed: int) -> Iterator[Tensor]:
    """Batches without end, float32 [N, 3, H, W] in [0, 1]: random crops, mirrored and turned at random."""
    images, rng = list(crop_images(images, multiple)), np.random.default_rng(seed)
    side = min(_SIDE, *(size for image in images for size in image.shape[:2]))
    while True:
        batch = []
        for _ in range(_BATCH):
            (crop,) = crop_at_random(rng, (side, side), images[rng.integers(len(images))])
            swap, down, right = rng.integers(2, size=3)
            crop = crop.swapaxes(0, 1) if swap else crop
            batch.append(np.flip(crop, [axis for axis, mirrored in enumerate((down, right)) if mirrored]))
        yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return gradient


_rounded = _Rounding.apply

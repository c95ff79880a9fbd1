"""Quantisation-aware fine-tuning: weights, biases and activation scales learn with their rounding in place.

The arithmetic of network.py is simulated in float; gradients pass through rounding as if it were not there (Bengio et
al., arXiv:1308.3432), and scales learn with it (LSQ, Esser et al., ICLR 2020). What the int8 network is brought near to
is the float student, on the calibration images; sharp images are not needed.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.quantize.correct import fold_network
from edgedeblur.quantize.network import QuantisedNetwork, TensorScale, is_image
from edgedeblur.quantize.observe import crop_images
from edgedeblur.student import IMAGE, ConvSpec, Student, depth_to_space, space_to_depth
from edgedeblur.train.schedule import rate_factor

_BATCH, _SIDE = 4, 128
_RATE = 2e-3  # of weights and biases, in their steps
_SCALE_RATE = 2e-3  # of the logarithm of activation scales
_BETAS = (0.9, 0.99)
_MOST = 127

Progress = Callable[[str, int, int | None], None]
"""(what, done, total)."""


@dataclass(frozen=True)
class FinetuneOptions:
    """steps: updates, each on 4 crops of 128x128 of the calibration images. seed: of the crops."""

    steps: int = 200
    seed: int = 0


def finetune_network(
    student: Student,
    network: QuantisedNetwork,
    images: Sequence[np.ndarray],
    options: FinetuneOptions = FinetuneOptions(),
    progress: Progress = lambda what, done, total: None,
) -> QuantisedNetwork:
    """The network with other integers and scales, nearer to the float student.

    Args:
        student: what `network` was folded from, equalised if it was.
        images: blurred, uint8 [H, W, 3] RGB, of any sizes from one `spec.multiple` up.

    Raises:
        UserError: images of another type, or too small.
    """
    simulated = SimulatedNetwork(student, network)
    crops = _Crops(images, student.spec.multiple, options.seed)
    optimiser = torch.optim.Adam(
        [
            {"params": [*simulated.weights, *simulated.biases], "lr": _RATE},
            {"params": [*simulated.scales], "lr": _SCALE_RATE},
        ],
        betas=_BETAS,
    )
    rates = [group["lr"] for group in optimiser.param_groups]
    for step in range(options.steps):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * rate_factor(step, step / options.steps)
        blurred = crops.draw()
        with torch.no_grad():
            wanted = student(blurred).clamp(0, 1)
        optimiser.zero_grad()
        F.mse_loss(simulated(blurred), wanted).backward()
        optimiser.step()
        progress("fine-tuning", step + 1, options.steps)
    tuned = fold_network(simulated.student(), simulated.tensors())
    return replace(network, layers=tuned.layers, tensors=tuned.tensors)


class SimulatedNetwork(nn.Module):
    """A quantised network in float: real values that are multiples of their tensor's scale, and what is learnt of them.

    weights, biases: what is added to the student's and the network's, in steps of the layer's weights and outputs.
    scales: logarithms of the factors of activation scales.
    """

    def __init__(self, student: Student, network: QuantisedNetwork):
        super().__init__()
        self.spec, self._student, self._tensors = student.spec, student, network.tensors
        self._fixed = {}
        for layer in network.layers:
            steps = torch.from_numpy(layer.weight_scale)
            real_bias = layer.bias * layer.weight_scale.astype(np.float64) * network.tensors[layer.spec.source].scale
            weight = student.conv(layer.spec.name).weight.detach()
            self._fixed[layer.spec.name] = weight, steps[:, None, None, None], torch.from_numpy(real_bias).float()
        self.weights = nn.ParameterList(torch.zeros_like(weight) for weight, _, _ in self._fixed.values())
        self.biases = nn.ParameterList(torch.zeros_like(bias) for _, _, bias in self._fixed.values())
        self.scales = nn.ParameterList(torch.zeros(()) for _ in self._fixed)
        self._places = {name: place for place, name in enumerate(self._fixed)}

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] RGB in [0, 1], multiples of 1/255, to the same."""
        tensors = {IMAGE: image}
        for layer in self.spec.layers:
            tensors[layer.name] = self.run_layer(layer, tensors)
        return tensors[self.spec.layers[-1].name]

    def run_layer(self, layer: ConvSpec, tensors: dict[str, Tensor]) -> Tensor:
        """One layer's output [N, C, H, W] from the tensors that it reads."""
        weight, bias = self._weight(layer.name), self._bias(layer.name)
        steps = (weight.detach().abs().amax((1, 2, 3), keepdim=True) / _MOST).clamp_min(1e-12)
        weight = _rounded(weight / steps) * steps
        scale, zero_point = self._scale(layer.name), self._tensors[layer.name].zero_point
        source = space_to_depth(tensors[layer.source], layer.space_to_depth)
        convolved = F.conv2d(source, weight, bias, layer.stride, layer.kernel // 2)
        result = depth_to_space(_rounded(convolved / scale), layer.depth_to_space)
        if layer.residual is not None:  # other runtimes need room for the convolution alone (decide.py)
            result = result.clamp(-_MOST, _MOST) + _rounded(tensors[layer.residual] / scale)
        low = max(-128, zero_point) if layer.relu else -128
        return result.clamp(low - zero_point, 127 - zero_point) * scale

    def _weight(self, name: str) -> Tensor:
        weight, steps, _ = self._fixed[name]
        return weight + self.weights[self._places[name]] * steps

    def _bias(self, name: str) -> Tensor:
        return self._fixed[name][2] + self.biases[self._places[name]] * self._tensors[name].scale

    def _scale(self, name: str) -> Tensor | float:
        first = self._tensors[name].scale
        return first if is_image(name, self.spec) else first * self.scales[self._places[name]].exp()

    @torch.no_grad()
    def student(self) -> Student:
        """A float student with what was learnt."""
        learnt = copy.deepcopy(self._student)
        for name in self._fixed:
            conv = learnt.conv(name)
            conv.weight.copy_(self._weight(name))
            conv.bias.copy_(self._bias(name))
        return learnt

    @torch.no_grad()
    def tensors(self) -> dict[str, TensorScale]:
        """Scales with what was learnt."""
        known = {name: TensorScale(float(self._scale(name)), self._tensors[name].zero_point) for name in self._fixed}
        return {IMAGE: self._tensors[IMAGE], **known}


class _Crops:
    """Random crops of images, mirrored and turned at random."""

    def __init__(self, images: Sequence[np.ndarray], multiple: int, seed: int):
        self._images = [torch.from_numpy(image.copy()) for image in crop_images(images, multiple)]
        smallest = min(min(image.shape[:2]) for image in self._images)
        self._side = min(_SIDE, smallest)
        self._rng = np.random.default_rng(seed)

    def draw(self) -> Tensor:
        """float32 [N, 3, H, W] in [0, 1]."""
        return torch.stack([self._one() for _ in range(_BATCH)]).permute(0, 3, 1, 2).float() / 255

    def _one(self) -> Tensor:
        image = self._images[self._rng.integers(len(self._images))]
        top, left = (int(self._rng.integers(size - self._side + 1)) for size in image.shape[:2])
        crop = image[top : top + self._side, left : left + self._side]
        swap, down, right = self._rng.integers(2, size=3)
        crop = crop.transpose(0, 1) if swap else crop
        return crop.flip([axis for axis, flip in enumerate((down, right)) if flip])


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return gradient


_rounded = _Rounding.apply

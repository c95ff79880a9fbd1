"""Cross-layer range equalisation: every channel of a tensor is made to use the whole range that the tensor needs.

Activations have one scale per tensor, so a channel that stays small wastes most of its 256 steps. Scaling a channel up
in the convolutions that make it and down in those that read it changes nothing in float, since addition and ReLU keep
positive factors (Nagel et al., ICCV 2019, section 4.1, there for the ranges of weights; weights here have a scale per
output channel, so activations set the factors). Tensors that are added share their factors: a whole residual trunk is
one group. Images keep their scale.
"""

import copy
from collections.abc import Iterable

import numpy as np
import torch

from edgedeblur.quantize.observe import convolution_outputs, crop_images, float_activations
from edgedeblur.student import IMAGE, ConvSpec, OpSpec, Student, StudentSpec

MAX_FACTOR = 1000.0  # of a channel that is (almost) never used


def collect_channel_maxima(student: Student, images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """The largest magnitude of every channel of every tensor, float64 [C] by name.

    Where a residual is added, the convolution alone counts too: it may exceed the sum, and has to fit (decide.py).

    Args:
        images: uint8 [H, W, 3] RGB.

    Raises:
        UserError: an image of another type, or too small.
    """
    maxima: dict[str, np.ndarray] = {}
    fused = {layer.name: layer.depth_to_space for layer in student.spec.convolutions if layer.residual is not None}
    with convolution_outputs(student) as convolved:
        for image in crop_images(images, student.spec.multiple):
            for name, tensor in float_activations(student, image).items():
                maxima[name] = np.maximum(maxima.get(name, 0.0), _channel_maxima(tensor))
            for name, factor in fused.items():
                alone = _channel_maxima(convolved[name]).reshape(factor**2, -1).max(axis=0)
                maxima[name] = np.maximum(maxima[name], alone)
    return maxima


def _channel_maxima(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].abs().amax(dim=(1, 2)).double().numpy()


def equalise_student(student: Student, maxima: dict[str, np.ndarray]) -> Student:
    """A copy of the student that computes the same image, its channels equalised."""
    return scale_channels(student, channel_factors(student.spec, maxima))


def scale_channels(student: Student, factors: dict[str, np.ndarray]) -> Student:
    """A copy that computes the same image, each channel of each tensor multiplied by its factor.

    Args:
        factors: float [C] by tensor, above 0; the same throughout a group, and 1 for images.
    """
    equalised = copy.deepcopy(student)
    with torch.no_grad():
        for layer in student.spec.convolutions:
            conv = equalised.conv(layer.name)
            made = np.tile(factors[layer.name], layer.depth_to_space**2)  # channels in (dy, dx, c) order
            read = read_by_outputs(layer, np.tile(factors[layer.source], layer.space_to_depth**2))
            conv.weight.mul_(torch.from_numpy((made[:, None] / read)[:, :, None, None]))
            conv.bias.mul_(torch.from_numpy(made))
            if layer.gate is not None:
                equalised.gate(layer.name).weight.div_(torch.from_numpy(factors[layer.gate]))
    return equalised


def channel_factors(spec: StudentSpec, maxima: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each channel of each tensor is multiplied by, float64 [C], at least 1; the same throughout a group."""
    groups = tensor_groups(spec)
    fixed = fixed_groups(spec, groups)
    largest: dict[str, np.ndarray] = {}
    for name, group in groups.items():
        largest[group] = np.maximum(largest.get(group, 0.0), maxima[name])
    factors = {}
    for group, channels in largest.items():
        top = channels.max()
        same = group in fixed or top <= 0
        factors[group] = np.ones_like(channels) if same else top / np.maximum(channels, top / MAX_FACTOR)
    return {name: factors[group] for name, group in groups.items()}


def read_by_outputs(layer: ConvSpec, read: np.ndarray) -> np.ndarray:
    """What belongs to a layer's input channels [in], for the inputs of each output: [out, in / groups]."""
    parts = read.reshape(layer.groups, -1)
    return np.repeat(parts, layer.out_channels // layer.groups, axis=0)


def fixed_groups(spec: StudentSpec, groups: dict[str, str]) -> set[str]:
    """The groups whose channels keep their scale: images, what is clamped to a limit in real units, and what layers
    without weights read and make that are no linear function of each channel alone."""
    names = [IMAGE, spec.layers[-1].name, *(layer.name for layer in spec.layers if layer.limit is not None)]
    for layer in spec.operations:
        if not _by_channel(layer):
            names += [layer.name, *layer.sources]
    return {groups[name] for name in names}


def _by_channel(layer: OpSpec) -> bool:
    """Whether a layer without weights multiplies its output by what each channel of its sources is multiplied by."""
    return layer.operation.combine in ("add", "maximum", "weigh", "mean") and not layer.starts


def tensor_groups(spec: StudentSpec) -> dict[str, str]:
    """Tensor to the first tensor of its group: those joined by residual additions."""
    groups = {name: name for name in (IMAGE, *(layer.name for layer in spec.layers))}
    for layer in spec.layers:
        if layer.residual is not None:
            joined, into = groups[layer.name], groups[layer.residual]
            groups = {name: into if group == joined else group for name, group in groups.items()}
        elif isinstance(layer, OpSpec) and _by_channel(layer):
            joined = {groups[name] for name in layer.sources} | {layer.name}
            groups = {name: groups[layer.source] if group in joined else group for name, group in groups.items()}
    return groups


def scale_roots(spec: StudentSpec) -> dict[str, str]:
    """The tensor whose scale each tensor has: its own, or where integers are only picked, that of what it reads."""
    roots = {IMAGE: IMAGE}
    for layer in spec.layers:
        keeps = isinstance(layer, OpSpec) and layer.operation.keeps_scale
        roots[layer.name] = roots[layer.source] if keeps else layer.name
    return roots

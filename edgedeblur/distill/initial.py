"""Initial weights. From pictures: a student starts with every layer's output centred and of spread one.

Pixels are a poor input: their mean is far above their differences, which are all that tells of blur, and without
normalisation in the network nothing downstream corrects that. Three measures, none of which costs the finished student
anything: the stem whitens (LeCun et al., "Efficient BackProp", 1998; Coates & Ng, 2012), every convolution is scaled to
outputs of spread one (LSUV, Mishkin & Matas, ICLR 2016), and residual branches start small (Fixup, Zhang et al., ICLR
2019). docs/student.md shows what they bring.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.student import IMAGE, ConvSpec, Layer, OpSpec, Student, StudentSpec, build_student, space_to_depth

_NOISE = 2 / 255  # what lies below is not amplified
_BRANCH = 0.1  # spread of a residual branch's output
_JOIN = 0.5  # spread of what comes up, beside a skip's
_REST = 0.1  # of its random weights, for the stem's channels that whiten
_STATISTICS = 100_000  # patches looked at
_FRESH = 0.5  # of their usual size, weights of channels that a wider student has beside those of a narrower one


@torch.no_grad()
def initialise_from(student: Student, blurred: Tensor) -> None:
    """Set a fresh student's stem and scales from blurred pictures, float32 [N, 3, H, W] in [0, 1]."""
    tensors = {IMAGE: blurred}
    for layer in student.spec.layers[:-1]:
        if isinstance(layer, OpSpec):
            tensors[layer.name] = student.layer_output(layer, tensors)
            continue
        if layer is student.spec.layers[0] and layer.depth_to_space == 1 and layer.residual is None:
            _whiten(student, blurred)
            tensors[layer.name] = student.layer_output(layer, tensors)
            continue
        conv = student.conv(layer.name)
        source = space_to_depth(tensors[layer.source], layer.space_to_depth)
        out = F.conv2d(source, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        wanted = 1.0 if layer.residual is None else _BRANCH if layer.kernel == 3 else _JOIN
        scale = wanted / out.std((0, 2, 3)).mean().clamp_min(1e-6)
        conv.weight.mul_(scale)
        conv.bias.copy_(-scale * out.mean((0, 2, 3)))
        tensors[layer.name] = student.layer_output(layer, tensors)


def _whiten(student: Student, blurred: Tensor) -> None:
    """The stem's first channels become the principal components of a folded pixel, each of spread about one."""
    stem = student.spec.convolutions[0]
    folded = space_to_depth(blurred, stem.space_to_depth).permute(0, 2, 3, 1).reshape(-1, stem.in_channels).double()
    folded = folded[:: max(1, len(folded) // _STATISTICS)]
    mean = folded.mean(0)
    variances, vectors = torch.linalg.eigh((folded - mean).T @ (folded - mean) / len(folded))
    count = min(stem.in_channels, stem.out_channels)
    largest = vectors.flip(1)[:, :count]
    whitening = (largest / (variances.flip(0)[:count] + _NOISE**2).sqrt()).T.float()
    conv, middle = student.conv(stem.name), stem.kernel // 2
    conv.weight[:count].mul_(_REST)
    conv.weight[:count, :, middle, middle] += whitening
    conv.bias.zero_()
    conv.bias[:count] = -(whitening @ mean.float())
    spread = student.layer_output(stem, {IMAGE: blurred}).std((0, 2, 3))
    rest = slice(count, None)
    conv.weight[rest] /= spread[rest].clamp_min(1e-6)[:, None, None, None]


@torch.no_grad()
def widened(student: Student, spec: StudentSpec, seed: int = 0) -> Student | None:
    """A student of that spec, with the same layers, each at least as wide, that computes what the narrower one does
    (Chen et al., "Net2Net: accelerating learning via knowledge transfer", ICLR 2016): its channels come first, further
    ones are fresh and nothing reads them yet. Gates that the narrower one has not are the identity. None where the
    layers differ in more than channels, or where it has a gate that the spec has not."""
    wide = build_student(spec, seed)
    if [_form(layer) for layer in wide.spec.layers] != [_form(layer) for layer in student.spec.layers]:
        return None
    if spec.operations and spec.layers != student.spec.layers:  # where each channel comes to lie is not followed
        return None
    for narrow, layer in zip(student.spec.convolutions, wide.spec.convolutions, strict=True):
        if narrow.in_channels > layer.in_channels or narrow.out_channels > layer.out_channels:
            return None
        if narrow.gate not in (None, layer.gate) or (layer.groups > 1 and narrow.in_channels != layer.in_channels):
            return None
        written, read = _places(narrow, layer)
        read = read[: layer.in_channels // layer.groups]
        source, conv = student.conv(layer.name), wide.conv(layer.name)
        conv.weight.mul_(_FRESH)
        conv.weight[written] = 0
        conv.weight[written[:, None], read[None, :]] = source.weight
        conv.bias[written] = source.bias
        if layer.prelu:
            wide.slope(layer.name)[written] = student.slope(layer.name)
        if narrow.gate is not None:
            known, gate = student.gate(layer.name), wide.gate(layer.name)
            gate.weight[: known.out_features, : known.in_features] = known.weight
            gate.bias[: known.out_features] = known.bias
    return wide


def _form(layer: Layer) -> Layer:
    """A layer without its channels and its gate."""
    if isinstance(layer, OpSpec):
        return replace(layer, out_channels=1)
    return replace(layer, in_channels=1, out_channels=1, gate=None)


def _places(narrow: ConvSpec, wide: ConvSpec) -> tuple[Tensor, Tensor]:
    """Where a layer's output and input channels are in a wider one; folded channels are in (dy, dx, c) order."""
    places = []
    for name, factor in (("out_channels", wide.depth_to_space), ("in_channels", wide.space_to_depth)):
        few, many = (getattr(layer, name) // factor**2 for layer in (narrow, wide))
        places.append(torch.cat([group * many + torch.arange(few) for group in range(factor**2)]))
    return places[0], places[1]

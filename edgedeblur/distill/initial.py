"""Initial weights from pictures: a student starts with every layer's output centred and of spread one.

Pixels are a poor input: their mean is far above their differences, which are all that tells of blur, and without
normalisation in the network nothing downstream mends that. Three measures, none of which costs the finished student
anything: the stem whitens (LeCun et al., "Efficient BackProp", 1998; Coates & Ng, 2012), every convolution is scaled to
outputs of spread one (LSUV, Mishkin & Matas, ICLR 2016), and residual branches start small (Fixup, Zhang et al., ICLR
2019). docs/student.md shows what they bring.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.student import Student, space_to_depth

_NOISE = 2 / 255  # what lies below is not amplified
_BRANCH = 0.1  # spread of a residual branch's output
_JOIN = 0.5  # spread of what comes up, beside a skip's
_REST = 0.1  # of its random weights, for the stem's channels that whiten
_STATISTICS = 100_000  # patches looked at


@torch.no_grad()
def initialise_from(student: Student, blurred: Tensor) -> None:
    """Set a fresh student's stem and scales from blurred pictures, float32 [N, 3, H, W] in [0, 1]."""
    _whiten(student, blurred)
    for layer in student.spec.layers[1:-1]:
        tensors = student.activations(blurred)
        conv = student.conv(layer.name)
        out = F.conv2d(tensors[layer.source], conv.weight, None, conv.stride, conv.padding)
        wanted = 1.0 if layer.residual is None else _BRANCH if layer.kernel == 3 else _JOIN
        scale = wanted / out.std((0, 2, 3)).mean().clamp_min(1e-6)
        conv.weight.mul_(scale)
        conv.bias.copy_(-scale * out.mean((0, 2, 3)))


def _whiten(student: Student, blurred: Tensor) -> None:
    """The stem's first channels become the principal components of a folded pixel, each of spread about one."""
    stem = student.spec.layers[0]
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
    spread = student.activations(blurred)[stem.name].std((0, 2, 3))
    rest = slice(count, None)
    conv.weight[rest] /= spread[rest].clamp_min(1e-6)[:, None, None, None]

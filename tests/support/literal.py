"""The arithmetic of network.py written out once more, in Python integers and loops: what the interpreter is checked by.

It shares no code with the interpreter. A product is rounded to float32 by NumPy's scalar type, a half by Python's
`round`, which goes to even.
"""

import math

import numpy as np

from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork


def literal_layer(network: QuantisedNetwork, layer: QuantisedConv, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """int8 [H, W, C] of one layer from the int8 [H, W, C] tensors that it reads."""
    spec = layer.spec
    source, source_zero = tensors[spec.source], network.tensors[spec.source].zero_point
    out_zero = network.tensors[spec.name].zero_point
    fold, shuffle = spec.space_to_depth, spec.depth_to_space
    height, width = source.shape[0] // fold // spec.stride, source.shape[1] // fold // spec.stride
    channels = spec.out_channels // shuffle**2
    scale = layer.scale if layer.gate is None else _gated_scale(network, layer, tensors[spec.gate])
    out = np.zeros((height * shuffle, width * shuffle, channels), np.int8)
    for y in range(height * shuffle):
        for x in range(width * shuffle):
            for channel in range(channels):
                o = ((y % shuffle) * shuffle + x % shuffle) * channels + channel
                acc = _accumulate(layer, source, source_zero, y // shuffle, x // shuffle, o)
                factor = layer.negative_scale[o] if spec.prelu and acc < 0 else scale[o]
                r = round(float(np.float32(acc) * factor))
                if spec.residual is not None:
                    other = int(tensors[spec.residual][y, x, channel]) - network.tensors[spec.residual].zero_point
                    r += round(float(np.float32(other) * layer.residual_scale))
                low = max(-128, out_zero) if spec.relu else -128
                high = 127
                if spec.limit is not None:
                    step = np.float32(spec.limit) / np.float32(network.tensors[spec.name].scale)
                    high = min(127, out_zero + round(float(step)))
                out[y, x, channel] = min(max(r + out_zero, low), high)
    return out


def _gated_scale(network: QuantisedNetwork, layer: QuantisedConv, gating: np.ndarray) -> list[np.float32]:
    """The layer's scale for this image: means in 128ths rounded half up, the sigmoid at 256ths to 14 bits."""
    zero, pixels = network.tensors[layer.spec.gate].zero_point, gating.shape[0] * gating.shape[1]
    means = []
    for i in range(gating.shape[2]):
        total = sum(int(q) - zero for q in gating[:, :, i].ravel())
        means.append(
            (256 * total + pixels) // (2 * pixels) if pixels % 2 == 0 else (128 * total + pixels // 2) // pixels
        )
    scales = []
    for o, scale in enumerate(layer.scale):
        z = int(layer.gate.bias[o]) + sum(int(w) * mean for w, mean in zip(layer.gate.weight[o], means, strict=True))
        k = min(max(round(float(np.float32(z) * layer.gate.scale[o])), -2048), 2048)
        scales.append(scale * np.float32(round(2**15 / (1 + math.exp(-k / 256))) / 2**14))
    return scales


def _accumulate(layer: QuantisedConv, source: np.ndarray, zero: int, y: int, x: int, o: int) -> int:
    spec = layer.spec
    fold, channels = spec.space_to_depth, source.shape[2]
    acc = int(layer.bias[o])
    for ky in range(spec.kernel):
        for kx in range(spec.kernel):
            sy, sx = (at * spec.stride + spec.dilation * (k - spec.kernel // 2) for at, k in ((y, ky), (x, kx)))
            if not (0 <= sy < source.shape[0] // fold and 0 <= sx < source.shape[1] // fold):
                continue
            each = spec.in_channels // spec.groups
            first = o // (spec.out_channels // spec.groups) * each
            for i in range(first, first + each):
                dy, dx, c = i // channels // fold, i // channels % fold, i % channels
                q = int(source[sy * fold + dy, sx * fold + dx, c])
                acc += (q - zero) * int(layer.weight[o, ky, kx, i - first])
    return acc

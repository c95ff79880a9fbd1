"""The arithmetic of network.py written out once more, in Python integers and loops: what the interpreter is checked by.

It shares no code with the interpreter. A product is rounded to float32 by NumPy's scalar type, a half by Python's
`round`, which goes to even.
"""

import math

import numpy as np

from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, QuantisedOp


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


def literal_operation(network: QuantisedNetwork, layer: QuantisedOp, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """As `literal_layer`, of a layer without weights: pixel by pixel."""
    spec, zero = layer.spec, network.tensors[layer.spec.name].zero_point
    zeros = [network.tensors[name].zero_point for name in spec.sources]
    source = tensors[spec.sources[0]]
    height, width = source.shape[:2]

    def at(index: int, y: int, x: int, c: int) -> int:
        tensor = tensors[spec.sources[index]]
        y, x = min(max(y, 0), tensor.shape[0] - 1), min(max(x, 0), tensor.shape[1] - 1)
        return int(tensor[y, x, c + (spec.starts[index] if spec.starts else 0)]) - zeros[index]

    def rounded(value: int, index: int = 0) -> int:
        return round(float(np.float32(value) * layer.scales[index]))

    def bilinear(y: int, x: int, c: int) -> int:
        total = 0
        for j in (0, 1):  # the 2x2 pixels around (y - 0.5) / 2, (x - 0.5) / 2, in quarters
            for i in (0, 1):
                top, left = (y - 1) // 2 + j, (x - 1) // 2 + i
                total += (3 if top == y // 2 else 1) * (3 if left == x // 2 else 1) * at(0, top, left, c)
        return rounded(total)

    def joined(y: int, x: int, c: int) -> int:
        for index, name in enumerate(spec.sources):
            if c < tensors[name].shape[2]:
                return rounded(at(index, y, x, c), index)
            c -= tensors[name].shape[2]
        raise IndexError

    def mean(y: int, x: int, c: int) -> int:
        total = sum(at(0, j, i, c) for j in range(height) for i in range(width))
        return rounded((128 * total + height * width // 2) // (height * width))

    def window(y: int, x: int, c: int, first: int, side: int) -> list[int]:
        return [at(0, 2 * y + j, 2 * x + i, c) for j in range(first, first + side) for i in range(first, first + side)]

    ways = {
        "add": lambda y, x, c: rounded(at(0, y, x, c), 0) + rounded(at(1, y, x, c), 1),
        "multiply": lambda y, x, c: rounded(at(0, y, x, c) * at(1, y, x, c)),
        "concatenate": joined,
        "part": lambda y, x, c: at(0, y, x, c),
        "max_pool2": lambda y, x, c: max(window(y, x, c, 0, 2)),
        "max_pool3": lambda y, x, c: max(window(y, x, c, -1, 3)),
        "average_pool2": lambda y, x, c: rounded(sum(window(y, x, c, 0, 2))),
        "nearest2": lambda y, x, c: at(0, y // 2, x // 2, c),
        "bilinear2": bilinear,
        "global_average": mean,
    }
    rows, columns = network.spec.sizes(*tensors["image"].shape[:2])[spec.name]
    out = np.zeros((rows, columns, spec.out_channels), np.int8)
    for y, x, c in np.ndindex(*out.shape):
        if spec.op in ways:
            out[y, x, c] = min(max(ways[spec.op](y, x, c) + zero, -128), 127)
        else:
            out[y, x, c] = layer.table[at(0, y, x, c) + zeros[0] + 128]
    return out

"""The quantised network's arithmetic on integers in float32 torch tensors: many times faster than the interpreter.

A tensor is held in steps of its scale, float32 [1, C, H, W]: its integers less zero point. Sums of products stay exact
below 2^24, and those of int16 values always, as they are added up in float64; so the bytes are the interpreter's, which
stays the definition. `exact_in_torch` says of which networks that is certain. Values need not be whole steps, so one
quantised layer can be run in a float network (cost/).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.quantize import interpreter
from edgedeblur.quantize.interpreter import check_image, exact_type, gate_factors, run_operation
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, QuantisedOp
from edgedeblur.student import IMAGE, depth_to_space, space_to_depth

_TRIAL_SIDE = 64  # of the picture that torch proves itself on


def exact_in_torch(network: QuantisedNetwork) -> bool:
    """Whether `run_simulated` gives the interpreter's bytes for any picture.

    No partial sum can reach 2^24, whatever the picture; and torch's convolutions here are such sums (not a transform
    with fractions, nor products of fewer bits), which one picture of noise shows.
    """
    convolutions = [layer for layer in network.convolutions if not network.tensors[layer.spec.source].int16]
    if any(exact_type(layer) is not np.float32 for layer in convolutions):
        return False
    side = -(-_TRIAL_SIDE // network.spec.multiple) * network.spec.multiple
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return np.array_equal(run_simulated(network, noise), interpreter.run(network, noise))


def run_simulated(network: QuantisedNetwork, image: np.ndarray) -> np.ndarray:
    """The restored image, uint8 [H, W, 3] RGB, for one such: as `interpreter.run`.

    Raises:
        UserError: an image of another type, or with sides that are no multiples of `spec.multiple`.
    """
    check_image(image, network.spec.multiple)
    steps = {IMAGE: image_steps(image)}
    with torch.inference_mode():
        for layer in network.layers:
            simulate = simulate_operation if isinstance(layer, QuantisedOp) else simulate_layer
            steps[layer.spec.name] = simulate(network, layer, steps)
    return pixels(steps[network.spec.layers[-1].name])


def simulate_layer(network: QuantisedNetwork, layer: QuantisedConv, steps: dict[str, Tensor]) -> Tensor:
    """One layer's output, whole steps of its tensor's scale, from the tensors that it reads."""
    scale = torch.from_numpy(layer.scale)[None, :, None, None]
    if layer.gate is not None:
        scale = scale * simulate_gate(network, layer, steps[layer.spec.gate])
    source = steps[layer.spec.source]
    if network.tensors[layer.spec.source].int16:
        accumulators = convolve(layer, source.double()).float()  # which rounds once, half to even
    else:
        accumulators = convolve(layer, source)
    return requantise(network, layer, scaled(layer, accumulators, scale), steps)


def simulate_operation(network: QuantisedNetwork, layer: QuantisedOp, steps: dict[str, Tensor]) -> Tensor:
    """As `simulate_layer`, of a layer without weights, by the interpreter: whole steps."""
    tensors = {name: _integers(network, name, steps[name]) for name in layer.spec.sources}
    output = run_operation(layer, tensors, network.tensors, network.tensors[layer.spec.name])
    centred = output.astype(np.float32) - network.tensors[layer.spec.name].zero_point
    return torch.from_numpy(centred).permute(2, 0, 1)[None]


def _integers(network: QuantisedNetwork, name: str, steps: Tensor) -> np.ndarray:
    """A tensor as int8 [H, W, C]."""
    integers = (steps.round() + network.tensors[name].zero_point).clamp(-128, 127)
    return integers[0].permute(1, 2, 0).numpy().astype(np.int8)


def convolve(layer: QuantisedConv, source: Tensor) -> Tensor:
    """The integer convolution's accumulators [1, out, H', W'], of the source's type."""
    spec = layer.spec
    weight = torch.from_numpy(layer.weight).permute(0, 3, 1, 2).to(source.dtype)
    bias = torch.from_numpy(layer.bias).to(source.dtype)
    if layer.winograd:
        source = ((source.round() + 1) / 2).floor()
    folded = space_to_depth(source, spec.space_to_depth).contiguous(memory_format=torch.channels_last)
    return F.conv2d(folded, weight, bias, spec.stride, spec.padding, spec.dilation, spec.groups)


def scaled(layer: QuantisedConv, accumulators: Tensor, scale: Tensor) -> Tensor:
    """Accumulators in steps of the output, not rounded; scale: [1, out, 1, 1], of those that are not negative."""
    if layer.negative_scale is None:
        return accumulators.mul_(scale)
    negative = torch.from_numpy(layer.negative_scale)[None, :, None, None]
    return accumulators * torch.where(accumulators < 0, negative, scale)


def simulate_gate(network: QuantisedNetwork, layer: QuantisedConv, gating: Tensor) -> Tensor:
    """What a layer's gate multiplies its channels by, [1, out, 1, 1], for the tensor that gates it."""
    zero_point = network.tensors[layer.spec.gate].zero_point
    integers = _integers(network, layer.spec.gate, gating)
    return torch.from_numpy(gate_factors(layer.gate, integers, zero_point))[None, :, None, None]


def requantise(network: QuantisedNetwork, layer: QuantisedConv, values: Tensor, steps: dict[str, Tensor]) -> Tensor:
    """What a layer makes of its convolution in steps of the output: rounded, the residual added, clamped."""
    spec, zero_point = layer.spec, network.tensors[layer.spec.name].zero_point
    result = depth_to_space(values.round(), spec.depth_to_space)
    if spec.residual is not None:
        result.add_((steps[spec.residual] * float(layer.residual_scale)).round_())
    return result.clamp_(network.low(layer) - zero_point, network.high(layer) - zero_point)


def image_steps(image: np.ndarray) -> Tensor:
    """uint8 [H, W, 3] to the pixels' values, float32 [1, 3, H, W]: an image's step is 1/255."""
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]


def pixels(steps: Tensor) -> np.ndarray:
    """The inverse, rounded half to even and clamped: uint8 [H, W, 3]."""
    return steps[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()

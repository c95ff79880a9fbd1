"""The quantised network's arithmetic on integers in float32 torch tensors: many times faster than the interpreter.

A tensor is held in steps of its scale, float32 [1, C, H, W]: its integers less zero point. Sums of products stay exact
below 2^24, and those of int16 values always, as they are added up in float64; so the bytes are the interpreter's, which
stays the definition. `exact_in_torch` says of which networks that is certain.

`TorchNetwork` runs a whole network. A single layer can be run in a float network too (cost/): values need not be whole
steps then.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.quantize import interpreter
from edgedeblur.quantize.interpreter import (
    LARGEST_INPUT,
    check_image,
    exact_type,
    factors_of_means,
    mean_steps,
    run_operation,
)
from edgedeblur.quantize.network import QuantisedConv, QuantisedLayer, QuantisedNetwork, QuantisedOp
from edgedeblur.student import IMAGE, depth_to_space, space_to_depth

_TRIAL_SIDE = 64  # of the picture that torch proves itself on
_WHOLE_IN_FLOAT32 = 1 << 24
_QUARTER = torch.tensor(0.25)


def exact_in_torch(network: QuantisedNetwork) -> bool:
    """Whether `TorchNetwork` gives the interpreter's bytes for any picture.

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
    """The restored image, as `interpreter.run`; for many images make one `TorchNetwork`."""
    return TorchNetwork(network).run(image)


class TorchNetwork:
    """A network as torch runs it; what does not depend on the picture is converted once."""

    def __init__(self, network: QuantisedNetwork):
        self.network = network
        self._convs = {layer.spec.name: torch_conv(network, layer) for layer in network.convolutions}
        self._gating = {layer.spec.gate for layer in network.layers if layer.gate is not None}
        self._last_reader = {name: layer.spec.name for layer in network.layers for name in _values_read(layer)}

    def run(self, image: np.ndarray) -> np.ndarray:
        """The restored image, uint8 [H, W, 3] RGB, for one such: as `interpreter.run`.

        Raises:
            UserError: an image of another type, or with sides that are no multiples of `spec.multiple`.
        """
        check_image(image, self.network.spec.multiple)
        with torch.inference_mode():
            steps, means = {IMAGE: image_steps(image)}, {}
            for layer in self.network.layers:
                name = layer.spec.name
                # A tensor that nothing reads afterwards is overwritten or freed: its memory is still in the cache.
                done = {read for read in _values_read(layer) if self._last_reader[read] == name}
                steps[name] = self._output(layer, steps, means, done)
                if name in self._gating:
                    means[name] = channel_means(steps[name])
                for read in done:
                    del steps[read]
            return steps[name][0].byte().permute(1, 2, 0).numpy()

    def _output(
        self, layer: QuantisedLayer, steps: dict[str, Tensor], means: dict[str, np.ndarray], done: Collection[str]
    ) -> Tensor:
        if isinstance(layer, QuantisedOp):
            return simulate_operation(self.network, layer, steps)
        conv, scale = self._convs[layer.spec.name], None
        if layer.gate is not None:
            scale = conv.scale * gate_scale(layer, means[layer.spec.gate])
        return conv_output(conv, steps, scale, done)


@dataclass(frozen=True)
class TorchConv:
    """A layer's numbers as torch takes them.

    weight: [out, in / groups, kernel, kernel], and bias: [out]; float64 where the source is int16, else float32.
    scale, negative_scale: float32 [1, out, 1, 1]. residual_scale: float32 []; None where there is
        none, or where it is 1.
    low, high: the clamp in steps, that is, less the output's zero point.
    """

    layer: QuantisedConv
    weight: Tensor
    bias: Tensor
    scale: Tensor
    negative_scale: Tensor | None
    residual_scale: Tensor | None
    low: int
    high: int


def torch_conv(network: QuantisedNetwork, layer: QuantisedConv) -> TorchConv:
    """A layer of a network, or one in place of it."""
    kind = torch.float64 if network.tensors[layer.spec.source].int16 else torch.float32
    zero_point = network.tensors[layer.spec.name].zero_point
    return TorchConv(
        layer,
        torch.from_numpy(layer.weight).permute(0, 3, 1, 2).to(kind),
        torch.from_numpy(layer.bias).to(kind),
        _per_channel(layer.scale),
        None if layer.negative_scale is None else _per_channel(layer.negative_scale),
        None if layer.residual_scale in (None, 1) else torch.tensor(layer.residual_scale),
        network.low(layer) - zero_point,
        network.high(layer) - zero_point,
    )


def conv_output(
    conv: TorchConv, steps: dict[str, Tensor], scale: Tensor | None = None, done: Collection[str] = ()
) -> Tensor:
    """One layer's output, whole steps of its tensor's scale, from the tensors that it reads.

    Args:
        scale: [1, out, 1, 1], in place of the layer's own. done: names of tensors that may be overwritten.
    """
    source = conv.layer.spec.source
    own = source in done and source != conv.layer.spec.residual
    accumulators = convolve(conv, steps[source], overwrite=own)
    return requantise(conv, scaled(conv, accumulators, conv.scale if scale is None else scale), steps, done)


def simulate_operation(network: QuantisedNetwork, layer: QuantisedOp, steps: dict[str, Tensor]) -> Tensor:
    """As `conv_output`, of a layer without weights, by the interpreter: whole steps."""
    tensors = {name: _integers(network, name, steps[name]) for name in layer.spec.sources}
    output = run_operation(layer, tensors, network.tensors, network.tensors[layer.spec.name])
    centred = output.astype(np.float32) - network.tensors[layer.spec.name].zero_point
    return torch.from_numpy(centred).permute(2, 0, 1)[None]


def simulate_layer(network: QuantisedNetwork, layer: QuantisedLayer, steps: dict[str, Tensor]) -> Tensor:
    """As `conv_output`, of any layer of a network or one in place of it; nothing is overwritten."""
    if isinstance(layer, QuantisedOp):
        return simulate_operation(network, layer, steps)
    conv, scale = torch_conv(network, layer), None
    if layer.gate is not None:
        scale = conv.scale * gate_scale(layer, channel_means(steps[layer.spec.gate]))
    return conv_output(conv, steps, scale)


def convolve(conv: TorchConv, source: Tensor, overwrite: bool = False) -> Tensor:
    """The integer convolution's accumulators, float32 [1, out, H', W'].

    Args:
        overwrite: whether the source's memory may be used.
    """
    spec = conv.layer.spec
    if conv.layer.winograd:  # floor((c + 1) / 2) of whole steps c is c / 2 + 1/4, rounded
        source = torch.add(_QUARTER, source, alpha=0.5, out=source if overwrite else None).round_()
    if spec.space_to_depth > 1:
        source = space_to_depth(source, spec.space_to_depth)
    source = source.to(conv.weight.dtype, memory_format=torch.channels_last)
    sums = F.conv2d(source, conv.weight, conv.bias, spec.stride, spec.padding, spec.dilation, spec.groups)
    return sums.float()  # of float64 rounded once, half to even


def scaled(conv: TorchConv, accumulators: Tensor, scale: Tensor) -> Tensor:
    """Accumulators in steps of the output, not rounded, in the same memory; scale: [1, out, 1, 1], of those that are
    not negative."""
    if conv.negative_scale is not None:
        scale = torch.where(accumulators < 0, conv.negative_scale, scale)
    return accumulators.mul_(scale)


def requantise(conv: TorchConv, values: Tensor, steps: dict[str, Tensor], done: Collection[str] = ()) -> Tensor:
    """What a layer makes of its convolution in steps of the output, which is overwritten: rounded, the residual added,
    clamped."""
    spec = conv.layer.spec
    result = values.round_()
    if spec.depth_to_space > 1:
        result = depth_to_space(result, spec.depth_to_space)
    if spec.residual is not None:
        residual = steps[spec.residual]
        if conv.residual_scale is not None:
            own = residual if spec.residual in done else None
            residual = torch.mul(residual, conv.residual_scale, out=own).round_()
        result.add_(residual)
    return result.clamp_(conv.low, conv.high)


def channel_means(steps: Tensor) -> np.ndarray:
    """What a gate reads of a tensor of whole steps: `mean_steps`, int64 [C]."""
    pixels = steps.shape[2] * steps.shape[3]
    exact = torch.float32 if pixels * LARGEST_INPUT < _WHOLE_IN_FLOAT32 else torch.float64
    return mean_steps(steps.sum((2, 3), dtype=exact)[0].numpy().astype(np.int64), pixels)


def gate_scale(layer: QuantisedConv, means: np.ndarray) -> Tensor:
    """What a layer's gate multiplies its scales by, [1, out, 1, 1]."""
    return _per_channel(factors_of_means(layer.gate, means))


def image_steps(image: np.ndarray) -> Tensor:
    """uint8 [H, W, 3] to the pixels' values, float32 [1, 3, H, W]: an image's step is 1/255."""
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]


def pixels(steps: Tensor) -> np.ndarray:
    """The inverse, rounded half to even and clamped: uint8 [H, W, 3]."""
    return steps[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def _integers(network: QuantisedNetwork, name: str, steps: Tensor) -> np.ndarray:
    """A tensor as int8 [H, W, C]."""
    integers = (steps.round() + network.tensors[name].zero_point).clamp(-128, 127)
    return integers[0].permute(1, 2, 0).numpy().astype(np.int8)


def _values_read(layer: QuantisedLayer) -> set[str]:
    """The tensors that it reads whole; of one that gates it, only the means."""
    spec = layer.spec
    read = spec.sources if isinstance(layer, QuantisedOp) else (spec.source, spec.residual)
    return {name for name in read if name is not None}


def _per_channel(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values)[None, :, None, None]

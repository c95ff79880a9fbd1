"""A layer on trial: its kernel's inputs as random numbers, and the bytes that the integer interpreter makes of them."""

from dataclasses import dataclass, replace

import numpy as np

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork


@dataclass(frozen=True)
class LayerOnTrial:
    """source, residual, expected: bytes as the tensors lie in memory. residual: None where the layer has none."""

    conv: QuantisedConv
    layer: ConvLayer
    isa: InstructionSet
    source: bytes
    residual: bytes | None
    expected: bytes


def layer_on_trial(
    network: QuantisedNetwork, conv: QuantisedConv, layer: ConvLayer, isa: InstructionSet, seed: int
) -> LayerOnTrial:
    """The layer with activations over all of int8; where it has a gate, with every factor one."""
    random = np.random.default_rng(seed)
    tensors = {conv.spec.source: random.integers(-128, 128, layer.source).astype(np.int8)}
    if conv.spec.residual is not None and conv.spec.residual not in tensors:
        tensors[conv.spec.residual] = random.integers(-128, 128, layer.out).astype(np.int8)
    output = interpreter.run_layer(network, replace(conv, gate=None), tensors)
    residual = None
    if layer.residual is not None:
        residual = _stored(tensors[conv.spec.residual], layer.residual.image)
    source = _stored(tensors[conv.spec.source], layer.image_source)
    return LayerOnTrial(conv, layer, isa, source, residual, _stored(output, layer.image_out))


def _stored(tensor: np.ndarray, image: bool) -> bytes:
    return (interpreter.to_image(tensor) if image else tensor).tobytes()

"""Quantised networks with random but plausible numbers, for tests that need no training."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgedeblur.quantize.network import (
    MAX_TRANSFORMED,
    QuantisedConv,
    QuantisedGate,
    QuantisedNetwork,
    TensorScale,
    fold_operation,
    image_scale,
    is_image,
    may_take_winograd_form,
    transformed_size,
)
from edgedeblur.student import IMAGE, ConvSpec, OpSpec, StudentSpec


def tiny_spec() -> StudentSpec:
    """A student with one of everything: folding, stride 2, ReLU, residual, 1x1, pixel shuffle, skip, image residual."""
    layers = (
        ConvSpec("stem", IMAGE, 48, 8, space_to_depth=4),
        ConvSpec("enc0.0.a", "stem", 8, 8, relu=True),
        ConvSpec("enc0.0.b", "enc0.0.a", 8, 8, residual="stem"),
        ConvSpec("down1", "enc0.0.b", 8, 16, stride=2),
        ConvSpec("enc1.0.a", "down1", 16, 16, relu=True),
        ConvSpec("enc1.0.b", "enc1.0.a", 16, 16, residual="down1"),
        ConvSpec("up0", "enc1.0.b", 16, 32, kernel=1, depth_to_space=2, residual="enc0.0.b"),
        ConvSpec("head", "up0", 8, 48, depth_to_space=4, residual=IMAGE),
    )
    return StudentSpec("tiny", layers, "enc1.0.b", multiple=8)


def gated_spec() -> StudentSpec:
    """A student with gates from finer, equal and coarser levels, and from more and from fewer channels."""
    layers = (
        ConvSpec("stem", IMAGE, 48, 8, space_to_depth=4),
        ConvSpec("enc0.0.a", "stem", 8, 16, relu=True),
        ConvSpec("enc0.0.b", "enc0.0.a", 16, 8, residual="stem"),
        ConvSpec("down1", "enc0.0.b", 8, 12, stride=2),
        ConvSpec("enc1.0.a", "down1", 12, 12, relu=True, gate="enc0.0.a"),
        ConvSpec("enc1.0.b", "enc1.0.a", 12, 12, residual="down1"),
        ConvSpec("enc1.1.a", "enc1.0.b", 12, 21, relu=True, gate="enc1.0.a"),
        ConvSpec("enc1.1.b", "enc1.1.a", 21, 12, residual="enc1.0.b"),
        ConvSpec("up0", "enc1.1.b", 12, 32, kernel=1, depth_to_space=2, residual="enc0.0.b"),
        ConvSpec("dec0.0.a", "up0", 8, 8, relu=True, gate="enc1.1.a"),
        ConvSpec("dec0.0.b", "dec0.0.a", 8, 8, residual="up0"),
        ConvSpec("head", "dec0.0.b", 8, 48, depth_to_space=4, residual=IMAGE),
    )
    return StudentSpec("gated", layers, "enc1.1.b", multiple=8)


def mobile_spec() -> StudentSpec:
    """A student with what MobileNets have: depthwise, grouped and dilated convolutions, ReLU6, PReLU."""
    layers = (
        ConvSpec("stem", IMAGE, 12, 16, space_to_depth=2, relu=True, limit=6.0),
        ConvSpec("a.wide", "stem", 16, 24, kernel=1, relu=True, limit=6.0),
        ConvSpec("a.deep", "a.wide", 24, 24, groups=24, relu=True, limit=4.0),
        ConvSpec("a.narrow", "a.deep", 24, 16, kernel=1, residual="stem"),
        ConvSpec("down", "a.narrow", 16, 40, kernel=5, stride=2, groups=8, prelu=True),
        ConvSpec("b.dilated", "down", 40, 40, dilation=2, relu=True, residual="down"),
        ConvSpec("b.deep", "b.dilated", 40, 40, kernel=5, dilation=2, groups=40, prelu=True),
        ConvSpec("b.stride", "b.deep", 40, 40, stride=2, groups=40, residual=None),
        ConvSpec("up1", "b.stride", 40, 160, kernel=1, depth_to_space=2, residual="b.deep"),
        ConvSpec("up0", "up1", 40, 64, kernel=1, depth_to_space=2, prelu=True),
        ConvSpec("head", "up0", 16, 12, depth_to_space=2, residual=IMAGE),
    )
    return StudentSpec("mobile", layers, "b.stride", multiple=8)


def pieces_spec() -> StudentSpec:
    """A student with a layer of every kind that has no weights but other tables."""
    layers = (
        ConvSpec("stem", IMAGE, 12, 16, space_to_depth=2, relu=True),
        OpSpec("act", "hardswish", ("stem",), 16),
        OpSpec("pool", "max_pool2", ("act",), 16),
        OpSpec("pool3", "max_pool3", ("act",), 16),
        OpSpec("average", "average_pool2", ("act",), 16),
        OpSpec("joined", "concatenate", ("pool", "pool3", "average"), 48),
        ConvSpec("mid", "joined", 48, 40, kernel=1),
        OpSpec("gated", "multiply", ("mid", "mid"), 16, starts=(0, 21)),
        OpSpec("both", "add", ("gated", "pool"), 16),
        OpSpec("mean", "global_average", ("both",), 16),
        ConvSpec("squeeze", "mean", 16, 5, kernel=1, relu=True),
        ConvSpec("excite", "squeeze", 5, 16, kernel=1),
        OpSpec("factors", "sigmoid", ("excite",), 16),
        OpSpec("scaled", "multiply", ("both", "factors"), 16),
        OpSpec("near", "nearest2", ("scaled",), 16),
        OpSpec("linear", "bilinear2", ("scaled",), 16),
        OpSpec("piece", "part", ("linear",), 8, starts=(3,)),
        OpSpec("wide", "concatenate", ("near", "piece"), 24),
        OpSpec("bent", "leaky_relu", ("wide",), 24, parameter=0.1),
        OpSpec("little", "average_pool2", (IMAGE,), 3),
        ConvSpec("skip", "little", 3, 24, residual="bent"),
        ConvSpec("head", "skip", 24, 12, depth_to_space=2, residual=IMAGE),
    )
    return StudentSpec("pieces", layers, "mid", multiple=4)


def everything_spec() -> StudentSpec:
    """The layers of `mobile_spec`, but its head, and on them those of `pieces_spec`: one artefact shows all of them."""
    first = mobile_spec().layers[:-1]
    renamed = {"stem": "up0"}
    rest = []
    for layer in pieces_spec().layers[1:]:
        if isinstance(layer, OpSpec):
            rest.append(replace(layer, sources=tuple(renamed.get(name, name) for name in layer.sources)))
        else:
            rest.append(layer)
    return StudentSpec("everything", (*first, *rest), "b.stride", multiple=8)


def single_layer_spec(kernel: int = 3, **fused) -> StudentSpec:
    """A network of one convolution on the image; `fused` as ConvSpec's fields."""
    fold = fused.pop("fold", 1)
    outputs = 3 * fold**2
    layer = ConvSpec("head", IMAGE, outputs, outputs, kernel, space_to_depth=fold, depth_to_space=fold, **fused)
    return StudentSpec("single", (layer,), "head", multiple=fold)


def random_network(spec: StudentSpec, seed: int = 0) -> QuantisedNetwork:
    """A valid network for any spec: random int8 weights, biases, scales and zero points; outputs span most of int8.

    The last layer's share of the output is about a quarter of the range, as in a network that learns a difference.
    """
    generator = np.random.default_rng(seed)
    tensors = {IMAGE: image_scale()}
    for layer in spec.layers:
        zero_point = -128 if layer.relu else int(generator.integers(-20, 21))
        scale = float(generator.uniform(0.02, 0.035))
        if isinstance(layer, OpSpec) and layer.operation.keeps_scale:
            tensors[layer.name] = tensors[layer.source]
            continue
        tensors[layer.name] = image_scale() if is_image(layer.name, spec) else TensorScale(scale, zero_point)
    layers = tuple(
        fold_operation(layer, tensors)
        if isinstance(layer, OpSpec)
        else _random_layer(generator, layer, tensors, spec.gate_channels(layer))
        for layer in spec.layers
    )
    return QuantisedNetwork(spec, layers, tensors, {"observer": "random", "seed": seed}, {"made_by": "a test"})


def in_winograd_form(network: QuantisedNetwork, names: Sequence[str] | None = None) -> QuantisedNetwork:
    """The network with those layers in Winograd form (None: all that may be), with as large weights as these may have:
    other numbers, so other pictures."""
    possible = [one.spec for one in network.convolutions if may_take_winograd_form(one.spec)]
    chosen = [spec for spec in possible if names is None or spec.name in names]
    sources = {spec.source for spec in chosen}
    tensors = {
        name: dataclasses.replace(scale, zero_point=scale.zero_point + (scale.zero_point % 2 == 0))
        if name in sources
        else scale
        for name, scale in network.tensors.items()
    }
    layers = tuple(_in_form(layer) if layer.spec in chosen else layer for layer in network.layers)
    return dataclasses.replace(network, tensors=tensors, layers=layers)


def _in_form(layer: QuantisedConv) -> QuantisedConv:
    size = transformed_size(layer.weight.astype(np.float64))[:, :, None]
    weight = np.trunc(layer.weight * np.minimum(1.0, MAX_TRANSFORMED / np.maximum(size, 1))).astype(np.int8)
    return dataclasses.replace(layer, weight=weight, scale=layer.scale * 2, winograd=True)


def _random_layer(
    generator: np.random.Generator, layer: ConvSpec, tensors: dict[str, TensorScale], gate_channels: int
) -> QuantisedConv:
    source, out = tensors[layer.source], tensors[layer.name]
    shape = (layer.out_channels, layer.kernel, layer.kernel, layer.in_channels // layer.groups)
    weight = np.clip(np.rint(generator.normal(0, 40, shape)), -127, 127).astype(np.int8)
    typical = 40 * 60 * np.sqrt(layer.kernel**2 * layer.in_channels / layer.groups)  # deviation of an accumulator
    spread = 15 if layer.residual is not None else 40
    wanted = spread / typical * generator.uniform(0.5, 1.5, layer.out_channels)
    weight_scale = (wanted * out.scale / source.scale).astype(np.float32)
    bias = np.rint(generator.normal(0, typical / 4, layer.out_channels)).astype(np.int32)
    if layer.source == IMAGE:  # the image is not centred: take its mean out, as a trained bias does
        bias -= (weight.sum(axis=(1, 2, 3), dtype=np.int32) * 128).astype(np.int32)
    scale = np.float32(source.scale) * weight_scale / np.float32(out.scale)
    residual = None
    if layer.residual is not None:
        residual = np.float32(tensors[layer.residual].scale) / np.float32(out.scale)
    gate = None if layer.gate is None else _random_gate(generator, gate_channels, layer.out_channels)
    negative = scale * generator.uniform(-0.5, 1.5, layer.out_channels).astype(np.float32) if layer.prelu else None
    return QuantisedConv(layer, weight, bias, scale, weight_scale, residual, gate, negative)


def _random_gate(generator: np.random.Generator, inputs: int, outputs: int) -> QuantisedGate:
    """Factors over most of 0 to 2, for means of some 30 steps."""
    weight = generator.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    typical = 70 * 30 * 128 * np.sqrt(inputs)
    bias = np.rint(generator.normal(0, typical / 2, outputs)).astype(np.int32)
    return QuantisedGate(weight, bias, (generator.uniform(100, 500, outputs) / typical).astype(np.float32))

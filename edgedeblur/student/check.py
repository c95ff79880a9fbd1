"""The one check of a student's graph: names, order, channels, sizes, gates. Files, imports and `.edq` all pass it."""

import re
from collections.abc import Sequence

from edgedeblur.storage.documents import shown
from edgedeblur.student.spec import IMAGE, ConvSpec, StudentSpec

MAX_LAYERS = 256
MAX_CHANNELS = 4096
MAX_MULTIPLE = 256
ALLOWED = {
    "kernel": (1, 3, 5, 7),
    "stride": (1, 2, 4),
    "space_to_depth": (1, 2, 4, 8),
    "depth_to_space": (1, 2, 4, 8),
    "dilation": (1, 2),
}
"""What kernels are generated for, by the field of `ConvSpec`."""
MIN_LIMIT, MAX_LIMIT = 1e-3, 1e6  # of ReLU's output
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def check_graph(spec: StudentSpec) -> None:
    """Names, order, channels and sizes fit, and the last layer makes an image of the input's size.

    Raises:
        ValueError: what does not fit, by layer, with the value and what is allowed.
    """
    _require(_NAME.fullmatch(spec.name) is not None, f"bad student name {shown(spec.name)}")
    _require(0 < len(spec.layers) <= MAX_LAYERS, f"{len(spec.layers)} layers; allowed are 1 to {MAX_LAYERS}")
    _require(1 <= spec.multiple <= MAX_MULTIPLE, f"multiple is {shown(spec.multiple)}; allowed are 1 to {MAX_MULTIPLE}")
    channels = {IMAGE: 3}
    sizes = {IMAGE: (spec.multiple, spec.multiple)}
    for layer in spec.layers:
        _check_layer(layer, channels, sizes)
        channels[layer.name] = layer.out_channels // layer.depth_to_space**2
        sizes[layer.name] = layer.output_size(*sizes[layer.source])
    last = spec.layers[-1].name
    _require(
        channels[last] == 3 and sizes[last] == sizes[IMAGE],
        f"the last layer, {last!r}, must give an image of the input's size; it gives {channels[last]} channels "
        f"of {sizes[last][0]}x{sizes[last][1]} for {spec.multiple}x{spec.multiple}",
    )
    _check_gates(spec.layers)
    _require(
        spec.bottleneck in channels and spec.bottleneck != IMAGE,
        f"the bottleneck {shown(spec.bottleneck)} is not a layer",
    )


def _check_layer(layer: ConvSpec, channels: dict[str, int], sizes: dict[str, tuple[int, int]]) -> None:
    name = layer.name
    _require(_NAME.fullmatch(name) is not None, f"bad layer name {shown(name)}")
    _require(name not in channels, f"two tensors are named {name!r}")
    for reads in (layer.source, layer.residual):
        _require(
            reads is None or reads in channels, f"layer {name!r} reads {shown(reads)}, which no earlier layer makes"
        )
    for what, allowed in ALLOWED.items():
        value = getattr(layer, what)
        _require(value in allowed, f"layer {name!r}: {what} is {value}; allowed are {', '.join(map(str, allowed))}")
    _require(
        0 < layer.in_channels <= MAX_CHANNELS and 0 < layer.out_channels <= MAX_CHANNELS,
        f"layer {name!r}: {layer.in_channels} to {layer.out_channels} channels; allowed are 1 to {MAX_CHANNELS}",
    )
    given = channels[layer.source] * layer.space_to_depth**2
    _require(layer.in_channels == given, f"layer {name!r} takes {layer.in_channels} channels and is given {given}")
    _require(
        layer.out_channels % layer.depth_to_space**2 == 0,
        f"layer {name!r}: {layer.out_channels} channels do not divide by depth_to_space {layer.depth_to_space}",
    )
    _check_fusions(layer)
    height, factor = sizes[layer.source][0], layer.space_to_depth * layer.stride
    _require(height % factor == 0, f"layer {name!r} cannot divide a size of {height} by {factor}")
    if layer.residual is not None:
        out = (layer.out_channels // layer.depth_to_space**2, layer.output_size(*sizes[layer.source]))
        other = (channels[layer.residual], sizes[layer.residual])
        _require(out == other, f"layer {name!r} adds {layer.residual!r} of another shape")


def _check_fusions(layer: ConvSpec) -> None:
    """Groups divide the channels; activations are of one kind, where `ConvSpec` allows them."""
    name, groups = layer.name, layer.groups
    _require(
        groups > 0 and layer.in_channels % groups == 0 and layer.out_channels % groups == 0,
        f"layer {name!r}: {layer.in_channels} to {layer.out_channels} channels do not divide by groups {groups}",
    )
    if layer.prelu:
        _require(
            not layer.relu and layer.residual is None and layer.gate is None,
            f"layer {name!r}: with prelu it can have no ReLU, no residual, no gate",
        )
    if layer.limit is not None:
        _require(
            layer.relu and layer.gate is None and MIN_LIMIT <= layer.limit <= MAX_LIMIT,
            f"layer {name!r}: limit is {layer.limit:g}; it needs ReLU, no gate, and {MIN_LIMIT} to {MAX_LIMIT}",
        )


def _check_gates(layers: Sequence[ConvSpec]) -> None:
    """Every gate is one that `ConvSpec` allows."""
    rectified: set[str] = set()
    for layer in layers:
        if layer.gate is not None:
            _require(
                layer.gate in rectified,
                f"layer {layer.name!r}: its gate {shown(layer.gate)} is not an earlier layer with ReLU",
            )
            _require(
                layer.relu and layer.residual is None and layer.depth_to_space == 1,
                f"layer {layer.name!r}: with a gate it needs ReLU, no residual, no depth-to-space",
            )
        if layer.relu:
            rectified.add(layer.name)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)

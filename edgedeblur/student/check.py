"""The one check of a student's graph: names, order, channels, sizes, gates. Files, imports and `.edq` all pass it."""

import re
from collections.abc import Sequence

from edgedeblur.storage.documents import shown
from edgedeblur.student.operations import OPERATIONS, PARAMETERS, OpSpec
from edgedeblur.student.spec import IMAGE, ConvSpec, Layer, StudentSpec

MAX_LAYERS = 256
MAX_CHANNELS = 4096
MAX_SOURCES = 8
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
        (_check_operation if isinstance(layer, OpSpec) else _check_layer)(layer, channels, sizes)
        channels[layer.name] = layer.out_channels // layer.depth_to_space**2
        sizes[layer.name] = layer.output_size(*sizes[layer.source])
    last = spec.layers[-1].name
    _require(isinstance(spec.layers[-1], ConvSpec), f"the last layer, {last!r}, must be a convolution")
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
    _check_names(layer, [reads for reads in (layer.source, layer.residual) if reads is not None], channels)
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


def _check_names(layer: Layer, reads: Sequence[str], channels: dict[str, int]) -> None:
    name = layer.name
    _require(_NAME.fullmatch(name) is not None, f"bad layer name {shown(name)}")
    _require(name not in channels, f"two tensors are named {name!r}")
    for read in reads:
        _require(read in channels, f"layer {name!r} reads {shown(read)}, which no earlier layer makes")


def _check_operation(layer: OpSpec, channels: dict[str, int], sizes: dict[str, tuple[int, int]]) -> None:
    """The operation is one that there is, its sources are as many and as large as it takes."""
    name = layer.name
    _check_names(layer, layer.sources, channels)
    _require(layer.op in OPERATIONS, f"layer {name!r}: op is {shown(layer.op)}; there are {', '.join(OPERATIONS)}")
    operation, count = layer.operation, len(layer.sources)
    low, high = {"add": (2, 2), "multiply": (2, 2), "concatenate": (2, MAX_SOURCES)}.get(operation.combine, (1, 1))
    _require(low <= count <= high, f"layer {name!r}: {count} sources; {layer.op} takes {low} to {high}")
    _require(len(layer.starts) in (0, count), f"layer {name!r}: {len(layer.starts)} starts for {count} sources")
    _require(
        (layer.parameter is not None) == (layer.op in PARAMETERS), f"layer {name!r}: parameter is for {PARAMETERS} only"
    )
    _require(abs(layer.parameter or 0) <= MAX_LIMIT, f"layer {name!r}: parameter is {layer.parameter}")
    given = [channels[source] - layer.start(index) for index, source in enumerate(layer.sources)]
    joined = operation.combine == "concatenate"
    fits = sum(given) == layer.out_channels if joined else min(given) >= layer.out_channels
    fits = fits and (not joined or not layer.starts) and all(layer.start(index) >= 0 for index in range(count))
    _require(
        0 < layer.out_channels <= MAX_CHANNELS
        and fits
        and (layer.starts != () or joined or set(given) == {layer.out_channels}),
        f"layer {name!r}: {layer.op} cannot make {layer.out_channels} channels of {given}",
    )
    size = sizes[layer.source]
    _require(size[0] % operation.shrink == 0, f"layer {name!r} cannot divide a size of {size[0]} by {operation.shrink}")
    for index, source in enumerate(layer.sources):
        one_pixel = operation.combine == "multiply" and index == 1 and sizes[source] == (1, 1)
        _require(sizes[source] == size or one_pixel, f"layer {name!r} reads {source!r} of another size")


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


def _check_gates(layers: Sequence[Layer]) -> None:
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

"""The distinct layer shapes of a network: what is tuned once, for all the layers that share it."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from edgedeblur.compile.kernels.layer import ConvLayer, conv_layers
from edgedeblur.compile.schedules.tuned import LayerShape, layer_shape
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork


@dataclass(frozen=True)
class ShapeOfLayers:
    """The layers of one shape by name; conv, layer: the first of them, which stands for all."""

    shape: LayerShape
    names: tuple[str, ...]
    conv: QuantisedConv
    layer: ConvLayer

    @property
    def macs(self) -> int:
        """Of all its layers together."""
        return len(self.names) * self.layer.macs


def distinct_shapes(
    network: QuantisedNetwork, height: int, width: int, patterns: Sequence[str] = ()
) -> list[ShapeOfLayers]:
    """The network's layers by shape, the shape with most multiplications first; without those that have int16 values,
    which take the default schedule.

    Args:
        patterns: only shapes of layers with these names; `*` and `?` stand for any letters. Empty: all.

    Raises:
        UserError: no layer has such a name.
    """
    every = [layer.spec.name for layer in network.convolutions]
    for pattern in patterns:
        if not fnmatch.filter(every, pattern):
            raise UserError(f"no layer {pattern!r}; there are {', '.join(every)}", exit_code=2)
    wanted = {name for pattern in patterns or ("*",) for name in fnmatch.filter(every, pattern)}
    groups: dict[LayerShape, list[tuple[QuantisedConv, ConvLayer]]] = {}
    for conv, layer in zip(network.convolutions, conv_layers(network, height, width), strict=True):
        if layer.int16:
            continue
        groups.setdefault(layer_shape(layer), []).append((conv, layer))
    shapes = [
        ShapeOfLayers(shape, tuple(layer.name for _, layer in group), *group[0]) for shape, group in groups.items()
    ]
    return sorted((shape for shape in shapes if wanted & set(shape.names)), key=lambda shape: -shape.macs)

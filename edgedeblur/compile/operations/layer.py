"""The numbers that the kernel of a layer without weights is specialised for, and the tensors that it takes."""

from dataclasses import dataclass
from math import prod

from edgedeblur.compile.kernels.layer import IMAGE_OFFSET
from edgedeblur.compile.kernels.signature import Parameter
from edgedeblur.quantize.network import QuantisedNetwork, QuantisedOp, is_image
from edgedeblur.student.operations import Operation

TABLE = "table"  # the one constant that such a kernel may take


@dataclass(frozen=True)
class Source:
    """A tensor that is read: [height, width, channels], from a channel on. zero: what is stored for real zero."""

    shape: tuple[int, int, int]
    start: int
    zero: int
    image: bool


@dataclass(frozen=True)
class OperationLayer:
    """A layer without weights. out: [height, width, channels], int8. scales: as `QuantisedOp`."""

    name: str
    operation: Operation
    sources: tuple[Source, ...]
    out: tuple[int, int, int]
    out_zero_point: int
    scales: tuple[float, ...]

    @property
    def macs(self) -> int:
        """It multiplies nothing by weights."""
        return 0

    @property
    def bytes(self) -> int:
        """That it reads and writes."""
        return prod(self.out) + sum(prod(source.shape) for source in self.sources)


def operation_layer(network: QuantisedNetwork, layer: QuantisedOp, sizes: dict[str, tuple[int, int]]) -> OperationLayer:
    """The numbers of a layer, for tensors of these (height, width) by name."""
    spec, channels = layer.spec, network.spec.channels()
    sources = []
    for index, name in enumerate(spec.sources):
        image = is_image(name, network.spec)
        zero = network.tensors[name].zero_point + (IMAGE_OFFSET if image else 0)
        sources.append(Source((*sizes[name], channels[name]), spec.start(index), zero, image))
    return OperationLayer(
        spec.name,
        spec.operation,
        tuple(sources),
        (*sizes[spec.name], spec.out_channels),
        network.tensors[spec.name].zero_point,
        tuple(float(scale) for scale in (() if layer.scales is None else layer.scales)),
    )


def operation_parameters(layer: OperationLayer) -> tuple[Parameter, ...]:
    """The sources, the table where there is one, out."""
    sources = tuple(
        _activation(f"source{number}" if number else "source", source.shape, source.image)
        for number, source in enumerate(layer.sources)
    )
    table = (Parameter(TABLE, (256,), "int8"),) if layer.operation.combine == "table" else ()
    return (*sources, *table, _activation("out", layer.out, False))


def _activation(name: str, shape: tuple[int, int, int], image: bool) -> Parameter:
    rows = (shape[0], shape[1] * shape[2])
    return Parameter(name, rows, "uint8", alignment=1) if image else Parameter(name, rows, "int8")

"""What is in a model file or artefact, as label and value, and layer by layer: the data of `inspect`."""

from dataclasses import dataclass, field
from pathlib import Path

from edgedeblur.restore.kinds import Kind, model_kind


@dataclass(frozen=True)
class LayerFacts:
    """One convolution as stored. weight, bias, activation: dtypes. dot_instructions: in its compiled kernel."""

    name: str
    op: str
    parameters: int
    macs: int | None
    weight: str
    bias: str
    activation: str
    dot_instructions: int | None = None


@dataclass(frozen=True)
class Facts:
    """rows: (label, value) in the order to show. proof: sentences on whether, and how, the arithmetic is int8."""

    path: str
    kind: Kind
    rows: list[tuple[str, str]]
    layers: list[LayerFacts] = field(default_factory=list)
    proof: list[str] = field(default_factory=list)


def model_facts(path: Path) -> Facts:
    """Open any model and describe it.

    Raises:
        UserError: no model there, or a damaged one.
    """
    kind = model_kind(path)
    rows, layers, proof = _DESCRIBE[kind](path)
    return Facts(str(path), kind, rows, layers, proof)


def _describe_teacher(path: Path) -> tuple:
    from edgedeblur.generators.load import load_generator

    info = load_generator(path).info
    rows = [
        ("network", f"{info.family}, {info.variant}"),
        ("parameters", f"{info.parameters:,} in the file, {info.live_parameters:,} that run"),
        ("input", info.normalisation),
        *((name, str(value)) for name, value in info.options.items()),
        *(("note", note) for note in info.notes),
    ]
    return rows, [], ["float32 throughout"]


def _describe_student(path: Path) -> tuple:
    from edgedeblur.checkpoints import load_student

    student, metadata = load_student(path)
    spec = student.spec
    rows = [*_spec_rows(spec), *((name, str(value)) for name, value in metadata.items())]
    layers = [
        LayerFacts(layer.name, describe_op(layer), layer.parameters, macs, "float32", "float32", "float32")
        for layer, macs in zip(spec.layers, layer_macs(spec, 512, 512), strict=True)
    ]
    return rows, layers, ["float32 throughout"]


def _describe_quantised(path: Path) -> tuple:
    from edgedeblur.quantize.edq import load_edq

    network = load_edq(path)
    rows = [
        *_spec_rows(network.spec),
        *((f"recipe: {name}", str(value)) for name, value in network.recipe.items()),
        *((f"from: {name}", str(value)) for name, value in network.provenance.items()),
    ]
    layers = [
        LayerFacts(
            layer.spec.name,
            describe_op(layer.spec),
            layer.spec.parameters,
            macs,
            str(layer.weight.dtype),
            str(layer.bias.dtype),
            "int8",
        )
        for layer, macs in zip(network.layers, layer_macs(network.spec, 512, 512), strict=True)
    ]
    int8 = sum(layer.weight == "int8" for layer in layers)
    return rows, layers, [f"{int8} of {len(layers)} convolutions have int8 weights and int8 activations in the file"]


def describe_op(spec) -> str:
    """A layer in one phrase, with what is fused into it: `conv 3x3 s2 + residual + relu`."""
    parts = [f"space-to-depth {spec.space_to_depth}"] if spec.space_to_depth > 1 else []
    stride = f" s{spec.stride}" if spec.stride > 1 else ""
    parts.append(f"conv {spec.kernel}x{spec.kernel}{stride} {spec.in_channels}>{spec.out_channels}")
    if spec.depth_to_space > 1:
        parts.append(f"depth-to-space {spec.depth_to_space}")
    if spec.residual is not None:
        parts.append("residual")
    if spec.relu:
        parts.append("relu")
    return " + ".join(parts)


def layer_macs(spec, height: int, width: int) -> list[int]:
    """Multiply-accumulates of each layer for an image of that size."""
    sizes = spec.sizes(height, width)
    return [layer.macs(*sizes[layer.source]) for layer in spec.layers]


def _spec_rows(spec) -> list[tuple[str, str]]:
    return [
        ("student", spec.name),
        ("parameters", f"{spec.parameters:,}"),
        ("GMAC at 512x512", f"{spec.macs() / 1e9:.3f}"),
        ("input", f"RGB, height and width multiples of {spec.multiple}"),
    ]


_DESCRIBE = {"teacher": _describe_teacher, "student": _describe_student, "quantised": _describe_quantised}

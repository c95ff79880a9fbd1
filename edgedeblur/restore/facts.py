"""What is in a model file or artefact, as label and value, and layer by layer: the data of `inspect`."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.compile.manifest import describe_op
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedConv
from edgedeblur.restore.kinds import Kind, model_kind
from edgedeblur.student import StudentSpec

if TYPE_CHECKING:
    from edgedeblur.generators.generator import Generator


@dataclass(frozen=True)
class LayerFacts:
    """One convolution as stored.

    weight, bias, activation: dtypes. Of its compiled kernel: dot_instructions; input_passes, how often it reads its
    input from memory (it writes its output once); where its schedule is from (compile/choose.py), what measured it.
    """

    name: str
    op: str
    parameters: int
    macs: int | None
    weight: str
    bias: str
    activation: str
    dot_instructions: int | None = None
    input_passes: int | None = None
    schedule_source: str | None = None
    schedule_note: str | None = None


@dataclass(frozen=True)
class Facts:
    """rows: (label, value) in the order to show. proof: sentences on whether, and how, the arithmetic is int8."""

    path: str
    kind: Kind
    rows: list[tuple[str, str]]
    layers: list[LayerFacts] = field(default_factory=list)
    proof: list[str] = field(default_factory=list)


def model_facts(path: Path, **teacher_options) -> Facts:
    """Open any model and describe it.

    Args:
        teacher_options: for a teacher: `load_generator`'s options.

    Raises:
        UserError: no model there, or a damaged one.
    """
    kind = model_kind(path)
    if kind == "teacher":
        return Facts(str(path), kind, _teacher_rows(path, teacher_options), proof=["float32 throughout"])
    rows, layers, proof = _DESCRIBE[kind](path)
    return Facts(str(path), kind, rows, layers, proof)


def _teacher_rows(path: Path, options: dict) -> list[tuple[str, str]]:
    from edgedeblur.generators.load import load_generator
    from edgedeblur.generators.normalisation import BN_MODES

    generator = load_generator(path, **options)
    info = generator.info
    return [
        ("network", f"{info.family}, {info.variant}"),
        ("parameters", f"{info.parameters:,} in the file, {info.live_parameters:,} that run"),
        ("GMAC", _teacher_gmac(generator)),
        ("input", info.normalisation),
        ("uint8 output", "truncated" if info.truncates else "rounded to nearest"),
        *((name, str(value)) for name, value in info.options.items()),
        *(("note", note) for note in info.notes),
        *((f"with --bn {mode}", meaning) for mode, meaning in BN_MODES.items() if info.options.get("bn", mode) != mode),
    ]


def _teacher_gmac(generator: "Generator") -> str:
    """At 256x256 and 512x512, alone and with the padding that the generator's own rule adds."""
    from edgedeblur.generators.cost import gmac

    fixed = generator.info.padding.fixed
    texts = []
    for height, width in [fixed] if fixed else [(256, 256), (512, 512)]:
        padded = generator.padded_size(height, width)
        try:
            text = f"{gmac(generator, height, width):.3f} at {height}x{width}"
            if padded != generator.info.padding.network_size(height, width):
                text += f" ({gmac(generator, *padded):.3f} as padded to {padded[0]}x{padded[1]})"
        except UserError as error:
            return f"not known: {error.message}"
        texts.append(text)
    return ", ".join(texts)


def _describe_student(path: Path) -> tuple:
    from edgedeblur.checkpoints import load_student

    student, metadata = load_student(path)
    spec = student.spec
    rows = [*_spec_rows(spec), *((name, str(value)) for name, value in metadata.items())]
    layers = [
        LayerFacts(layer.name, describe_op(layer), count, macs, "float32", "float32", "float32")
        for layer, macs in zip(spec.layers, layer_macs(spec, 512, 512), strict=True)
        for count in [layer.parameters + spec.gate_parameters(layer)]
    ]
    return rows, layers, ["float32 throughout"]


def _describe_quantised(path: Path) -> tuple:
    from edgedeblur.quantize.edq import load_edq

    network = load_edq(path)
    rows = [
        *_spec_rows(network.spec),
        *((f"recipe: {name}", str(value)) for name, value in network.recipe.items()),
        *(
            (f"from: {name}", "not recorded" if value is None else str(value))
            for name, value in network.provenance.items()
        ),
    ]
    macs = layer_macs(network.spec, 512, 512)
    layers = [_quantised_layer(layer, count) for layer, count in zip(network.layers, macs, strict=True)]
    return rows, layers, [_stored_proof(layers)]


def _describe_artefact(path: Path) -> tuple:
    from edgedeblur.compile.artefact import load_artefact
    from edgedeblur.compile.manifest import count_sources

    artefact = load_artefact(path)  # checks every file's digest
    manifest, target = artefact.manifest, artefact.target
    rows = [
        ("model", f"{manifest['name']}: {manifest['parameters']:,} parameters, {manifest['macs'] / 1e9:.3f} GMAC"),
        ("input", f"RGB, {artefact.height}x{artefact.width} (height x width)"),
        (
            "target",
            f"{target.name}: {target.triple}, {target.cpu} {' '.join(target.features)}, {target.threads} threads",
        ),
        ("library", artefact.library.name if artefact.library else "none: compiled for Android without an NDK"),
        ("arena / weights", f"{manifest['arena_bytes']:,} / {manifest['weights_bytes']:,} bytes"),
        ("workspace", f"{manifest['workspace_bytes']:,} bytes per thread"),
        ("schedules", count_sources([layer.get("schedule_source", "default") for layer in manifest["layers"]])),
        ("files", f"{len(manifest['files'])}, {artefact.bytes:,} bytes, every SHA-256 as in the manifest"),
        ("made by", ", ".join(f"{tool} {version}" for tool, version in manifest["tool_versions"].items())),
        *((f"recipe: {name}", str(value)) for name, value in manifest["recipe"].items()),
        *(
            (f"from: {name}", "not recorded" if value is None else str(value))
            for name, value in manifest["provenance"].items()
        ),
    ]
    network = artefact.network()
    compiled = {layer["name"]: layer for layer in manifest["layers"]}
    layers = [
        dataclasses.replace(
            _quantised_layer(layer, compiled[layer.spec.name]["macs"]),
            dot_instructions=compiled[layer.spec.name]["dot_instructions"],
            input_passes=compiled[layer.spec.name].get("input_passes"),
            schedule_source=compiled[layer.spec.name].get("schedule_source", "default"),
            schedule_note=compiled[layer.spec.name].get("schedule_note"),
        )
        for layer in network.layers
    ]
    int8 = manifest["int8"]
    proof = [
        _stored_proof(layers),
        f"{int8['int8_convolutions']} of {int8['convolutions']} compiled kernels multiply with integer dot-product "
        f"instructions; {int8['dot_instructions']:,} are in the machine code ({target.isa})",
        *_winograd_proof(manifest["layers"]),
        *int8["reasons"],
        *(
            f"{entry['int8']['int8_convolutions']} of {entry['int8']['convolutions']} by its {entry['isa']} kernels, "
            f"with {entry['int8']['dot_instructions']:,}"
            for entry in manifest["fallbacks"]
        ),
    ]
    return rows, layers, proof


def _winograd_proof(layers: list[dict]) -> list[str]:
    count = sum(layer["schedule"]["method"] == "winograd" for layer in layers)
    if not count:
        return []
    return [f"{count} of them by Winograd's method: int16 products of transformed int8 values, exact in int32"]


def _quantised_layer(layer: QuantisedConv, macs: int) -> LayerFacts:
    spec = layer.spec
    return LayerFacts(
        spec.name, describe_op(spec), spec.parameters, macs, str(layer.weight.dtype), str(layer.bias.dtype), "int8"
    )


def _stored_proof(layers: list[LayerFacts]) -> str:
    int8 = sum(layer.weight == layer.activation == "int8" for layer in layers)
    return f"{int8} of {len(layers)} convolutions have int8 weights and int8 activations in the file"


def layer_macs(spec: StudentSpec, height: int, width: int) -> list[int]:
    """Multiply-accumulates of each layer for an image of that size."""
    sizes = spec.sizes(height, width)
    return [layer.macs(*sizes[layer.source]) for layer in spec.layers]


def _spec_rows(spec: StudentSpec) -> list[tuple[str, str]]:
    return [
        ("student", spec.name),
        ("parameters", f"{spec.parameters:,}"),
        ("GMAC at 512x512", f"{spec.macs() / 1e9:.3f}"),
        ("input", f"RGB, height and width multiples of {spec.multiple}"),
    ]


_DESCRIBE = {
    "student": _describe_student,
    "quantised": _describe_quantised,
    "artefact": _describe_artefact,
}

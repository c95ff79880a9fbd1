"""What is in a model file or artefact, as text and as values, and layer by layer: the data of `inspect`."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.artefact.int8_proof import int16_operands, why_not_integer
from edgedeblur.artefact.manifest import PASS, count_sources, describe_op, gpu_facts
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedConv, QuantisedLayer, QuantisedNetwork
from edgedeblur.restore.kinds import Kind, model_kind
from edgedeblur.restore.readable import readable, readable_rows
from edgedeblur.student import StudentSpec

if TYPE_CHECKING:
    from edgedeblur.artefact.folder import ArtefactInfo
    from edgedeblur.generators.generator import Generator

_NONE = "-"


@dataclass(frozen=True)
class LayerFacts:
    """One layer as stored.

    weight, bias, activation: dtypes; "-" of a layer without weights. Of its compiled kernel: dot_instructions;
    input_passes, how often it reads its input from memory (it writes its output once); where its schedule is from
    (schedules/choose.py), what measured it; int8, what its machine code multiplies for one image
    (artefact/int8_proof.py).
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
    int8: dict | None = None


@dataclass(frozen=True)
class Fact:
    """One thing to show, and the JSON values that it says, by names that have their units in them.

    text: None for the values as they are, a row each.
    """

    label: str
    values: dict
    text: str | None = None

    def rows(self) -> list[tuple[str, str]]:
        """(label, text) for people."""
        if self.text is not None:
            return [(self.label, self.text)]
        return [row for value in self.values.values() for row in readable_rows(self.label, value)]


@dataclass(frozen=True)
class Facts:
    """known: in the order to show. proof: sentences on whether, and how, the arithmetic is int8."""

    path: str
    kind: Kind
    known: list[Fact]
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
        return Facts(str(path), kind, _teacher_facts(path, teacher_options), proof=["float32 throughout"])
    known, layers, proof = _DESCRIBE[kind](path)
    return Facts(str(path), kind, known, layers, proof)


def facts_json(facts: Facts) -> dict:
    """Everything as JSON values: numbers are numbers, in the unit that their name says."""
    values = {name: value for fact in facts.known for name, value in fact.values.items()}
    layers = [dataclasses.asdict(layer) for layer in facts.layers]
    return {"path": facts.path, "kind": facts.kind, "facts": values, "layers": layers, "proof": facts.proof}


def _teacher_facts(path: Path, options: dict) -> list[Fact]:
    from edgedeblur.generators.load import load_generator
    from edgedeblur.generators.networks.normalisation import BN_MODES

    generator = load_generator(path, **options)
    info = generator.info
    counts = {"parameters": info.parameters, "live_parameters": info.live_parameters}
    rounding = "truncated" if info.truncates else "rounded to nearest"
    other_modes = {mode: text for mode, text in BN_MODES.items() if info.options.get("bn", mode) != mode}
    return [
        Fact("network", {"family": info.family, "variant": info.variant}, f"{info.family}, {info.variant}"),
        Fact("parameters", counts, f"{info.parameters:,} in the file, {info.live_parameters:,} that run"),
        _teacher_gmac(generator),
        Fact("input", {"input": info.normalisation, "multiple_px": info.multiple}, info.normalisation),
        Fact("uint8 output", {"uint8_output": rounding, "notes": list(info.notes)}, rounding),
        Fact("", {"options": dict(info.options)}),
        *(Fact("note", {}, note) for note in info.notes),
        *(Fact(f"with --bn {mode}", {}, text) for mode, text in other_modes.items()),
    ]


def _teacher_gmac(generator: "Generator") -> Fact:
    """At 256x256 and 512x512, alone and with the padding that the generator's own rule adds."""
    from edgedeblur.generators.cost import gmac

    fixed = generator.info.padding.fixed
    texts, values = [], []
    for height, width in [fixed] if fixed else [(256, 256), (512, 512)]:
        padded = generator.padded_size(height, width)
        try:
            cost = {"height_px": height, "width_px": width, "gmac": gmac(generator, height, width)}
            text = f"{cost['gmac']:.3f} at {height}x{width}"
            if padded != generator.info.padding.network_size(height, width):
                cost["padded_gmac"] = gmac(generator, *padded)
                text += f" ({cost['padded_gmac']:.3f} as padded to {padded[0]}x{padded[1]})"
        except UserError as error:
            return Fact("GMAC", {"cost": None}, f"not known: {error.message}")
        texts.append(text)
        values.append(cost)
    return Fact("GMAC", {"cost": values}, ", ".join(texts))


def _describe_student(path: Path) -> tuple:
    from edgedeblur.student.model_file import load_student

    student, metadata = load_student(path)
    spec = student.spec
    known = [*_spec_facts(spec), Fact("", {"metadata": metadata})]
    layers = [
        LayerFacts(layer.name, describe_op(layer), count, macs, weights, weights, "float32")
        for layer, macs in zip(spec.layers, layer_macs(spec, 512, 512), strict=True)
        for count in [layer.parameters + spec.gate_parameters(layer)]
        for weights in ["float32" if count else _NONE]
    ]
    return known, layers, ["float32 throughout"]


def _describe_quantised(path: Path) -> tuple:
    from edgedeblur.quantize.edq import load_edq

    network = load_edq(path)
    known = [*_spec_facts(network.spec), *_origin(network.recipe, network.provenance)]
    macs = layer_macs(network.spec, 512, 512)
    layers = [_quantised_layer(network, layer, count) for layer, count in zip(network.layers, macs, strict=True)]
    return known, layers, [_stored_proof(layers)]


def _describe_artefact(path: Path) -> tuple:
    from edgedeblur.artefact.folder import load_artefact

    artefact = load_artefact(path)  # checks every file's digest
    manifest, target = artefact.manifest, artefact.target
    known = _artefact_facts(artefact)
    network = artefact.network()
    compiled = {layer["name"]: layer for layer in manifest["layers"]}
    layers = [
        _compiled_layer(_quantised_layer(network, layer, compiled[layer.spec.name]["macs"]), compiled[layer.spec.name])
        for layer in network.layers
    ]
    sets = [(target.isa, manifest), *((entry["isa"], entry) for entry in manifest["fallbacks"])]
    proof = [
        _stored_proof(layers),
        *(sentence for isa, entry in sets for sentence in machine_code_proof(isa, entry["layers"])),
    ]
    return known, layers, proof


def _artefact_facts(artefact: "ArtefactInfo") -> list[Fact]:
    manifest, target = artefact.manifest, artefact.target
    sizes = {name: manifest[name] for name in ("arena_bytes", "weights_bytes")}
    described = f"{target.triple}, {target.cpu} {' '.join(target.features)}, {target.threads} threads"
    model = {"name": manifest["name"], "parameters": manifest["parameters"], "gmac": manifest["macs"] / 1e9}
    names = ("name", "triple", "cpu", "features", "isa", "threads")
    size = {"height_px": artefact.height, "width_px": artefact.width}
    more = [entry["input_shape"][:2] for entry in manifest.get("more_sizes") or () if entry["isa"] == target.isa]
    also = "; frames also " + ", ".join(f"{height}x{width}" for height, width in more) if more else ""
    library = artefact.library.name if artefact.library else None
    convolutions = [layer for layer in manifest["layers"] if layer["schedule"]["method"] != PASS]
    sources = count_sources([layer.get("schedule_source", "default") for layer in convolutions])
    workspace = manifest["workspace_bytes"]
    files = {"files": len(manifest["files"]), "files_bytes": artefact.bytes}
    return [
        Fact("model", model, f"{model['name']}: {model['parameters']:,} parameters, {model['gmac']:.3f} GMAC"),
        Fact("input", size, f"RGB, {artefact.height}x{artefact.width} (height x width){also}"),
        Fact("target", {"target": {name: getattr(target, name) for name in names}}, f"{target.name}: {described}"),
        Fact("library", {"library": library}, library or "none: compiled for Android without an NDK"),
        Fact("arena / weights", sizes, f"{sizes['arena_bytes']:,} / {sizes['weights_bytes']:,} bytes"),
        Fact("workspace", {"workspace_bytes_per_thread": workspace}, f"{workspace:,} bytes per thread"),
        Fact("schedules", {"schedules": sources}),
        *([Fact("GPU", *gpu_facts(manifest["gpu"]))] if "gpu" in manifest else []),
        Fact("files", files, f"{files['files']}, {files['files_bytes']:,} bytes, every SHA-256 as in the manifest"),
        Fact("made by", {"tool_versions": manifest["tool_versions"]}, readable(manifest["tool_versions"])),
        *_origin(manifest["recipe"], manifest["provenance"]),
    ]


def _origin(recipe: dict, provenance: dict) -> list[Fact]:
    return [Fact("recipe", {"recipe": recipe}), Fact("from", {"provenance": provenance})]


def _compiled_layer(stored: LayerFacts, entry: dict) -> LayerFacts:
    """What is stored of a layer, with what the manifest's entry says of its kernel."""
    return dataclasses.replace(
        stored,
        dot_instructions=entry["dot_instructions"],
        input_passes=entry.get("input_passes"),
        schedule_source=entry.get("schedule_source", "default"),
        schedule_note=entry.get("schedule_note"),
        int8=entry.get("int8"),
    )


def machine_code_proof(isa: str, layers: list[dict]) -> list[str]:
    """Whether one set of kernels multiplies integers, int8 or int16 ones, from each layer's numbers in the manifest."""
    layers = [layer for layer in layers if layer["schedule"]["method"] != PASS]
    if not all("int8" in layer for layer in layers):
        return [f"{isa}: compiled before edgedeblur counted what machine code multiplies; compile again for the proof"]
    reasons = [why_not_integer(layer["name"], layer["int8"]) for layer in layers]
    wide = [layer["name"] for layer in layers if int16_operands(layer["int8"])]
    total = {key: sum(layer["int8"][key] for layer in layers) for key in ("products", "float_products")}
    return [
        f"{sum(not found for found in reasons)} of {len(layers)} compiled kernels multiply with integer dot-product "
        f"instructions; {sum(layer['dot_instructions'] for layer in layers):,} are in the machine code ({isa}), which "
        f"make {total['products']:,} products for an image of {sum(layer['macs'] for layer in layers):,} "
        f"multiply-accumulates, and {total['float_products']:,} floats are multiplied to requantise",
        *_winograd_proof(layers),
        *([f"{len(wide)} of them read or write int16 activations: {', '.join(wide)}"] if wide else []),
        *(reason for found in reasons for reason in found),
    ]


def _winograd_proof(layers: list[dict]) -> list[str]:
    methods = [layer["schedule"]["method"] for layer in layers]
    said = {
        "winograd": "int16 products of transformed int8 values, exact in int32",
        "rows": "along rows: int8 products of sums and differences of 7-bit values, 12 for 18",
    }
    found = {name: methods.count(name) for name in said}
    return [f"{found[name]} of them by Winograd's method, {what}" for name, what in said.items() if found[name]]


def _quantised_layer(network: QuantisedNetwork, layer: QuantisedLayer, macs: int) -> LayerFacts:
    spec = layer.spec
    scales = [network.tensors[name] for name in (*spec.reads, spec.name)]
    activation = "int16" if any(scale.int16 for scale in scales) else "int8"
    parameters = spec.parameters + network.spec.gate_parameters(spec)
    stored = isinstance(layer, QuantisedConv)
    weight, bias = (layer.weight.dtype.name, layer.bias.dtype.name) if stored else (_NONE, _NONE)
    return LayerFacts(spec.name, describe_op(spec), parameters, macs, weight, bias, activation)


def _stored_proof(layers: list[LayerFacts]) -> str:
    layers = [layer for layer in layers if layer.weight != _NONE]
    int8 = sum((layer.weight, layer.bias, layer.activation) == ("int8", "int32", "int8") for layer in layers)
    wide = sum(layer.activation == "int16" for layer in layers)
    further = f"; {wide} read or write int16" if wide else ""
    return f"{int8} of {len(layers)} convolutions have int8 weights and int8 activations in the file{further}"


def layer_macs(spec: StudentSpec, height: int, width: int) -> list[int]:
    """Multiply-accumulates of each layer for an image of that size."""
    sizes = spec.sizes(height, width)
    return [layer.macs(*sizes[layer.source]) for layer in spec.layers]


def _spec_facts(spec: StudentSpec) -> list[Fact]:
    gmac = spec.macs() / 1e9
    return [
        Fact("student", {"student": spec.name}),
        Fact("parameters", {"parameters": spec.parameters}),
        Fact("GMAC at 512x512", {"gmac_512x512": gmac}, f"{gmac:.3f}"),
        Fact("input", {"multiple_px": spec.multiple}, f"RGB, height and width multiples of {spec.multiple}"),
    ]


_DESCRIBE = {
    "student": _describe_student,
    "quantised": _describe_quantised,
    "artefact": _describe_artefact,
}

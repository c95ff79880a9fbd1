"""Small whole files of every kind that edgedeblur reads, but for pictures.py's, made when they are needed."""

import json
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from model_files import write_quantised, write_student, write_teacher
from networks import random_network, tiny_spec
from photographs import photo
from reports import example_report
from safetensors.torch import save_file
from torch import nn

from edgedeblur.artefact import names
from edgedeblur.artefact.manifest import describe_files
from edgedeblur.artefact.names import CONSTANTS, MANIFEST, MODEL_C, NETWORK
from edgedeblur.artefact.target import load_target, target_table
from edgedeblur.data.images import write_image
from edgedeblur.data.synth import SynthOptions, write_pairs
from edgedeblur.generators.networks.deblurgan_v1 import ResnetGenerator, V1Config
from edgedeblur.generators.networks.deblurgan_v2 import PyramidGenerator, V2Config
from edgedeblur.progress import silent
from edgedeblur.quantize.edq import save_edq
from edgedeblur.storage.files import write_json
from edgedeblur.storage.resources import resource_folder
from edgedeblur.training.recipe import RECIPES
from edgedeblur.training.state import TrainingState

_ELF = b"\x7fELF" + bytes(14) + bytes([62, 0])  # e_machine of x86-64


def v1_state() -> dict[str, torch.Tensor]:
    return ResnetGenerator(V1Config(blocks=1, ngf=2)).state_dict()


def torch_file(folder: Path, state: dict, zipped: bool) -> list[Path]:
    paths = [folder / "flat.pth", folder / "nested.pth"]
    torch.save(state, paths[0], _use_new_zipfile_serialization=zipped)
    torch.save({"epoch": 3, "model": state}, paths[1], _use_new_zipfile_serialization=zipped)
    return paths


def v2_file(folder: Path) -> list[Path]:
    """The MobileNet's names and shapes with little data: torch stores a value that is repeated once."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in PyramidGenerator(V2Config("features", 8)).state_dict().items()}
    path = folder / "v2.h5"
    torch.save({"model": {f"module.{name}": torch.zeros(shape).half() for name, shape in shapes.items()}}, path)
    return [path]


def safetensors_weights(folder: Path) -> list[Path]:
    path = folder / "v1.safetensors"
    save_file(v1_state(), path, metadata={"training": json.dumps({"steps": 3})})
    return [path]


class Doubling(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * 2


def torchscript(folder: Path) -> list[Path]:
    path = folder / "program.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Doubling()).save(str(path))
    return [path]


def exported(folder: Path) -> list[Path]:
    """The members by which a torch.export program is told; without trust nothing else of it is looked at."""
    path = folder / "program.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/archive_format", b"pt2")
        archive.writestr("program/models/model.json", b"{}")
    return [path]


def unet(folder: Path) -> list[Path]:
    return [write_teacher(folder / "unet.safetensors")]


def student(folder: Path) -> list[Path]:
    return [write_student(folder / "student.safetensors")]


def quantised(folder: Path) -> list[Path]:
    return [write_quantised(folder / "network.edq")]


def manifest(folder: Path) -> list[Path]:
    """Of an artefact with the right files, but no code in them."""
    network, target = random_network(tiny_spec()), load_target("x86-64-v3")
    artefact = folder / "artefact"
    artefact.mkdir()
    save_edq(network, artefact / NETWORK)
    for name in (names.BENCH, names.LIBRARY, names.OBJECT, names.HEADER, MODEL_C, CONSTANTS):
        (artefact / name).write_bytes(_ELF)
    entry = {"macs": 5, "dot_instructions": 3, "schedule": {"method": "direct"}}
    layers = [{"name": layer.name, "op": "conv3x3", **entry} for layer in network.spec.layers]
    int8 = {"convolutions": len(layers), "int8_convolutions": len(layers), "dot_instructions": 5, "reasons": []}
    files = describe_files(artefact)
    found = {
        **{"schema_version": 1, "name": "tiny-64x96", "tier": "tiny", "edgedeblur_version": "0.1.0", "parameters": 5},
        **{"macs": 5, "input_shape": [64, 96, 3], "target": {"name": target.name, **target_table(target)}},
        **{"layers": layers, "int8": int8, "arena_bytes": 5, "workspace_bytes": 5, "weights_bytes": 5},
        **{"tensors": {"image": {"scale": 0.5, "zero_point": -128}}, "recipe": {"observer": "mse"}},
        **{
            "provenance": {"teacher": "unet"},
            "tool_versions": {"apache-tvm": "1"},
            "network_sha256": files[NETWORK]["sha256"],
        },
        **{"files": files, "fallbacks": []},
    }
    write_json(artefact / MANIFEST, found)
    return [artefact / MANIFEST]


def report(folder: Path) -> list[Path]:
    write_json(folder / "report.json", asdict(example_report([30.0] * 50)))
    return [folder / "report.json"]


def evaluation(folder: Path) -> list[Path]:
    scores = [{"psnr_db": 29.0, "ssim": 0.9, "ms": 3.0}] * 3
    models = [{"name": kind, "kind": kind, "sha256": kind} for kind in ("teacher", "student", "quantised")]
    means = [{"group": "all", "pairs": 7, "blurred": {"psnr_db": 25.0, "ssim": 0.8, "ms": None}, "models": scores}]
    write_json(folder / "evaluation.json", {"protocol": "own", "models": models, "means": means, "pairs": []})
    return [folder / "evaluation.json"]


def run_state(folder: Path) -> list[Path]:
    write_json(folder / "run-state.json", {"distill": {"key": "a" * 64, "outputs": None}})
    return [folder / "run-state.json"]


def targets(folder: Path) -> list[Path]:
    del folder
    return [path for path in resource_folder("targets").glob("*.toml") if path.stem != "host"]


def student_tables(folder: Path) -> list[Path]:
    """A student as TOML, with a gate and without."""
    paths = [folder / "plain.toml", folder / "gated.toml"]
    layers = (
        'name = "stem"\nout_channels = 8\nspace_to_depth = 2\nrelu = true',
        'name = "body"\nsource = "stem"\nout_channels = 8\nkernel = 1\nrelu = true\n{gate}',
        'name = "head"\nout_channels = 12\ndepth_to_space = 2\nresidual = "image"',
    )
    for path, gate in zip(paths, ("", 'gate = "stem"'), strict=True):
        tables = "\n[[layers]]\n".join(layers).format(gate=gate)
        path.write_text(f'name = "own"\nmultiple = 4\nbudget_gmac = 2.5\n[[layers]]\n{tables}\n')
    return paths


def onnx_network(folder: Path) -> list[Path]:
    """A small network as torch exports it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, 16, 16),), str(path), dynamo=False, opset_version=17)
    return [path]


def tuned(folder: Path) -> list[Path]:
    """The first entries of a database that ships."""
    text = (resource_folder("targets") / "tuned" / "cortex-a77.toml").read_text()
    path = folder / "tuned.toml"
    path.write_text("[[layers]]".join(text.split("[[layers]]")[:4]))
    return [path]


def recipes(folder: Path) -> list[Path]:
    del folder
    return [RECIPES / f"{name}.toml" for name in ("unet", "deblurgan", "deblurgan-v2")]


def student_recipes(folder: Path) -> list[Path]:
    del folder
    return sorted(RECIPES.glob("student*.toml"))


def synth_options(root: Path) -> SynthOptions:
    return SynthOptions(root / "pairs", (f"photos:{root / 'photos'}",), kinds=("linear",), count=2, size=(16, 16))


def pairs(folder: Path, name: str) -> list[Path]:
    """A file of two pairs that `synth` made."""
    write_image(folder / "photos" / "a.png", photo(64, 64))
    write_pairs(synth_options(folder), silent)
    return [folder / "pairs" / name]


def training(folder: Path) -> TrainingState:
    """The state of a run of a small network."""
    del folder
    network = nn.Conv2d(3, 4, 3)
    optimiser = torch.optim.AdamW(network.parameters(), 0.1)
    identity = {"seed": 0, "recipe": {"fitting": {"batch": 4}}}
    return TrainingState(
        {"net": network}, {"net": optimiser}, torch.amp.GradScaler("cpu", enabled=False), 0.9, identity
    )


def training_state(folder: Path) -> list[Path]:
    run = training(folder)
    run.main(torch.zeros(1, 3, 8, 8)).sum().backward()
    run.optimisers["net"].step()
    run.save(folder / "student.state.pt")
    return [folder / "student.state.pt"]


def bench_output(folder: Path) -> list[Path]:
    layer = {"name": "stem", "macs": 5, "ms": 0.25, "samples_ms": [0.25, 0.25]}
    printed = {
        **{"schema_version": 1, "model": "tiny-64x96", "isa": "avx2", "height": 64, "width": 96, "threads": 2},
        **{"interrupted": False, "load_ms": 1.5, "first_ms": None, "samples_ms": [1.0, 2.0], "peak_rss_kb": 4000},
        **{"peak_rss_source": "VmHWM", "arena_bytes": 10, "workspace_bytes": 10, "weights_bytes": 10},
        **{"layers": [layer], "peak_gmacs": 30.0},
    }
    write_json(folder / "output.json", printed)
    return [folder / "output.json"]

"""Artefacts that tests of several packages use, each compiled once; and a library of probe kernels."""

import functools
import shutil
import subprocess
from pathlib import Path

import numpy as np
from networks import gated_spec, random_network, tiny_spec
from once import made_once

from edgedeblur.artefact import names
from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.artefact.names import CONSTANTS, MODEL_C
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.linking import link
from edgedeblur.compile.plan import KernelCall, Operand, Plan
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork

HEIGHT, WIDTH = 64, 96
GATED_SIZES = ((HEIGHT, WIDTH), (40, 200))
PROBE_SIDE, PROBE_WORKSPACE = 16, 4096
PROBE_MODES = [
    "each_once",
    "task_fails",
    "too_much",
    "nested",
    "out_of_order",
    "left_open",
    "own_workspace",
    "together",
    "slow",
]  # in the order of probe_kernels.c


@functools.cache
def compiled(target: str) -> ArtefactInfo:
    """A random tiny network compiled for a shipped target, 64x96. Tests must not change it."""

    def make(folder: Path) -> None:
        compile_network(random_network(tiny_spec()), load_target(target), HEIGHT, WIDTH, folder)

    return load_artefact(made_once(target, make))


@functools.cache
def gated_network() -> QuantisedNetwork:
    return random_network(gated_spec(), seed=8)


@functools.cache
def compiled_gated() -> ArtefactInfo:
    """`gated_network` compiled for this machine, for 64x96 and `GATED_SIZES`. Tests must not change it."""

    def make(folder: Path) -> None:
        compile_network(gated_network(), load_target("host"), HEIGHT, WIDTH, folder, more_sizes=GATED_SIZES[1:])

    return load_artefact(made_once("gated", make))


def copy_of(info: ArtefactInfo, folder: Path) -> Path:
    """A copy of an artefact that a test may damage."""
    return Path(shutil.copytree(info.path, folder / "artefact"))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@functools.cache
def expected(seed: int = 0) -> np.ndarray:
    """What the integer interpreter makes of `noise(seed)`."""
    return interpreter.run(random_network(tiny_spec()), noise(seed))


def probe_plan(layer: str = "probe") -> Plan:
    """One call of the probe kernel: image in, 64 bytes of constants, image out."""
    rows = (PROBE_SIDE, PROBE_SIDE * 3)
    operands = (
        Operand("input", 0, rows, "uint8"),
        Operand("constant", 64, (64,), "int8"),
        Operand("output", 0, rows, "uint8"),
    )
    constants = bytes(64) + b"..C" + bytes(61)
    return Plan(
        (KernelCall(layer, "__tvm_ffi_probe", operands, 7),), PROBE_SIDE, PROBE_SIDE, 0, PROBE_WORKSPACE, constants
    )


def build_probe(folder: Path, plan: Plan, name: str = "probe") -> Path:
    """Builds the runtime with the probe kernel in place of TVM's, with warnings as errors; the library's path."""
    target = load_target("host")
    folder.mkdir()
    link.copy_sources(folder)
    (folder / CONSTANTS).write_bytes(plan.constants)
    (folder / MODEL_C).write_text(emit_model_c(plan, ModelFacts(name, "1.2.3", target.isa, 2)))
    source = Path(__file__).with_name("probe_kernels.c")
    compiler = [*link.zig_cc(target.zig_target), "-O2", "-fPIC", "-Iinclude", "-c", str(source), "-o", names.OBJECT]
    subprocess.run(compiler, cwd=folder, check=True)
    with link.linking_place(folder) as place:
        link.link_library(place, target)
    return folder / names.LIBRARY

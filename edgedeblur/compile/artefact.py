"""The artefact: a folder with everything that runs the network on its target, made whole or not at all.

1. kernels, constants and plan            build.py; for a GPU, gpu/part.py
2. the network as C tables                emit.py, gpu/emit.py, artefact/self_test.py
3. a program, and a library               link.py
4. the .edq file, digests, the manifest   manifest.py
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import __version__
from edgedeblur.artefact import names
from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.artefact.manifest import count_sources, describe_files
from edgedeblur.artefact.target import Target
from edgedeblur.compile import manifest
from edgedeblur.compile.dump import Dump, below, nowhere
from edgedeblur.compile.emit import ModelFacts, emit_model_c, join_constants
from edgedeblur.compile.linking import aar, android, link
from edgedeblur.compile.linking.host_probe import with_host_rate
from edgedeblur.compile.manifest import KernelSet
from edgedeblur.compile.tvm_alone import load_tvm
from edgedeblur.errors import UserError
from edgedeblur.storage.files import atomic_folder, require_writable

if TYPE_CHECKING:
    from edgedeblur.compile.schedules.choose import Chosen
    from edgedeblur.compile.schedules.tuned import Database
    from edgedeblur.quantize.network import QuantisedNetwork
    from edgedeblur.student import Student


def compile_network(
    network: "QuantisedNetwork",
    target: Target,
    height: int = 512,
    width: int = 512,
    output: str | Path = "artefact",
    log: Callable[[str], None] = lambda line: None,
    databases: "Callable[[Target], Sequence[Database]] | None" = None,
    dump: Dump = nowhere,
    more_sizes: Sequence[tuple[int, int]] = (),
    student: "Student | None" = None,
) -> ArtefactInfo:
    """Compiles the network for height x width images into the folder `output`; an artefact there is replaced.

    The same network, target, size and tools give the same bytes (with a student on the same machine, as torch's sums in
    float32 are in an order of its own). An Android artefact has a library for apps, linked by
    an NDK where ANDROID_NDK_HOME names one.

    Args:
        log: told each step, one line at a time.
        databases: of tuned schedules, the one to ask first first; None for those that ship.
        dump: gets what each stage of the compiler made, as text, below the name of the instruction set.
        more_sizes: heights and widths that `ed_run_frame` takes in one piece too, with the same weights.
        student: the float student that the network was quantised from: the GPU's kernels are then its float16 form,
            whose bytes are not the network's. None for the network's own.

    Raises:
        UserError: a size that the network cannot take, a folder in the way, a tool that is missing or fails.
    """
    from edgedeblur.artefact.self_test import make_self_test
    from edgedeblur.quantize.edq import save_edq

    output, target = Path(output), with_host_rate(target, log)
    _check_output(output)
    require_writable(output)
    sizes = list(dict.fromkeys([(height, width), *more_sizes]))
    gpu = None
    if target.gpu is not None:
        from edgedeblur.compile.gpu.part import build_gpu_part  # loads TVM, as `_build_sets` does

        gpu = build_gpu_part(network, sizes, target, databases, dump, log, student)
    sets = _build_sets(network, sizes, target, databases, dump, log)
    with atomic_folder(output) as folder:
        name = manifest.artefact_name(network, height, width)
        log("restoring the self-test's image with the integer interpreter")
        proof = make_self_test(network, height, width)
        facts = ModelFacts(name, __version__, target.isa, target.threads, network.spec.multiple, proof, target.gpu)
        if gpu is not None and gpu.reference is not None:
            facts = replace(facts, gpu_levels=gpu.reference.tolerance)
        _write_parts(folder, sets, facts, len(sizes))
        if gpu is not None:
            gpu.write(folder, [layer.spec.name for layer in network.layers])
        dump(names.MODEL_C, (folder / names.MODEL_C).read_text)
        save_edq(network, folder / names.NETWORK)
        log(f"linking {names.BENCH} (about a minute more the first time for a target, whose C library is built too)")
        with link.linking_place(folder) as place:
            _link_bench(place, target)
            _link_library(place, target, log)
        files = describe_files(folder)
        made = manifest.make_manifest(network, sets, len(sizes), target, files, gpu)
        entries = (made, *made["fallbacks"], *made.get("more_sizes", ()))
        for reason in (reason for entry in entries for reason in entry["int8"]["reasons"]):
            log(f"note: not int8: {reason}")
        manifest.write_manifest(folder, made)
    return load_artefact(output)


def _build_sets(
    network: "QuantisedNetwork",
    sizes: Sequence[tuple[int, int]],
    target: Target,
    databases: "Callable[[Target], Sequence[Database]] | None",
    dump: Dump,
    log: Callable[[str], None],
) -> list[KernelSet]:
    """The kernels of every instruction set, each once for every size, which read the first size's weights."""
    load_tvm()
    from edgedeblur.compile.build import build_plan, check_size  # which whoever only runs artefacts does without

    for size in sizes:
        check_size(network, *size)
    sets: list[KernelSet] = []
    for one in target.kernel_sets:
        for index, size in enumerate(sizes):
            log(
                f"compiling {len(network.layers)} kernels for {target.name} ({one.cpu}, {one.isa}, {size[0]}x{size[1]})"
            )
            first = sets[-index].schedules if index else None
            chosen = _choose_schedules(network, *size, one, databases, log, first)
            schedules = {name: choice.schedule for name, choice in chosen.items()}
            suffix, place = (f"_size{index}", f"{one.isa}-{size[0]}x{size[1]}") if index else ("", one.isa)
            compiled = build_plan(network, *size, one, schedules, below(dump, place), suffix)
            sets.append(KernelSet(one.isa, compiled, chosen))
    return sets


def _choose_schedules(
    network: "QuantisedNetwork",
    height: int,
    width: int,
    target: Target,
    databases: "Callable[[Target], Sequence[Database]] | None",
    log: Callable[[str], None],
    first: "dict[str, Chosen] | None" = None,
) -> "dict[str, Chosen]":
    """For another size than the first: those that read the same weights."""
    from edgedeblur.compile.kernels import target_instruction_set
    from edgedeblur.compile.kernels.layer import conv_layers
    from edgedeblur.compile.schedules.choose import choose_schedules, choose_sharing, databases_for

    asked = (databases or databases_for)(target)
    layers = conv_layers(network, height, width)
    given = (layers, target_instruction_set(target), target.threads, asked)
    chosen = choose_schedules(*given) if first is None else choose_sharing(*given, first)
    log(f"schedules: {count_sources([choice.source for choice in chosen.values()])}")
    notes = [f"{name}: {choice.note}" for name, choice in chosen.items() if choice.source == "fallback"]
    for note in (*(note for database in asked for note in database.notes), *notes):
        log(f"note: {note}")
    return chosen


def _write_parts(folder: Path, sets: Sequence[KernelSet], facts: ModelFacts, sizes: int) -> None:
    """The sources, the kernels of all sets in one object, the constants and the tables."""
    link.copy_sources(folder, facts.gpu)
    link.join_objects(folder, [one.compiled.object_code for one in sets])
    plans = [(one.isa, one.compiled.plan) for one in sets]
    constants, _ = join_constants([plan for _, plan in plans])
    (folder / names.CONSTANTS).write_bytes(constants)
    (folder / names.MODEL_C).write_text(emit_model_c(plans[0][1], facts, plans[1:], sizes), encoding="ascii")


def _link_bench(folder: Path, target: Target) -> None:
    if target.is_android and target.gpu is not None:
        android.link_android_bench(folder, target)
    else:
        link.link_bench(folder, target)


def _link_library(folder: Path, target: Target, log: Callable[[str], None]) -> None:
    if not target.is_android:
        log(f"linking {names.LIBRARY}")
        link.link_library(folder, target)
        return
    android.copy_android_sources(folder)
    android.link_android_library(folder, target, log, android.ndk_from_environment())
    aar.write_aar(folder, target)


def _check_output(output: Path) -> None:
    """Only an artefact or an empty folder may be replaced."""
    if not output.exists() or (output / names.MANIFEST).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise UserError(f"{output} exists and is not an artefact; it is not replaced", "choose another output", 2)

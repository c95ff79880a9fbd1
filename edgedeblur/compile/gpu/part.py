"""The part of an artefact for a GPU: the kernels for one size, with the schedules that were chosen for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.artefact import names
from edgedeblur.artefact.manifest import count_sources
from edgedeblur.artefact.target import Target
from edgedeblur.compile.dump import Dump, below
from edgedeblur.compile.gpu.build import GpuPlan, build_gpu_plan
from edgedeblur.compile.gpu.emit import emit_gpu_c, kernel_files
from edgedeblur.compile.gpu.graph import gpu_layers
from edgedeblur.compile.gpu.half.network import HalfNetwork, half_network
from edgedeblur.compile.gpu.half.reference import HalfReference, make_reference
from edgedeblur.compile.schedules.choose import Chosen, databases_for
from edgedeblur.compile.schedules.choose_gpu import choose_gpu_schedules
from edgedeblur.compile.schedules.tuned import Database
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.sizes import check_sides

if TYPE_CHECKING:
    from edgedeblur.student import Student

NOT_EXACT = "not the interpreter's bytes"


@dataclass(frozen=True)
class GpuPart:
    """The kernels, and the schedule of each layer, by name. reference: of the float16 form, what its self-test compares
    with."""

    plan: GpuPlan
    schedules: dict[str, Chosen]
    reference: HalfReference | None = None

    def write(self, folder: Path, layers: Sequence[str]) -> None:
        """The files that the runtime's GPU unit is built from; `layers` as `emit_gpu_c` takes them."""
        for name, text in kernel_files(self.plan).items():
            (folder / name).write_text(text, encoding="ascii")
        (folder / names.GPU_CONSTANTS).write_bytes(self.plan.constants)
        if self.reference is not None:
            (folder / names.GPU_REFERENCE).write_bytes(self.reference.restored.tobytes())
        (folder / names.GPU_C).write_text(emit_gpu_c(self.plan, layers), encoding="ascii")


def build_gpu_part(
    network: QuantisedNetwork,
    sizes: Sequence[tuple[int, int]],
    target: Target,
    databases: Callable[[Target], Sequence[Database]] | None,
    dump: Dump,
    log: Callable[[str], None],
    student: "Student | None" = None,
) -> GpuPart:
    """The kernels for the target's GPU.

    Args:
        sizes, databases, dump, log, student: as `compile_network` has them.

    Raises:
        UserError: several sizes, a network that the kernels cannot take.
    """
    if len(sizes) > 1:
        raise UserError(
            f"{len(sizes)} sizes for target {target.name}, whose kernels for a GPU are for one size",
            "compile one size, or for a target without gpu",
            exit_code=2,
        )
    check_sides(*sizes[0], network.spec.multiple)
    computed, reference = (network, None) if student is None else _in_float16(network, student, sizes[0])
    log(f"writing {target.gpu} kernels for a GPU" + ("" if reference is None else f", in fp16: {NOT_EXACT}"))
    layers = gpu_layers(computed, *sizes[0])
    tuned_for = target.gpu if reference is None else f"{target.gpu} fp16"  # a name that no database has
    chosen = choose_gpu_schedules(layers, tuned_for, (databases or databases_for)(target))
    log(f"schedules of the GPU: {count_sources([choice.source for choice in chosen.values()])}")
    for note in dict.fromkeys(choice.note for choice in chosen.values() if choice.note):
        log(f"note: {note}")
    schedules = {name: choice.schedule for name, choice in chosen.items()}
    plan = build_gpu_plan(computed, *sizes[0], target.gpu, schedules, below(dump, target.gpu))
    return GpuPart(plan, chosen, reference)


def _in_float16(
    network: QuantisedNetwork, student: "Student", size: tuple[int, int]
) -> tuple[HalfNetwork, HalfReference]:
    if student.spec.layers != network.spec.layers:
        raise UserError(
            "the student has other layers than the quantised network", "give the student it was made from", 2
        )
    return half_network(student), make_reference(student, *size)

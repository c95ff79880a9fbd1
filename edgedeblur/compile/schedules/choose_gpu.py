"""Which schedule each layer gets on a GPU: a tuned one from the first database that has it, else the default one."""

from collections.abc import Sequence

from edgedeblur.compile.gpu.schedule import GpuSchedule, check_schedule, default_schedule
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.schedules.choose import Chosen
from edgedeblur.compile.schedules.tuned import Database, layer_shape
from edgedeblur.errors import UserError

GPU_THREADS = 1  # in entries for GPUs, whose work groups share out the work
MOST_SUMS = 64  # of one work item: with more, registers spill on every GPU
MOST_ITEMS = 256  # of one work group: what every OpenCL device for graphics takes


def choose_gpu_schedules(
    layers: Sequence[ConvLayer], language: str, databases: Sequence[Database]
) -> dict[str, Chosen]:
    """A schedule for each layer, by name: "tuned", "default" or "fallback"; the note says who tuned it, for all layers
    alike."""
    return {layer.name: _choose(layer, language, databases) for layer in layers}


def check_gpu_fit(layer: ConvLayer, schedule: GpuSchedule) -> None:
    """Raises UserError unless a schedule from a file may be compiled for a layer."""
    try:
        check_schedule(layer, schedule)
    except ValueError as error:
        raise UserError(str(error)) from None
    if 4 * schedule.pixels * schedule.words > MOST_SUMS or schedule.pixels > layer.out_size[1]:
        raise UserError(f"layer {layer.name}: {schedule} has more than {MOST_SUMS} sums or {layer.out_size[1]} columns")
    if schedule.group[0] * schedule.group[1] > MOST_ITEMS:
        raise UserError(f"layer {layer.name}: {schedule} has more than {MOST_ITEMS} items in a work group")


def _choose(layer: ConvLayer, language: str, databases: Sequence[Database]) -> Chosen:
    default, shape = default_schedule(layer), layer_shape(layer)
    found = ((database, database.find(shape, language, GPU_THREADS)) for database in databases)
    database, entry = next(((database, entry) for database, entry in found if entry is not None), (None, None))
    if entry is None:
        return Chosen(default, "default")
    by = f"schedules of the GPU {entry.provenance} on {entry.measured_by}"
    if entry.schedule is None and entry.unfit is None:
        return Chosen(default, "tuned", by)
    try:
        if entry.schedule is None:
            raise UserError(f"its schedule is not one of this version: {entry.unfit}")
        check_gpu_fit(layer, entry.schedule)
    except UserError as error:
        return Chosen(default, "fallback", f"{database.path} has a schedule that does not fit: {error.message}")
    return Chosen(entry.schedule, "tuned", by)

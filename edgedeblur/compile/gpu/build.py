"""A quantised network to GPU kernels as text, with what they read and where it lies: all that a host program needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from edgedeblur.compile.dump import Dump, nowhere
from edgedeblur.compile.gpu.graph import GpuKernel, constant_arrays, form_of, gpu_kernels, lower
from edgedeblur.compile.gpu.half.network import HalfNetwork
from edgedeblur.compile.gpu.ptx import make_ptx
from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.gpu.source import generate_text
from edgedeblur.compile.limits import check_memory
from edgedeblur.compile.lower import plan_memory
from edgedeblur.compile.memory import PlannedCall, aligned, read_memory_plan
from edgedeblur.compile.ranges import check_ranges
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.sizes import check_sides

_WORD_BYTES = 4  # of every element: uint32, int32 or float32
_MOST_CUDA_GROUPS = 65535  # along y


@dataclass(frozen=True)
class GpuBuffer:
    """A block of device memory. place: "input", "output" (images, one word a pixel: red, green, blue, unused), "arena",
    or "constant", which begins at `offset` of the constants."""

    place: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class GpuCall:
    """One launch. kernel: its name in the text. arguments: buffers by index, in the kernel's order. groups, group: work
    groups, and work items of one, along x and y."""

    kernel: str
    layer: str
    macs: int
    arguments: tuple[int, ...]
    groups: tuple[int, int]
    group: tuple[int, int]


@dataclass(frozen=True)
class GpuPlan:
    """The network on a GPU. text: its kernels in `language`, a key of `source.PRELUDES`; ptx: what was made of them for
    the driver, None where it takes the text. arena_bytes: of all buffers between layers together."""

    language: str
    text: str
    ptx: str | None
    buffers: tuple[GpuBuffer, ...]
    calls: tuple[GpuCall, ...]
    constants: bytes
    height: int
    width: int

    @property
    def arena_bytes(self) -> int:
        return sum(buffer.bytes for buffer in self.buffers if buffer.place == "arena")


def build_gpu_plan(
    network: QuantisedNetwork | HalfNetwork,
    height: int,
    width: int,
    language: str = "opencl",
    schedules: Mapping[str, GpuSchedule] | None = None,
    dump: Dump = nowhere,
) -> GpuPlan:
    """The network for images of height x width in a language of `source.PRELUDES`.

    Args:
        schedules: by layer, instead of the default schedule.
        dump: gets what each stage made, as text.

    Raises:
        UserError: a size that the network cannot take, numbers that leave the integer ranges, a gate over
            too many pixels, more work groups than CUDA has; zig is missing, which makes PTX.
    """
    check_sides(height, width, network.spec.multiple)
    form = form_of(network)
    if isinstance(network, QuantisedNetwork):
        check_ranges(network)
    kernels = gpu_kernels(network, height, width, schedules)
    module = lower(kernels)
    if language == "cuda":
        _check_cuda(kernels, height, width)
    functions = {kernel.symbol: kernel.function for kernel in kernels}
    for symbol, function in functions.items():
        dump(f"1-tir/{symbol}.py", function.script)
    constants, offsets = _lay_out(kernels)
    memory = read_memory_plan(plan_memory(module), offsets)
    check_memory(height, width, arena=memory.arena_bytes, weights=len(constants))
    text = generate_text(functions, language, form)
    dump(f"2-kernels.{language}", lambda: text.text)
    ptx = None
    if language == "cuda":
        ptx = make_ptx(text.text)
        dump("3-kernels.ptx", ptx)
    sizes: dict[tuple[str, int], int] = {}
    for operand in (operand for planned in memory.calls for operand in planned.operands):
        key = operand.place, operand.offset
        sizes[key] = max(sizes.get(key, 0), _WORD_BYTES * prod(operand.shape))
    places = {key: index for index, key in enumerate(sizes)}
    calls = [
        _call(kernel, planned, text.entries[kernel.symbol], places)
        for kernel, planned in zip(kernels, memory.calls, strict=True)
    ]
    buffers = tuple(GpuBuffer(place, offset, size) for (place, offset), size in sizes.items())
    return GpuPlan(language, text.text, ptx, buffers, tuple(calls), constants, height, width)


def _check_cuda(kernels: tuple[GpuKernel, ...], height: int, width: int) -> None:
    """Raises UserError where a launch has more work groups along y than CUDA takes."""
    most = max(kernels, key=lambda kernel: kernel.launch.groups[1])
    if most.launch.groups[1] > _MOST_CUDA_GROUPS:
        raise UserError(
            f"layer {most.layer} for images of {height}x{width} has {most.launch.groups[1]:,} rows of work groups; "
            f"CUDA takes at most {_MOST_CUDA_GROUPS:,}",
            "compile for fewer pixels; larger images are restored in tiles",
        )


def _lay_out(kernels: tuple[GpuKernel, ...]) -> tuple[bytes, list[int]]:
    """All constants, each on its own cache line, and where each begins, in the order of `main`'s parameters."""
    blob, offsets = bytearray(), []
    for array in constant_arrays(kernels).values():
        offsets.append(len(blob))
        blob += array.tobytes()
        blob += bytes(aligned(len(blob)) - len(blob))
    return bytes(blob), offsets


def _call(
    kernel: GpuKernel, planned: PlannedCall, entry: tuple[str, tuple[str, ...]], places: dict[tuple[str, int], int]
) -> GpuCall:
    name, order = entry
    arguments = {
        argument.name: places[operand.place, operand.offset]
        for argument, operand in zip(kernel.arguments, planned.operands, strict=True)
    }
    if sorted(order) != sorted(arguments):
        raise ValueError(f"TVM's {name} takes {order}, not {sorted(arguments)}")
    launch = kernel.launch
    return GpuCall(name, kernel.layer, kernel.macs, tuple(arguments[one] for one in order), launch.groups, launch.group)

"""Candidates of one layer in one program: their kernels in one object, called in turns by the product's own runtime.

The program is edgedeblur-bench, with a plan in which every candidate is a "layer" of its own: a measured run of it is
a round in which each candidate runs once, and its profile has each candidate's time in each round. Nothing but
edgedeblur-bench is needed where the program runs, so that a phone measures as this machine does.

There are two plans. In the checking one a second kernel compares each candidate's output with the interpreter's bytes
and then spoils it, and the program's output image tells which candidates differ. The timing one only runs candidates.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import tvm
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T

from edgedeblur import __version__
from edgedeblur.artefact import names
from edgedeblur.artefact.names import CONSTANTS, MODEL_C
from edgedeblur.artefact.target import Target
from edgedeblur.compile.build import ENTRY_PREFIX
from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.signature import parameters
from edgedeblur.compile.linking import link
from edgedeblur.compile.llvm.functions import compile_functions, object_code
from edgedeblur.compile.memory import aligned
from edgedeblur.compile.pack import pack_constants
from edgedeblur.compile.plan import ALIGNMENT, KernelCall, Operand, Plan
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.compile.workspace import workspace_bytes
from edgedeblur.errors import UserError
from edgedeblur.tune.trial import LayerOnTrial

OPTIONS: tuple[str, ...] = ()  # of every run of a program
_COMPARE, _COLLECT = "compare", "collect"
_LANES = 32
_CHANNELS = 3  # of the program's output image, whose bytes are the candidates' verdicts


@dataclass(frozen=True)
class Batch:
    """Compiled candidates. constants: the data of all; places: operands of each candidate but its output."""

    trial: LayerOnTrial
    schedules: tuple[Schedule, ...]
    object_code: bytes
    workspace_bytes: int
    constants: bytes
    inputs: tuple[tuple[Operand, ...], ...]
    expected: Operand


def compile_batch(trial: LayerOnTrial, schedules: Sequence[Schedule], target: Target) -> Batch:
    """Compiles the layer's kernel by each schedule."""
    functions = {
        _symbol(index): conv_kernel(trial.layer, schedule, trial.isa, _symbol(index))
        for index, schedule in enumerate(schedules)
    }
    scratch = max(workspace_bytes(function) for function in functions.values())
    functions[_COMPARE] = _compare_kernel(len(trial.expected))
    functions[_COLLECT] = _collect_kernel(len(schedules))
    compiled = compile_functions(tvm.IRModule(functions), target)
    constants, inputs, expected = _lay_out(trial, schedules)
    return Batch(trial, tuple(schedules), object_code(compiled), scratch, constants, inputs, expected)


def link_program(batch: Batch, indices: Sequence[int], target: Target, folder: Path, checking: bool) -> Path:
    """The program that runs the candidates of these indices in turns.

    Args:
        folder: where programs are built; a new folder in it holds this one.

    Raises:
        UserError: zig is missing, or fails.
    """
    plan, sources = _plan(batch, indices, checking), folder / "sources"
    if not sources.exists():  # zig keeps objects by their folder's name: the runtime's are compiled once
        sources.mkdir()
        link.copy_sources(sources)
    (sources / names.OBJECT).write_bytes(batch.object_code)
    (sources / CONSTANTS).write_bytes(plan.constants)
    model = emit_model_c(plan, ModelFacts("tune", __version__, target.isa, target.threads))
    (sources / MODEL_C).write_text(f"{model}/* {sha256(plan.constants).hexdigest()}, which zig does not look at */\n")
    on_cpu = dataclasses.replace(target, gpu=None)  # candidates are kernels for the CPU
    link.link_bench(sources, on_cpu, cache=folder / "zig")
    return (sources / names.BENCH).rename(Path(tempfile.mkdtemp(dir=folder)) / names.BENCH)


def differing(output: bytes, indices: Sequence[int]) -> list[int]:
    """The candidates whose output was not the interpreter's, from what a checking program wrote.

    Raises:
        UserError: it wrote too little.
    """
    if len(output) <= max(indices):
        raise UserError(f"the checking program wrote {len(output)} bytes for {len(indices)} candidates")
    return [index for index in indices if output[index] != 0]


def candidate_name(index: int) -> str:
    """What the program's profile calls a candidate."""
    return _symbol(index)


def _symbol(index: int) -> str:
    return f"candidate{index}"


def _plan(batch: Batch, indices: Sequence[int], checking: bool) -> Plan:
    trial, size = batch.trial, len(batch.trial.expected)
    *_, out = parameters(trial.layer, batch.schedules[0], trial.isa)
    output = Operand("arena", 0, out.shape, out.dtype)
    flags = aligned(size)
    calls = []
    for index in indices:
        operands = (*batch.inputs[index], output)
        calls.append(KernelCall(candidate_name(index), ENTRY_PREFIX + _symbol(index), operands, trial.layer.macs))
        if checking:
            flag = Operand("arena", flags + index * ALIGNMENT, (ALIGNMENT,), "int8")
            compared = (Operand("arena", 0, (size,), "int8"), batch.expected, flag)
            calls.append(KernelCall(_COMPARE, ENTRY_PREFIX + _COMPARE, compared, 0))
    count = len(batch.schedules)
    if checking:
        collected = (Operand("arena", flags, (count * ALIGNMENT,), "int8"), Operand("output", 0, (count,), "int8"))
        calls.append(KernelCall(_COLLECT, ENTRY_PREFIX + _COLLECT, collected, 0))
    arena = flags + count * ALIGNMENT
    return Plan(tuple(calls), 1, -(-count // _CHANNELS), arena, batch.workspace_bytes, batch.constants)


def _lay_out(
    trial: LayerOnTrial, schedules: Sequence[Schedule]
) -> tuple[bytes, tuple[tuple[Operand, ...], ...], Operand]:
    """All data as constants, equal pieces once; each candidate's inputs among them; the expected output."""
    blob, offsets = bytearray(), {}

    def place(data: bytes, shape: tuple[int, ...], dtype: str) -> Operand:
        if data not in offsets:
            offsets[data] = len(blob)
            blob.extend(data)
            blob.extend(bytes(aligned(len(blob)) - len(blob)))
        return Operand("constant", offsets[data], shape, dtype)

    inputs = []
    for schedule in schedules:
        packed = pack_constants(trial.conv, trial.layer, schedule, trial.isa)
        data = {name: array.tobytes() for name, array in packed.arrays.items()}
        data |= {"source": trial.source, "residual": trial.residual}
        *read, _ = parameters(trial.layer, schedule, trial.isa)
        inputs.append(tuple(place(data[p.name], p.shape, p.dtype) for p in read))
    expected = place(trial.expected, (len(trial.expected),), "int8")
    return bytes(blob), tuple(inputs), expected


def _compare_kernel(size: int) -> tvm.tirx.PrimFunc:
    """flag[0] = 0 where output equals expected, else another value; the output is spoilt afterwards."""
    whole, tail = size // _LANES * _LANES, size % _LANES

    def step(at, lanes: int) -> None:
        index = T.ramp(at, 1, lanes) if lanes > 1 else at
        found, wanted = T.bind(output.vload([index])), T.bind(expected.vload([index]))
        seen = T.ramp(0, 1, lanes) if lanes > 1 else 0
        T.buffer_store(differs, differs.vload([seen]) | (found ^ wanted), [seen])
        ones = T.cast(-1, "int8") if lanes == 1 else T.broadcast(T.cast(-1, "int8"), lanes)
        T.buffer_store(output, wanted ^ ones, [index])

    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(_COMPARE)
        T.func_attr({"global_symbol": _COMPARE, "tirx.noalias": True})
        output, expected, flag = (
            T.arg(name, T.buffer((extent,), "int8", align=ALIGNMENT))
            for name, extent in (("output", size), ("expected", size), ("flag", ALIGNMENT))
        )
        differs = T.alloc_buffer((_LANES,), "int8")
        T.buffer_store(differs, T.broadcast(T.cast(0, "int8"), _LANES), [T.ramp(0, 1, _LANES)])
        if whole:
            with T.serial(whole // _LANES) as block:
                step(block * _LANES, _LANES)
        for at in range(tail):
            step(whole + at, 1)
        total = differs.vload([0])
        for lane in range(1, _LANES):
            total = total | differs.vload([lane])
        T.buffer_store(flag, total, [0])
    return builder.get()


def _collect_kernel(count: int) -> tvm.tirx.PrimFunc:
    """The candidates' flags, each on a cache line of its own, as neighbouring bytes."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(_COLLECT)
        T.func_attr({"global_symbol": _COLLECT, "tirx.noalias": True})
        flags = T.arg("flags", T.buffer((count * ALIGNMENT,), "int8", align=ALIGNMENT))
        out = T.arg("out", T.buffer((count,), "int8", align=1))
        with T.serial(count) as index:
            T.buffer_store(out, flags.vload([index * ALIGNMENT]), [index])
    return builder.get()

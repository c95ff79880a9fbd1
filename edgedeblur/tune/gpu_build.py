"""Candidates of one layer for a GPU in one program, as build.py has them for the CPU.

The program is edgedeblur-bench with kernels for a GPU: every candidate is a launch, and a "layer" of its own in the
profile. The checking plan launches a second kernel behind each, which compares its output with the interpreter's bytes
and then spoils it; a row of the program's output image is zero where a candidate's bytes are right. The tables for the
CPU only name the layers: the program is asked for the GPU, and their one kernel, which does nothing, never runs.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import tvm
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T

from edgedeblur import __version__
from edgedeblur.artefact import names
from edgedeblur.artefact.target import Target
from edgedeblur.compile.build import ENTRY_PREFIX
from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.gpu.build import GpuBuffer, GpuCall, GpuPlan
from edgedeblur.compile.gpu.convolution import conv_arguments, conv_kernel, conv_launch
from edgedeblur.compile.gpu.emit import emit_gpu_c, kernel_files
from edgedeblur.compile.gpu.fold import needs_fold
from edgedeblur.compile.gpu.form import INT8
from edgedeblur.compile.gpu.launch import Launch, work_items
from edgedeblur.compile.gpu.pack import pack_constants
from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.gpu.source import KernelText, generate_text
from edgedeblur.compile.gpu.tensor import IMAGE_WORD, LANES, WordTensor, word, words_for
from edgedeblur.compile.linking import android, link
from edgedeblur.compile.llvm.functions import compile_functions, object_code
from edgedeblur.compile.memory import aligned
from edgedeblur.compile.plan import ALIGNMENT, KernelCall, Operand, Plan
from edgedeblur.errors import UserError
from edgedeblur.quantize.interpreter import space_to_depth
from edgedeblur.tune.build import candidate_name
from edgedeblur.tune.trial import LayerOnTrial

OPTIONS = ("--unit", "gpu")  # of every run of a program
_COMPARE, _NOTHING = "compare", "nothing"
_ITEMS = 64  # that compare one output, and pixels of a row of the output image


@dataclass(frozen=True)
class GpuBatch:
    """Candidates as text, with the machine code of the kernel that does nothing. arguments: by candidate, the data that
    it reads by the names of its kernel's arguments. expected: the output's words."""

    trial: LayerOnTrial
    schedules: tuple[GpuSchedule, ...]
    text: KernelText
    object_code: bytes
    arguments: tuple[dict[str, bytes], ...]
    expected: bytes


def compile_batch(trial: LayerOnTrial, schedules: Sequence[GpuSchedule], target: Target) -> GpuBatch:
    """The text of the layer's kernel by each schedule, and of what compares."""
    out = _out(trial)
    functions = {
        candidate_name(index): conv_kernel(trial.layer, schedule, INT8, candidate_name(index))
        for index, schedule in enumerate(schedules)
    }
    functions[_COMPARE] = _compare_kernel(out)
    compiled = compile_functions(tvm.IRModule({_NOTHING: _nothing_kernel()}), target)
    data = {"source": _source_words(trial)}
    if trial.residual is not None:
        data["residual"] = _words(np.frombuffer(trial.residual, np.int8).reshape(trial.layer.out))
    arguments = tuple(
        data | {k: a.tobytes() for k, a in pack_constants(trial.conv, trial.layer, schedule).items()}
        for schedule in schedules
    )
    expected = _words(np.frombuffer(trial.expected, np.int8).reshape(trial.layer.out))
    text = generate_text(functions, target.gpu, INT8)
    return GpuBatch(trial, tuple(schedules), text, object_code(compiled), arguments, expected)


def link_program(batch: GpuBatch, indices: Sequence[int], target: Target, folder: Path, checking: bool) -> Path:
    """The program that runs the candidates of these indices in turns, in a new folder in `folder`.

    Raises:
        UserError: zig is missing, or fails.
    """
    plan, sources = gpu_plan(batch, indices, target, checking), folder / "sources"
    if not sources.exists():
        sources.mkdir()
        link.copy_sources(sources, target.gpu)
    tables = _cpu_plan(batch, indices, plan, checking)
    (sources / names.OBJECT).write_bytes(batch.object_code)
    (sources / names.CONSTANTS).write_bytes(tables.constants)
    (sources / names.GPU_CONSTANTS).write_bytes(plan.constants)
    for name, text in kernel_files(plan).items():
        (sources / name).write_text(text, encoding="ascii")
    facts = ModelFacts("tune", __version__, target.isa, target.threads, gpu=target.gpu)
    (sources / names.MODEL_C).write_text(emit_model_c(tables, facts))
    seen = sha256(plan.constants + plan.text.encode()).hexdigest()
    launched = emit_gpu_c(plan, [call.layer for call in tables.calls])
    (sources / names.GPU_C).write_text(f"{launched}/* {seen}, which zig does not look at */\n")
    if target.is_android:
        android.link_android_bench(sources, target)
    else:
        link.link_bench(sources, target, cache=folder / "zig")
    return (sources / names.BENCH).rename(Path(tempfile.mkdtemp(dir=folder)) / names.BENCH)


def differing(output: bytes, indices: Sequence[int]) -> list[int]:
    """The candidates whose output was not the interpreter's, from what a checking program wrote.

    Raises:
        UserError: it wrote too little.
    """
    row = 3 * _ITEMS
    if len(output) < row * len(indices):
        raise UserError(f"the checking program wrote {len(output)} bytes for {len(indices)} candidates")
    return [index for at, index in enumerate(indices) if any(output[at * row : (at + 1) * row])]


def gpu_plan(batch: GpuBatch, indices: Sequence[int], target: Target, checking: bool) -> GpuPlan:
    """Of the candidates of these indices. The image has a row for each; the input, which nothing reads, is as large."""
    image, words = 4 * _ITEMS * len(indices), _out(batch.trial).words
    buffers = [GpuBuffer("input", 0, image), GpuBuffer("output", 0, image), GpuBuffer("arena", 0, 4 * words)]
    blob, places, calls = bytearray(), {}, []

    def place(data: bytes) -> int:
        if data not in places:
            places[data] = len(buffers)
            buffers.append(GpuBuffer("constant", len(blob), len(data)))
            blob.extend(data)
            blob.extend(bytes(aligned(len(blob)) - len(blob)))
        return places[data]

    def call(symbol: str, layer: str, macs: int, launch: Launch, given: dict[str, int]) -> None:
        kernel, order = batch.text.entries[symbol]
        calls.append(GpuCall(kernel, layer, macs, tuple(given[n] for n in order), launch.groups, launch.group))

    layer = batch.trial.layer
    for row, index in enumerate(indices):
        name, schedule = candidate_name(index), batch.schedules[index]
        read = [argument.name for argument in conv_arguments(layer, INT8)][:-1]
        given = {key: place(batch.arguments[index][key]) for key in read} | {"out": 2}
        call(name, name, layer.macs, conv_launch(layer, schedule), given)
        if checking:
            told = {"row": place(np.int32(row).tobytes()), "expected": place(batch.expected), "out": 2, "flags": 1}
            call(_COMPARE, _COMPARE, 0, _compare_launch(), told)
    text = batch.text.text
    return GpuPlan(target.gpu, text, None, tuple(buffers), tuple(calls), bytes(blob), len(indices), _ITEMS)


def _cpu_plan(batch: GpuBatch, indices: Sequence[int], plan: GpuPlan, checking: bool) -> Plan:
    layers = [(candidate_name(index), batch.trial.layer.macs) for index in indices]
    layers += [(_COMPARE, 0)] if checking else []
    output = Operand("output", 0, (plan.height, 3 * plan.width), "uint8")
    calls = tuple(KernelCall(name, ENTRY_PREFIX + _NOTHING, (output,), macs) for name, macs in layers)
    return Plan(calls, plan.height, plan.width, 0, 0, bytes(ALIGNMENT))


def _out(trial: LayerOnTrial) -> WordTensor:
    return WordTensor(*trial.layer.out, trial.layer.image_out)


def _source_words(trial: LayerOnTrial) -> bytes:
    """What the convolution reads: folded, and pixels as q, where a kernel before it does that in a network."""
    layer = trial.layer
    source = np.frombuffer(trial.source, np.uint8).reshape(layer.source)
    if needs_fold(layer):
        source = source ^ np.uint8(IMAGE_WORD & 0xFF) if layer.image_source else source
        source = space_to_depth(source, layer.space_to_depth)
    return _words(source)


def _words(tensor: np.ndarray) -> bytes:
    """Bytes [H, W, C] as tensor.py has them, with zeros where they only fill a word."""
    height, width, channels = tensor.shape
    filled = np.zeros((height, width, LANES * words_for(channels)), np.uint8)
    filled[..., :channels] = tensor.view(np.uint8)
    return filled.reshape(height, width, -1, LANES).transpose(2, 0, 1, 3).tobytes()


def _compare_launch() -> Launch:
    return Launch((_ITEMS, 1, 1), (_ITEMS, 1))


def _compare_kernel(out: WordTensor) -> tvm.tirx.PrimFunc:
    """flags[row, item] is zero where the item's share of `out` equals `expected`; `out` is spoilt afterwards."""
    used = out.channels % LANES
    mask = (1 << 8 * used) - 1 if used else 0xFFFFFFFF  # of the last plane: other bytes may have any value
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(_COMPARE)
        T.func_attr({"global_symbol": _COMPARE, "tirx.noalias": True})
        row = T.arg("row", T.buffer((1,), "int32"))
        expected, found = (T.arg(name, T.buffer((out.words,), "uint32")) for name in ("expected", "out"))
        flags = T.arg("flags", T.buffer((1 << 16,), "uint32"))
        with work_items(_compare_launch()) as (x, _, _):
            differs = T.alloc_buffer((1,), "uint32", scope="local")
            T.buffer_store(differs, word(0), [0])
            with T.serial(-(-out.words // _ITEMS)) as step:
                at = T.bind(step * _ITEMS + x)
                with T.If(at < out.words), T.Then():
                    wanted = T.bind(expected[at])
                    last = at >= (out.planes - 1) * out.height * out.width
                    other = T.bitwise_and(T.bitwise_xor(found[at], wanted), T.Select(last, word(mask), word(-1)))
                    T.buffer_store(differs, T.bitwise_or(differs[0], other), [0])
                    T.buffer_store(found, T.bitwise_xor(wanted, word(-1)), [at])
            total = T.bind(differs[0])
            parts = [T.bitwise_and(T.shift_right(total, word(8 * byte)), word(0xFF)) for byte in range(LANES)]
            for part in parts[1:]:
                parts[0] = T.bitwise_or(parts[0], part)
            T.buffer_store(flags, parts[0], [row[0] * _ITEMS + x])
    return builder.get()


def _nothing_kernel() -> tvm.tirx.PrimFunc:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(_NOTHING)
        T.func_attr({"global_symbol": _NOTHING, "tirx.noalias": True})
        out = T.arg("out", T.buffer((1,), "uint8", align=1))
        T.buffer_store(out, T.cast(0, "uint8"), [0])
    return builder.get()

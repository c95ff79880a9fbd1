"""TIR functions to machine code by TVM's passes and LLVM."""

import tvm
from tvm import s_tir, tirx
from tvm.tirx import compilation_pipeline

from edgedeblur.artefact.target import Target
from edgedeblur.compile.linking.link import run_compiler, zig_cc
from edgedeblur.compile.llvm.names import check_llvm_names
from edgedeblur.storage.temporary import scratch_folder

# LLVM would unroll a 1x1 convolution's inner loop whole, move its weights out of the loop over pixels, and spill them.
_KEEP_SHORT_LOOPS = "-unroll-threshold-aggressive:uint=150"
_PIPELINE = "edgedeblur"
_EVERY_ARM_INSTRUCTION = ".arch armv8.6-a+fp16\n"  # assemblers take those of the first ARMv8-A unless told otherwise


def llvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of a target.

    Raises:
        UserError: LLVM does not know its cpu or a feature, or they lack what its isa needs.
    """
    check_llvm_names(target)
    described = {"kind": "llvm", "mtriple": target.triple, "mcpu": target.cpu, "mattr": list(target.features)}
    if target.architecture == "aarch64":
        described["cl-opt"] = [_KEEP_SHORT_LOOPS]
    return tvm.target.Target(described)


def compile_functions(functions: tvm.IRModule, target: Target) -> tvm.runtime.Module:
    """TIR to machine code.

    Raises:
        UserError: as `llvm_target`.
    """
    compilation_pipeline.register_tir_pipeline(_PIPELINE, _pipeline)
    return tvm.compile(functions, target=llvm_target(target), tir_pipeline=_PIPELINE).mod


def object_code(compiled: tvm.runtime.Module) -> bytes:
    """A compiled module as a relocatable object."""
    with scratch_folder() as folder:
        path = folder / "kernels.o"
        compiled.write_to_file(str(path))
        return path.read_bytes()


def assemble(assembly: str, target: Target) -> bytes:
    """The assembly of a compiled module as a relocatable object, which takes LLVM ten times as long.

    Raises:
        UserError: zig is missing, or fails.
    """
    first = _EVERY_ARM_INSTRUCTION if target.architecture == "aarch64" else ""
    with scratch_folder() as folder:
        (folder / "kernels.s").write_text(first + assembly)
        run_compiler([*zig_cc(target.zig_target), "-c", "kernels.s", "-o", "kernels.o"], folder, cache=folder / "cache")
        return (folder / "kernels.o").read_bytes()


def _pipeline() -> tuple:
    """The passes of TVM's default pipeline that kernels for CPUs need, and what ends it.

    Left out is what looks for blocks, thread bindings, pipelines and virtual threads, which these kernels do not have;
    for bounds of what they allocate, which are exact (CompactBufferAllocation took a third of the time); and for common
    subexpressions, as LLVM does: kernels name those that would hide others (instruction_set.named). Machine code for
    AArch64 is the same with all of TVM's passes.
    """
    passes = [
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.StorageRewrite(),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        tirx.transform.VerifyMemory(),
        tirx.transform.AnnotateEntryFunc(),
        tirx.transform.MakePackedAPI(),
    ]
    ends = compilation_pipeline.finalize_host_passes, compilation_pipeline.finalize_device_passes
    return tvm.transform.Sequential(passes), *ends

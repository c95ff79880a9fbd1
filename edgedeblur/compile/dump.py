"""What the stages of the compiler made, as text for a reader: `compile --dump FOLDER`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.errors import UserError

if TYPE_CHECKING:
    import tvm

    from edgedeblur.compile.lower import AnyKernel
    from edgedeblur.compile.plan import Plan

Dump = Callable[[str, Callable[[], str]], None]
"""Told the name of a text, such as "vnni/3-tir/vnni_conv0_3x3x512x512x3.py", and what makes it, where it is wanted."""


def nowhere(name: str, text: Callable[[], str]) -> None:
    """Keeps nothing."""


def into_folder(folder: Path) -> Dump:
    """Writes texts below a folder, which is made.

    Raises:
        UserError: the folder exists and holds something, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = next(folder.iterdir(), None)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}", "choose another folder", 2) from None
    if held is not None:
        raise UserError(f"{folder} is not empty: it holds {held.name}", "choose another folder for --dump", 2)

    def write(name: str, make: Callable[[], str]) -> None:
        path, text = folder / name, make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")

    return write


def below(dump: Dump, folder: str) -> Dump:
    """A dump into a folder of another."""
    return dump if dump is nowhere else lambda name, text: dump(f"{folder}/{name}", text)


def layers_text(kernels: "Sequence[AnyKernel]") -> str:
    """Every layer in order: what it reads and makes, how its kernel is cut up, and which kernel it is."""
    lines = ["# layer: operation; input -> output, [height, width, channels]; schedule; kernel"]
    for kernel in kernels:
        layer = kernel.layer
        if not hasattr(kernel, "schedule"):
            shapes = [list(source.shape) for source in layer.sources]
            reads = ", ".join(kernel.sources)
            lines.append(
                f"{layer.name}: {layer.operation.combine} of {reads}; {shapes} -> {list(layer.out)}; {kernel.symbol}"
            )
            continue
        reads = ", ".join(filter(None, (kernel.source, kernel.residual)))
        lines.append(
            f"{layer.name}: {' + '.join(layer.fused) or 'conv'} of {reads}; "
            f"{list(layer.source)} -> {list(layer.out)}; {kernel.schedule}; {kernel.symbol}"
        )
    return "\n".join(lines)


def plan_text(plan: "Plan") -> str:
    """The calls in order, every operand with its place, offset, shape and type."""
    lines = [
        f"# {plan.height}x{plan.width}; arena {plan.arena_bytes:,}, workspace of a thread {plan.workspace_bytes:,}, "
        f"constants {len(plan.constants):,} bytes"
    ]
    for call in plan.calls:
        lines.append(f"{call.symbol}  # {call.layer}, {call.macs:,} multiply-accumulates")
        lines += [
            f"    {name}: {operand.dtype}{list(operand.shape)} at {operand.place} + {operand.offset}"
            for name, operand in zip(call.names, call.operands, strict=True)
        ]
    return "\n".join(lines)


def graph_text(module: "tvm.IRModule") -> str:
    """The Relax function that calls the kernels, without the kernels."""
    from edgedeblur.compile.lower import ENTRY  # loads TVM

    return module[ENTRY].script()


def named_functions(module: "tvm.IRModule") -> "list[tuple[str, tvm.tirx.PrimFunc]]":
    """The kernels of a module by their symbols, in order."""
    return sorted(((var.name_hint, function) for var, function in module.functions.items()), key=lambda one: one[0])

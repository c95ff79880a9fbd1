"""What the kernel generator asks of registers that hold matrices, and of the vector instructions that follow them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.ir import Expr
from tvm.tirx import Buffer

Register = Any  # what `configure` gives: only the functions beside it look into one


@dataclass(frozen=True)
class MatrixRegisters:
    """Registers of up to `rows` rows of `row_bytes` bytes. Functions emit TIR.

    count: registers that there are.
    configure(shapes): gives the first registers (rows, bytes of a row) each; they hold nothing yet. Once a task.
    load(register, buffer, place, pitch): its rows from `buffer` at `place` (an index a dimension), each `pitch` bytes
        after the one before.
    multiply(total, left, right): total[m, n] += the sum over k of left[m, k] * right[k, n], int8 by int8 into int32.
        A row of `left` holds k after k; a row of `right` four neighbouring k of each n.
    store(register, buffer, place, pitch): its rows, as `load`.
    release(): what configure took. Once a task.
    narrow(first, second): int32 x 16 each to int16 x 32 with saturation, four values of one after four of the other.
    narrow_to(dtype, first, second): int16 x 32 each to int8 or uint8 x 64 the same way, eight after eight.
    """

    count: int
    rows: int
    row_bytes: int
    configure: Callable[[Sequence[tuple[int, int]]], list[Register]]
    load: Callable[[Register, Buffer, Sequence[Expr], int], None]
    multiply: Callable[[Register, Register, Register], None]
    store: Callable[[Register, Buffer, Sequence[Expr], int], None]
    release: Callable[[], None]
    narrow: Callable[[Expr, Expr], Expr]
    narrow_to: Callable[[str, Expr, Expr], Expr]

"""What is common to all kernels: their arguments, how many work items there are, and the loops over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce

from tvm.ir import Expr
from tvm.tirx.script.builder import ir as T


@dataclass(frozen=True)
class Argument:
    """One tensor that a kernel takes: its elements of uint32, int32 or float32."""

    name: str
    elements: int
    dtype: str

    @property
    def bytes(self) -> int:
        return 4 * self.elements


@dataclass(frozen=True)
class Launch:
    """items: work items wanted along x, y and z. group: of one work group along x and y; what does not fill a group has
    no work. y and z are one dimension of the launch: TVM's WGSL has no third."""

    items: tuple[int, int, int]
    group: tuple[int, int]

    @property
    def groups(self) -> tuple[int, int]:
        """Work groups along x, and along y and z."""
        x, y, z = self.items
        return -(-x // self.group[0]), -(-y * z // self.group[1])


@contextmanager
def work_items(launch: Launch) -> Iterator[tuple[Expr, Expr, Expr]]:
    """Emits what is in its body once for each work item; yields its x, y and z."""
    groups, size = launch.groups, launch.group
    (wanted, rows, depth) = launch.items
    with (
        T.thread_binding(0, groups[1], thread="blockIdx.y") as by,
        T.thread_binding(0, groups[0], thread="blockIdx.x") as bx,
        T.thread_binding(0, size[1], thread="threadIdx.y") as ty,
        T.thread_binding(0, size[0], thread="threadIdx.x") as tx,
    ):
        x, row = T.bind(bx * size[0] + tx), T.bind(by * size[1] + ty)
        place = (x, row, T.cast(0, "int32")) if depth == 1 else (x, T.floormod(row, rows), T.floordiv(row, rows))
        checks = [x < wanted] if wanted % size[0] else []
        checks += [row < rows * depth] if rows * depth % size[1] else []
        if not checks:
            yield place
            return
        with T.If(reduce(T.And, checks)), T.Then():
            yield place

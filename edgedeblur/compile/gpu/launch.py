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
    """items: work items wanted along x, y and z. group: of one work group; what does not fill a group has no work."""

    items: tuple[int, int, int]
    group: tuple[int, int, int]

    @property
    def groups(self) -> tuple[int, int, int]:
        """Work groups along x, y and z."""
        return tuple(-(-wanted // size) for wanted, size in zip(self.items, self.group, strict=True))


@contextmanager
def work_items(launch: Launch) -> Iterator[tuple[Expr, Expr, Expr]]:
    """Emits what is in its body once for each work item; yields its x, y and z."""
    groups, size = launch.groups, launch.group
    with (
        T.thread_binding(0, groups[2], thread="blockIdx.z") as bz,
        T.thread_binding(0, groups[1], thread="blockIdx.y") as by,
        T.thread_binding(0, groups[0], thread="blockIdx.x") as bx,
        T.thread_binding(0, size[2], thread="threadIdx.z") as tz,
        T.thread_binding(0, size[1], thread="threadIdx.y") as ty,
        T.thread_binding(0, size[0], thread="threadIdx.x") as tx,
    ):
        place = [T.bind(b * n + t) for b, n, t in zip((bx, by, bz), size, (tx, ty, tz), strict=True)]
        checks = [at < wanted for at, wanted, n in zip(place, launch.items, size, strict=True) if wanted % n]
        if not checks:
            yield tuple(place)
            return
        with T.If(reduce(T.And, checks)), T.Then():
            yield tuple(place)

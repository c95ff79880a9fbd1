"""Runs PTX without a GPU, by what NVIDIA's "PTX ISA" says, with NumPy for all threads of a launch at once.

Only what the kernels use; anything else is an error. Loads and stores outside of a buffer are errors too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from opencl import image_of, image_words

from edgedeblur.compile.gpu.build import GpuPlan

_ENTRY = re.compile(r"\.entry (\w+)\((.*?)\)\s*\{(.*?)\n\}", re.DOTALL)
_SHARED = re.compile(r"\.shared \.align \d+ \.b8 (\w+)\[(\d+)\];")
_UPPER_HALF = re.compile(r"\{ \.reg \.b16 tmp; mov\.b32 \{tmp, (%rs\d+)\}, (%r\d+); \}")  # LLVM's way to write it
_STATEMENT = re.compile(r"(?:@(!?)(%p\d+) )?([a-z][\w.:]*)\s*(.*)")
_TYPES = {"b8": "u1", "u8": "u1", "s8": "i1", "b16": "u2", "u16": "u2", "s16": "i2", "b32": "u4", "u32": "u4"}
_TYPES |= {"s32": "i4", "f16": "f2", "f32": "f4", "b64": "u8", "u64": "u8", "s64": "i8", "pred": "?"}
_WIDTHS = {"%r": "u4", "%rd": "u8", "%rs": "u2", "%p": "?", "%f": "u4"}  # of registers
_FIRST, _GAP = 4096, 256  # where the first buffer lies, and between two
_COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal}
_COMPARE |= {"gt": np.greater, "ge": np.greater_equal}


def _wide(a: np.ndarray) -> np.ndarray:
    return a.astype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")


def _shift(left: bool) -> Callable:
    def shifted(a: np.ndarray, count: np.ndarray) -> np.ndarray:
        bits = 8 * a.dtype.itemsize
        held = np.minimum(count, bits - 1).astype(a.dtype)
        zero = count >= bits if left or a.dtype.kind == "u" else np.zeros(count.shape, bool)
        return np.where(zero, a.dtype.type(0), a << held if left else a >> held)

    return shifted


def _bits(a: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """bfe: `count` bits, which do not leave the word here, with their sign for signed types."""
    up = (32 - first - count).astype(a.dtype)
    return (a << up) >> (32 - count).astype(a.dtype)


def _dot(a: np.ndarray, b: np.ndarray, total: np.ndarray) -> np.ndarray:
    products = _bytes(a).astype(np.int32) * _bytes(b)
    return total + products.sum(axis=-1, dtype=np.int32)


def _bytes(words: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(words).view(np.int8).reshape(*words.shape, 4)


def _funnel(left: bool) -> Callable:
    def shifted(low: np.ndarray, high: np.ndarray, count: np.ndarray) -> np.ndarray:
        both = high.astype(np.uint64) << 32 | low
        count = (count & 31).astype(np.uint64)
        return (both << count >> 32 if left else both >> count).astype(np.uint32)

    return shifted


def _permute(a: np.ndarray, b: np.ndarray, selector: np.ndarray) -> np.ndarray:
    """Each byte one of the eight of b and a, or its sign eight times."""
    both = np.concatenate([_bytes(a), _bytes(b)], axis=-1)
    chosen = []
    for index in range(4):
        nibble = selector >> 4 * index & 15
        byte = np.take_along_axis(both, (nibble & 7).astype(np.int64)[:, None], axis=1)[:, 0]
        chosen.append(np.where(nibble & 8, byte >> 7, byte))
    return np.stack(chosen, axis=-1).view(np.uint32)[:, 0]


_ARITHMETIC: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "mul.rn": lambda a, b: a * b,
    "add.rn": lambda a, b: a + b,
    "sub.rn": lambda a, b: a - b,
    "div.rn": lambda a, b: a / b,
    "fma.rn": lambda a, b, c: (a.astype(np.float64) * b + c).astype(a.dtype),  # twice rounded, which may be another ulp
    "ex2.approx": np.exp2,
    "mul.wide": lambda a, b: _wide(a) * _wide(b),
    "mul.hi": lambda a, b: (_wide(a) * _wide(b) >> 8 * a.dtype.itemsize).astype(a.dtype),
    "mad.lo": lambda a, b, c: a * b + c,
    "mad.wide": lambda a, b, c: _wide(a) * _wide(b) + c,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "not": lambda a: ~a,
    "neg": lambda a: -a,
    "min": np.fmin,
    "max": np.fmax,
    "shl": _shift(left=True),
    "shr": _shift(left=False),
    "bfe": _bits,
    "shf.l.wrap": _funnel(left=True),
    "shf.r.wrap": _funnel(left=False),
    "prmt": _permute,
    "dp4a": _dot,
    "mov": lambda a: a,
    "upper": lambda a: (a >> 16).astype(np.uint16),
    "selp": lambda a, b, chosen: np.where(chosen, a, b),
}
_COUNTS = {"shl": (1,), "shr": (1,), "bfe": (1, 2)}  # operands that are u32 whatever the type


@dataclass(frozen=True)
class _Step:
    guard: str | None
    negated: bool
    name: str  # without types
    types: tuple[str, ...]
    operands: tuple[str, ...]


@dataclass(frozen=True)
class _Kernel:
    parameters: tuple[str, ...]
    steps: tuple[_Step, ...]
    labels: dict[str, int]
    shared: dict[str, int]  # bytes by name


def run_ptx(plan: GpuPlan, image: np.ndarray) -> np.ndarray:
    """The image that a plan in CUDA restores by its PTX, uint8 [H, W, 3]."""
    return image_of(run_ptx_plan(plan, image_words(image)), image.shape)


def run_ptx_plan(plan: GpuPlan, words: np.ndarray) -> np.ndarray:
    """What a plan makes of an image's words (none where it reads no image): uint32, flat."""
    places, memory = _lay_out(plan, words)
    wanted = {call.kernel for call in plan.calls}
    entries = _ENTRY.findall(_UPPER_HALF.sub(r"upper.b32 \1, \2;", re.sub(r"//.*", "", plan.ptx)))
    kernels = {name: _parse(head, body) for name, head, body in entries if name in wanted}
    for call in plan.calls:
        arguments = [places[index] for index in call.arguments]
        _Launch(kernels[call.kernel], memory, arguments, call.groups, call.group).run()
    output = next(index for index, one in enumerate(plan.buffers) if one.place == "output")
    return memory.words[places[output] // 4 :][: plan.buffers[output].bytes // 4]


@dataclass(frozen=True)
class _Memory:
    """words: all of it. inside: whether a word lies in a buffer."""

    words: np.ndarray
    inside: np.ndarray


def _lay_out(plan: GpuPlan, words: np.ndarray) -> tuple[list[int], _Memory]:
    places, end = [], _FIRST
    for buffer in plan.buffers:
        places.append(end)
        end += -(-buffer.bytes // _GAP) * _GAP + _GAP
    whole, inside = np.full(end, 0xA5, np.uint8), np.zeros(end // 4, bool)  # nothing may rely on cleared memory
    for place, buffer in zip(places, plan.buffers, strict=True):
        inside[place // 4 : (place + buffer.bytes) // 4] = True
        if buffer.place == "constant":
            contents = np.frombuffer(plan.constants, np.uint8)[buffer.offset :][: buffer.bytes]
            whole[place : place + buffer.bytes] = contents
        if buffer.place == "input":
            whole[place : place + buffer.bytes] = words.view(np.uint8)
    return places, _Memory(whole.view(np.uint32), inside)


def _parse(head: str, body: str) -> _Kernel:
    steps: list[_Step] = []
    labels: dict[str, int] = {}
    for line in (line.strip().rstrip(";") for line in body.splitlines()):
        if line.endswith(":"):
            labels[line[:-1]] = len(steps)
        elif line and not line.startswith(".") and line not in "{}":
            negated, guard, name, operands = _STATEMENT.fullmatch(line).groups()
            parts = name.split(".")
            types = tuple(part for part in parts if part in _TYPES)
            plain = ".".join(part for part in parts if part not in _TYPES)
            split = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", operands)
            steps.append(_Step(guard, bool(negated), plain, types, tuple(split)))
    shared = {name: int(size) for name, size in _SHARED.findall(body)}
    return _Kernel(tuple(re.findall(r"(\w+_param_\d+)", head)), tuple(steps), labels, shared)


class _Launch:
    """All threads of one launch: where each is in the code, and its registers as bits."""

    def __init__(self, kernel: _Kernel, memory: _Memory, arguments: list[int], groups, group) -> None:
        self.kernel, self.memory = kernel, memory
        self.parameters = dict(zip(kernel.parameters, arguments, strict=True))
        count = groups[0] * groups[1] * group[0] * group[1]
        place = np.unravel_index(np.arange(count), (groups[1], groups[0], group[1], group[0]))
        names = ("%ctaid.y", "%ctaid.x", "%tid.y", "%tid.x")
        self.registers = {name: one.astype(np.uint32) for name, one in zip(names, place, strict=True)}
        self.block = place[0] * groups[0] + place[1]
        self.shared = {name: np.zeros((groups[0] * groups[1], size // 4), "u4") for name, size in kernel.shared.items()}
        self.at = np.zeros(count, np.int64)  # the step of each thread; len(steps) where it has ended
        self.waits = np.zeros(count, bool)

    def run(self) -> None:
        """The threads that are furthest behind go on together, so that those that parted meet again."""
        end = len(self.kernel.steps)
        with np.errstate(over="ignore"):
            while True:
                ready = ~self.waits & (self.at < end)
                if not ready.any():
                    if not self.waits.any():
                        return
                    self.waits[:] = False  # every thread has come to the barrier, or ended
                    continue
                step = int(self.at[ready].min())
                self._do(self.kernel.steps[step], np.flatnonzero(ready & (self.at == step)))

    def _do(self, step: _Step, threads: np.ndarray) -> None:
        self.at[threads] += 1
        if step.guard is not None:
            threads = threads[self.registers[step.guard][threads] != step.negated]
        if step.name in ("bra", "bra.uni"):
            self.at[threads] = self.kernel.labels[step.operands[0]]
        elif step.name == "ret":
            self.at[threads] = len(self.kernel.steps)
        elif step.name == "bar.sync":
            self.waits[threads] = True
        elif step.name.startswith("st."):
            self._store(step, threads)
        elif step.name.startswith("setp."):
            compared = _COMPARE[step.name.split(".")[1]](*self._read(step, threads))
            self._write(step.operands[0], threads, compared)
        else:
            self._write_all(step, threads)

    def _write_all(self, step: _Step, threads: np.ndarray) -> None:
        targets = re.findall(r"%\w+", step.operands[0])
        if step.name.startswith("ld."):
            results = self._load(step, threads, len(targets))
        elif step.name.startswith("cvta"):
            results = [self._value(step.operands[1], "u8", threads)]
        elif step.name.startswith("cvt"):
            results = [self._convert(step, threads)]
        elif step.operands[1].startswith("{"):  # a register of two halves
            low, high = (self._value(one, "u2", threads).astype("u4") for one in re.findall(r"%\w+", step.operands[1]))
            results = [low | high << 16]
        else:
            results = [_ARITHMETIC[step.name](*self._read(step, threads))]
        for target, result in zip(targets, results, strict=True):
            self._write(target, threads, result)

    def _read(self, step: _Step, threads: np.ndarray) -> list[np.ndarray]:
        types = [_TYPES[step.types[-1]]] * len(step.operands[1:])
        if step.name == "dp4a":
            types = ["u4", "u4", "i4"]
        if step.name == "selp":
            types[2] = "?"
        if step.name == "mad.wide":
            types[2] = types[2].replace("4", "8")
        for index in _COUNTS.get(step.name, ()):
            types[index] = "u4"
        return [self._value(one, kind, threads) for one, kind in zip(step.operands[1:], types, strict=True)]

    def _value(self, operand: str, kind: str, threads: np.ndarray) -> np.ndarray:
        if operand in self.registers:
            held = self.registers[operand][threads]
            return held if held.dtype == kind else held.astype(f"u{np.dtype(kind).itemsize}").view(kind)
        if operand.startswith("0f"):
            return np.full(len(threads), int(operand[2:], 16), "u4").view(kind)
        if operand in self.shared:
            return np.zeros(len(threads), kind)  # their names are their addresses: each begins at 0
        return np.full(len(threads), int(operand, 0)).astype(kind)

    def _write(self, name: str, threads: np.ndarray, value: np.ndarray) -> None:
        kind = np.dtype(_WIDTHS[name.rstrip("0123456789")])
        if name not in self.registers:
            self.registers[name] = np.zeros(len(self.at), kind)
        bits = value if value.dtype == kind else value.view(f"u{value.dtype.itemsize}").astype(kind)
        self.registers[name][threads] = bits

    def _convert(self, step: _Step, threads: np.ndarray) -> np.ndarray:
        to, source = (_TYPES[one] for one in step.types)
        value = self._value(step.operands[1], source, threads)
        if step.name == "cvt.rni":
            return np.clip(np.rint(value.astype(np.float64)), -(2.0**31), 2.0**31 - 1).astype(to)
        return value.astype(to)

    def _address(self, operand: str, threads: np.ndarray) -> tuple[str, np.ndarray]:
        """The name where there is one, and the byte: "[%rd4+16]", "[name+4]"."""
        base, _, offset = operand.strip("[]").partition("+")
        return base, self._value(base, "i8", threads) + int(offset or 0)

    def _load(self, step: _Step, threads: np.ndarray, count: int) -> list[np.ndarray]:
        if step.name == "ld.param":
            return [np.full(len(threads), self.parameters[step.operands[1].strip("[]")], "u8")]
        base, byte = self._address(step.operands[1], threads)
        kind = _TYPES[step.types[-1]]
        size = np.dtype(kind).itemsize
        assert not np.any(byte % (size * count)), f"{step} is not aligned"
        words = [self._words(step, base, byte // 4 + index, threads) for index in range(count)]
        if size == 4:
            return words
        assert size < 4 and count == 1, step
        part = (words[0] >> (8 * (byte % 4)).astype("u4")).astype(f"u{size}").view(kind)
        return [part.astype("i4") if kind[0] == "i" else part]

    def _words(self, step: _Step, base: str, word: np.ndarray, threads: np.ndarray) -> np.ndarray:
        if ".shared" in step.name:
            return self._block_memory(base)[self.block[threads], word]
        assert self.memory.inside[word].all(), f"{step} reads outside of its buffers"
        return self.memory.words[word]

    def _block_memory(self, base: str) -> np.ndarray:
        if base in self.shared:
            return self.shared[base]
        (only,) = self.shared.values()
        return only

    def _store(self, step: _Step, threads: np.ndarray) -> None:
        assert step.types == ("b32",), step
        base, byte = self._address(step.operands[0], threads)
        values = [self._value(one, "u4", threads) for one in re.findall(r"%\w+|-?\d+", step.operands[1])]
        assert not np.any(byte % (4 * len(values))), f"{step} is not aligned"
        for index, value in enumerate(values):
            word = byte // 4 + index
            if ".shared" in step.name:
                self._block_memory(base)[self.block[threads], word] = value
                continue
            assert self.memory.inside[word].all(), f"{step} writes outside of its buffers"
            self.memory.words[word] = value

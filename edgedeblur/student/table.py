"""A student as a TOML file, a table for each layer, and the tiers, which are such files (docs/own-student.md)."""

import functools
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.storage.records import Rules, read_record
from edgedeblur.student.check import ALLOWED, MAX_CHANNELS, MAX_LAYERS, check_graph
from edgedeblur.student.operations import OPERATIONS, OpSpec
from edgedeblur.student.spec import (
    IMAGE,
    MAX_PARAMETERS,
    ConvSpec,
    Layer,
    StudentSpec,
    deepest_layer,
    smallest_multiple,
)

BUDGET_GMAC = 6.0
"""At 512x512, of a network that names no budget: what fits in 35 ms on a Snapdragon 865 (docs/student.md)."""
TIERS = ("nano", "small", "large")
_TIER_FOLDER = Path(__file__).parent / "tiers"


@dataclass(frozen=True)
class StudentTable:
    """What a TOML file says: the network and its budget in GMAC (1e9 multiply-accumulates) at 512x512."""

    spec: StudentSpec
    budget_gmac: float


@dataclass(frozen=True)
class _Layer:
    """A table of `layers`: as `ConvSpec`, without the channels that follow from the source."""

    name: str
    out_channels: int
    source: str | None = None
    kernel: int = 3
    stride: int = 1
    space_to_depth: int = 1
    depth_to_space: int = 1
    residual: str | None = None
    relu: bool = False
    gate: str | None = None
    groups: int = 1
    dilation: int = 1
    prelu: bool = False
    limit: float | None = None

    def __post_init__(self):
        for field, allowed in ALLOWED.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} is {getattr(self, field)}; allowed are {', '.join(map(str, allowed))}")
        if not 0 < self.out_channels <= MAX_CHANNELS:
            raise ValueError(f"out_channels is {self.out_channels}; allowed are 1 to {MAX_CHANNELS}")


@dataclass(frozen=True)
class _Operation:
    """A table of `layers` with `op`: as `OpSpec`, without the channels where they follow from the sources."""

    name: str
    op: str
    sources: tuple[str, ...] = ()
    out_channels: int | None = None
    starts: tuple[int, ...] = ()
    parameter: float | None = None

    def __post_init__(self):
        if self.op not in OPERATIONS:
            raise ValueError(f"op is {self.op[:80]!r}; there are {', '.join(OPERATIONS)}")


def _read_layer(value: Any, key: str, rules: Rules) -> _Layer | _Operation:
    return read_record(_Operation if isinstance(value, dict) and "op" in value else _Layer, value, rules, key)


@dataclass(frozen=True)
class _File:
    name: str
    layers: tuple[_Layer | _Operation, ...]
    bottleneck: str | None = None
    multiple: int | None = None
    budget_gmac: float = BUDGET_GMAC

    def __post_init__(self):
        if not 0 < len(self.layers) <= MAX_LAYERS:
            raise ValueError(f"{len(self.layers)} layers; allowed are 1 to {MAX_LAYERS}")
        if self.budget_gmac <= 0:
            raise ValueError(f"budget_gmac is {self.budget_gmac}; it must be above 0")


def read_student_table(path: str | Path) -> StudentTable:
    """The student in a TOML file.

    Raises:
        UserError: it cannot be read, a key or value is wrong, the layers do not fit together, or it has 5 M parameters
            or more. The message names the layer, the value and what is allowed.
    """
    origin = Origin(str(path), "docs/own-student.md has the keys of such a file")
    rules = Rules(origin, readers={_Layer | _Operation: _read_layer})
    found = read_record(_File, read_toml(Path(path), origin), rules)
    try:
        layers = _with_sources(found.layers)
        bottleneck = found.bottleneck or deepest_layer(layers)
        multiple = smallest_multiple(layers) if found.multiple is None else found.multiple
        spec = StudentSpec(found.name, layers, bottleneck, multiple)
        check_graph(spec)
    except ValueError as error:
        raise origin.error(str(error)) from None
    require_small(spec, str(path))
    return StudentTable(spec, found.budget_gmac)


def require_small(spec: StudentSpec, name: str, fix: str | None = None) -> None:
    """Raises UserError unless a student has fewer than 5 million parameters; `name` is the file or module it is of."""
    if spec.parameters >= MAX_PARAMETERS:
        raise UserError(f"{name} has {spec.parameters:,} parameters; a student has fewer than {MAX_PARAMETERS:,}", fix)


def cost_sentence(spec: StudentSpec, budget_gmac: float) -> str:
    """Parameters, and multiply-accumulates at 512x512 against the budget, in one line."""
    gmac = spec.macs() / 1e9
    within = "within" if gmac <= budget_gmac else "warning: over"
    return f"{spec.parameters:,} parameters, {gmac:.2f} GMAC at 512x512, {within} the budget of {budget_gmac:g} GMAC"


def tier_table(tier: str) -> StudentTable:
    """The shipped file of a tier, with its gates.

    Raises:
        UserError: no such tier, or a tier over its own budget.
    """
    if tier not in TIERS:
        raise UserError(f"no student tier {tier!r}; there are {', '.join(TIERS)}", exit_code=2)
    return _shipped(tier)


def student_spec(tier: str, gates: bool = False) -> StudentSpec:
    """The layers of a tier.

    Args:
        gates: on the first convolution of every block below the finest level, each from that of the block before it.

    Raises:
        UserError: no such tier, or a tier over its own budget.
    """
    spec = tier_table(tier).spec
    if gates:
        return spec
    return replace(spec, layers=tuple(replace(layer, gate=None) for layer in spec.convolutions))


def is_tier(spec: StudentSpec) -> bool:
    """Whether a network has the layers of the tier that it is named after, with gates or without."""
    return spec.name in TIERS and spec.layers == student_spec(spec.name, spec.gated).layers


@functools.cache
def _shipped(tier: str) -> StudentTable:
    path = _TIER_FOLDER / f"{tier}.toml"
    if not path.is_file():
        raise UserError(f"{path} is missing from this installation", "install edgedeblur again")
    table = read_student_table(path)
    gmac = table.spec.macs() / 1e9
    if gmac > table.budget_gmac:
        raise UserError(f"tier {tier} has {gmac:.2f} GMAC at 512x512; allowed are at most {table.budget_gmac:g}")
    return table


def _with_sources(tables: tuple[_Layer | _Operation, ...]) -> tuple[Layer, ...]:
    """Layers with what their source gives them; a layer that names none reads the one before it."""
    channels, before, layers = {IMAGE: 3}, IMAGE, []
    for table in tables:
        if isinstance(table, _Operation):
            layers.append(_operation(table, channels, before))
            channels[table.name], before = layers[-1].out_channels, table.name
            continue
        source = table.source or before
        if source not in channels:
            raise ValueError(f"layer {table.name[:80]!r} reads {source[:80]!r}, which no earlier layer makes")
        given = channels[source] * table.space_to_depth**2
        layers.append(ConvSpec(**asdict(table) | {"source": source, "in_channels": given}))
        channels[table.name], before = table.out_channels // table.depth_to_space**2, table.name
    return tuple(layers)


def _operation(table: _Operation, channels: dict[str, int], before: str) -> OpSpec:
    sources = table.sources or (before,)
    for source in sources:
        if source not in channels:
            raise ValueError(f"layer {table.name[:80]!r} reads {source[:80]!r}, which no earlier layer makes")
    given = [channels[source] for source in sources]
    follow = sum(given) if OPERATIONS[table.op].combine == "concatenate" else given[0]
    return OpSpec(table.name, table.op, sources, table.out_channels or follow, table.starts, table.parameter)

"""The report as data (DESIGN.md, "The report"): one record per part, units in the names, read back strictly.

Units: ms; 1 MB = 1,000,000 bytes; MAC = one multiply and one add; dB. `null` is "not known", never zero.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgedeblur.errors import UserError
from edgedeblur.report.phone_schema import Device, Governed, Sustained
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_json
from edgedeblur.storage.files import write_json
from edgedeblur.storage.records import read_record

SCHEMA_VERSION = 1
Outcome = Literal["pass", "fail", "unknown"]
Provenance = Literal["measured", "simulated", "estimated"]


@dataclass(frozen=True)
class Model:
    """input_shape: [height, width, 3]. macs: of one image of that size."""

    name: str
    parameters: int
    macs: int
    input_shape: list[int]
    teacher: str | None
    recipe: dict


@dataclass(frozen=True)
class MeasuredTarget:
    name: str
    triple: str
    cpu: str
    features: list[str]
    threads: int


@dataclass(frozen=True)
class Environment:
    """The machine that ran the program; under simulation, the machine that ran the simulator."""

    cpu: str
    cores: int
    governor: str | None
    temperature_c_before: float | None
    temperature_c_after: float | None
    tool_versions: dict[str, str]


@dataclass(frozen=True)
class Latency:
    """Milliseconds. samples: every timed run in order; first: the process's first run; load: creating the model."""

    p50: float | None
    p90: float | None
    p99: float | None
    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    first: float | None
    load: float | None
    samples: list[float]


@dataclass(frozen=True)
class Memory:
    """Megabytes. peak_rss: of the bench process, under simulation with the simulator; arena: planned scratch;
    weights: constants; artefact: the file that is shipped, that is the library, or the program where there is none."""

    peak_rss: float | None
    arena: float
    weights: float
    artefact: float


@dataclass(frozen=True)
class Quality:
    """PSNR in dB against the sharp image, mean over `pairs` pairs."""

    blurred: float | None
    teacher: float | None
    student_float: float | None
    student_int8: float | None
    pairs: int | None


@dataclass(frozen=True)
class Int8:
    """dot_instructions: int8 dot products in the compiled kernels. reasons: why a convolution is not int8."""

    convolutions: int
    int8_convolutions: int
    dot_instructions: int | None
    reasons: list[str]


@dataclass(frozen=True)
class Layer:
    """share: of the whole run, 0 to 1. mac_per_cycle: over the nominal cycles of the cores used, so a mean per core;
    null where a clock is not known. of_peak: the layer's rate by the rate of the dot-product instruction on as many
    cores, measured in the same process; above 1 where Winograd's method saves products."""

    name: str
    op: str
    macs: int
    ms: float | None
    share: float | None
    mac_per_cycle: float | None
    of_peak: float | None = None


@dataclass(frozen=True)
class Peer:
    """ratio: the peer's p50 by edgedeblur's in the same session; above 1, the peer is slower."""

    name: str
    version: str
    precision: str
    threads: int
    p50_ms: float
    ratio: float


@dataclass(frozen=True)
class Budget:
    latency_ms: float
    memory_mb: float
    latency: Outcome
    memory: Outcome
    verdict: Outcome


@dataclass(frozen=True)
class EstimatedLayer:
    """One layer of an estimate. share: of the whole, 0 to 1. mac_per_cycle: of the steady inner loop.

    products, tiles, copies, branches, memory, idle: shares of the layer's core cycles (`kernel_cost.Cycles`).
    """

    name: str
    ms: float
    share: float
    mac_per_cycle: float
    products: float
    tiles: float
    copies: float
    branches: float
    memory: float
    idle: float


@dataclass(frozen=True)
class Estimate:
    """What a model of the processor says of the latency; never mixed with what was measured (docs/estimate.md).

    latency_ms: between low_ms and high_ms, by `error_band` (a share) to both sides. latency: against the budget,
    unknown where the band reaches over it. simulator: of the machine code. processor: its name there. clocks_ghz: one
    per thread. machine: caches, memory, branches. error: estimate / measured p50 - 1, where both were made in this run.
    """

    provenance: Literal["estimated"]
    latency_ms: float
    low_ms: float
    high_ms: float
    error_band: float
    latency: Outcome
    threads: int
    clocks_ghz: list[float]
    simulator: str
    processor: str
    machine: dict
    error: float | None
    layers: list[EstimatedLayer]


@dataclass(frozen=True)
class Gpu:
    """What computed in place of the CPU. driver: its version. is_gpu: false for software that simulates one. memory_mb:
    of the device: weights, activations and images. precision: "int8", the interpreter's bytes, or "fp16", which are
    others."""

    name: str
    driver: str
    is_gpu: bool
    memory_mb: float
    precision: str = "int8"


@dataclass(frozen=True)
class Report:
    """device: null but for a phone. sustained: null where there was no sustained run. instructions: that one thread
    executes for an image, null where they were not counted. estimate: beside a simulation, instead of one where there
    is no simulator, and beside a measurement where it was asked for. unknown: what could not be found out, why, and the
    command that changes it; null where there is nothing. gpu: null where the CPU computed. governed: a second
    sustained run, under the governor. Older reports lack these.

    provenance "estimated": nothing was run, so latency_ms and memory_mb.peak_rss are null, and `estimate` may be."""

    schema_version: int
    created: str
    edgedeblur_version: str
    model: Model
    target: MeasuredTarget
    environment: Environment
    provenance: Provenance
    latency_ms: Latency
    memory_mb: Memory
    quality_db: Quality
    int8: Int8
    layers: list[Layer]
    peers: list[Peer]
    budget: Budget
    device: Device | None = None
    sustained: Sustained | None = None
    instructions: int | None = None
    estimate: Estimate | None = None
    unknown: list[str] | None = None
    gpu: Gpu | None = None
    governed: Governed | None = None


def write_report(report: Report, *paths: Path) -> None:
    """Write the same JSON to every path."""
    for path in paths:
        write_json(path, report_json(report))


def report_json(report: Report) -> dict:
    """A report as JSON values, as in report.json."""
    return asdict(report)


def read_report(path: Path) -> Report:
    """Read a report back.

    Raises:
        UserError: missing, not JSON, of another schema version, or with keys or types that the schema does not have.
    """
    fix = "make it with: edgedeblur bench"
    if not path.exists():
        raise UserError(f"no report {path}", fix)
    origin = Origin(f"{path} is not a report", fix)
    document = read_json(path, origin)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path} is not a report of schema version {SCHEMA_VERSION}", fix)
    return read_record(Report, document, origin)

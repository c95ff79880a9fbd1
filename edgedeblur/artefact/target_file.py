"""What a target's TOML file may hold: the dataclasses that it is read into."""

from dataclasses import dataclass

from edgedeblur.artefact.core_model import CoreModel


@dataclass(frozen=True)
class CoreCluster:
    """Equal cores of a processor, fastest cluster first. Clock in GHz, 0.0 where it is not known."""

    name: str
    count: int
    ghz: float


@dataclass(frozen=True)
class Fallback:
    """Further kernels in the same artefact, for processors without the target's isa; cpu, features, runner likewise."""

    isa: str
    cpu: str
    features: tuple[str, ...]
    runner: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Budget:
    latency_ms: float
    memory_mb: float


@dataclass(frozen=True)
class TargetFile:
    """The keys of a target's file; docs/targets.md explains them."""

    description: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    isa: str
    zig_target: str
    threads: int
    clusters: tuple[CoreCluster, ...]
    budget: _Budget
    runner: tuple[str, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    android_api: int | None = None
    estimate: CoreModel | None = None
    gpu: str | None = None
    dots_per_cycle: float | None = None


@dataclass(frozen=True)
class DetectedFile:
    """The keys of host.toml."""

    description: str
    detect: tuple[str, ...]


@dataclass(frozen=True)
class SameFile:
    """The keys of a file that gives a shipped target another name, or kernels for a GPU as well."""

    description: str
    same_as: str
    gpu: str | None = None

"""Targets: one TOML file each, read strictly."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CoreCluster:
    """Equal cores of a processor, fastest cluster first. Clock in GHz."""

    name: str
    count: int
    ghz: float


@dataclass(frozen=True)
class Target:
    """Where an artefact runs.

    triple, cpu, features: for LLVM ("+dotprod"). isa: which file in kernels/ ("avx2", "vnni", "sdot").
    zig_target: for linking ("aarch64-linux-musl"). runner: command prefix that starts the program here, empty when native.
    """

    name: str
    description: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    isa: str
    zig_target: str
    threads: int
    clusters: tuple[CoreCluster, ...]
    latency_budget_ms: float
    memory_budget_mb: float
    runner: tuple[str, ...] = ()

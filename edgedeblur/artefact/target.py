"""Targets: one TOML file each, read strictly."""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path

from edgedeblur.artefact import cpu, x86_cores
from edgedeblur.artefact.core_model import CoreModel, check_core_model
from edgedeblur.artefact.isa import ISAS
from edgedeblur.artefact.target_file import CoreCluster, DetectedFile, Fallback, SameFile, TargetFile
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml, shown
from edgedeblur.storage.records import read_record
from edgedeblur.storage.resources import resource_folder

MAX_THREADS = 64
_MOST_DOTS = 8  # a cycle: beyond every core
_LONGEST = 500  # characters of a name or of a part of a command line
GPU_LANGUAGES = ("opencl", "cuda")
MIN_ANDROID_API, MAX_ANDROID_API = 21, 99  # the first with AArch64

# By what a triple for LLVM, or a target of zig's, may end; LLVM would take any other word and say nothing.
_SYSTEMS = {
    "triple": {"gnu": "gnu", "musl": "musl", "android": r"android\d*"},
    "zig_target": {"musl": "musl", "gnu": r"gnu(\.\d+)*"},
}
_SAME_NAMED = ("description", "triple", "cpu", "isa", "zig_target", "threads")  # in the file and in Target


@dataclass(frozen=True)
class Target:
    """Where an artefact runs.

    triple, cpu, features: for LLVM ("+dotprod"). isa: which kernels, by a name of isa.py.
    zig_target: for linking ("aarch64-linux-musl").
    runner: command prefix that starts the program on another architecture, empty when there is none.
    fallbacks: other kernels in the same artefact, the better first; the first set that the processor has runs.
    android_api: the lowest API level that the library for apps runs on; of Android targets only.
    estimate: what an estimate of the latency needs to know of the cores, None where that was not written down.
    gpu: the language of kernels for a GPU, of GPU_LANGUAGES, in the artefact beside those for the CPU; None for none.
    dots_per_cycle: vector dot products that a core starts in a cycle (x86_cores.py); None: by its cpu's name.
    detected: whether the cores are this machine's and were read just now: a clock may be another one next time.
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
    fallbacks: tuple[Fallback, ...] = ()
    android_api: int | None = None
    estimate: CoreModel | None = None
    gpu: str | None = None
    dots_per_cycle: float | None = None
    detected: bool = field(default=False, compare=False)

    @property
    def kernel_sets(self) -> tuple["Target", ...]:
        """This target once for each set of kernels in its artefact, without fallbacks; its own set first."""
        sets = (Fallback(self.isa, self.cpu, self.features, self.runner), *self.fallbacks)
        return tuple(
            dataclasses.replace(
                self, isa=one.isa, cpu=one.cpu, features=one.features, runner=one.runner or self.runner, fallbacks=()
            )
            for one in sets
        )

    @property
    def architecture(self) -> str:
        """The triple's first part: "x86_64" or "aarch64"."""
        return self.triple.split("-")[0]

    @property
    def is_android(self) -> bool:
        return "android" in self.triple


def list_targets() -> list[str]:
    """Names of the targets that ship with edgedeblur, sorted."""
    return sorted(path.stem for path in resource_folder("targets").glob("*.toml"))


def load_target(name_or_path: str | Path) -> Target:
    """A shipped target by name, or a user's own TOML file by path (anything with a slash or ending in .toml).

    Raises:
        UserError: no such target or file, not TOML, unknown or missing keys, wrong types or values; for `host`, a
            processor without any of the instruction sets that there are kernels for.
    """
    text = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml")
    path = Path(name_or_path) if is_path else _shipped(text)
    table = read_toml(path, _origin(path))
    if "detect" in table:
        return _detect_host(path, table)
    if "same_as" in table:
        named = read_record(SameFile, table, _origin(path))
        same = _named_in(path, "same_as", named.same_as)
        gpu = same.gpu if named.gpu is None else _known_gpu(path, named.gpu)
        return dataclasses.replace(same, name=path.stem, description=named.description, gpu=gpu)
    return parse_target(path.stem, table, path)


def _named_in(path: Path, key: str, name: str) -> Target:
    """A shipped target that a file names under a key."""
    if name not in list_targets():
        raise bad_file(path, f"{key} names {shown(name)}; there are {', '.join(list_targets())}")
    return load_target(_shipped(name))


def bad_file(path: Path, message: str) -> UserError:
    """The error for a target file that breaks a rule."""
    return _origin(path).error(message)


def _origin(path: Path) -> Origin:
    return Origin(str(path), "edgedeblur targets shows those that work", exit_code=2)


def database_name(target: Target) -> str:
    """The name of the file that holds a target's tuned schedules: "x86-64-v4.toml", after its cpu."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", target.cpu) + ".toml"


def shipped_database(target: Target) -> Path:
    """Where the schedules that ship for a target's cpu are; not every cpu has some."""
    return resource_folder("targets") / "tuned" / database_name(target)


def _shipped(name: str) -> Path:
    if name not in list_targets():
        raise UserError(
            f"no target {shown(name)}; there are {', '.join(list_targets())}",
            "edgedeblur targets, or give the path of your own TOML file",
            exit_code=2,
        )
    return resource_folder("targets") / f"{name}.toml"


def parse_target(name: str, table: dict, path: Path) -> Target:
    """The target of a table in the form of targets/*.toml; `path` is where it came from, for messages.

    Raises:
        UserError: unknown or missing keys, wrong types or values.
    """
    found = read_record(TargetFile, table, _origin(path))
    if found.estimate is not None:
        check_core_model(found.estimate, _origin(path))
    target = Target(
        name=name,
        **{key: getattr(found, key) for key in (*_SAME_NAMED, "features", "clusters", "runner", "fallbacks")},
        latency_budget_ms=found.budget.latency_ms,
        memory_budget_mb=found.budget.memory_mb,
        android_api=found.android_api,
        estimate=found.estimate,
        gpu=_known_gpu(path, found.gpu),
        dots_per_cycle=found.dots_per_cycle,
    )
    for one in target.kernel_sets:
        _check_values(path, one)
    isas = [one.isa for one in target.kernel_sets]
    if len(set(isas)) != len(isas):
        raise bad_file(path, f"isa and fallbacks name {', '.join(isas)}; each may be listed once")
    return target


def target_table(target: Target) -> dict:
    """The inverse of `parse_target`, without the name; every value fits JSON."""
    table = {key: getattr(target, key) for key in _SAME_NAMED}
    table["features"] = list(target.features)
    table["clusters"] = [dataclasses.asdict(cluster) for cluster in target.clusters]
    table["budget"] = {"latency_ms": target.latency_budget_ms, "memory_mb": target.memory_budget_mb}
    table["runner"] = list(target.runner)
    if target.fallbacks:
        table["fallbacks"] = [
            {"isa": one.isa, "cpu": one.cpu, "features": list(one.features), "runner": list(one.runner)}
            for one in target.fallbacks
        ]
    if target.android_api is not None:
        table["android_api"] = target.android_api
    if target.dots_per_cycle is not None:
        table["dots_per_cycle"] = target.dots_per_cycle
    if target.gpu is not None:
        table["gpu"] = target.gpu
    if target.estimate is not None:
        table["estimate"] = dataclasses.asdict(target.estimate)
    return table


def _known_gpu(path: Path, language: str | None) -> str | None:
    if language is not None and language not in GPU_LANGUAGES:
        raise bad_file(path, f"gpu = {shown(language)}; there are {', '.join(GPU_LANGUAGES)}")
    return language


def _check_values(path: Path, target: Target) -> None:
    names = (target.isa, target.triple, target.cpu, target.zig_target, *(cluster.name for cluster in target.clusters))
    for text in (*names, *target.features, *target.runner):
        if not text.isprintable() or len(text) > _LONGEST:
            raise bad_file(path, f"{shown(text)} is not a name: allowed are at most {_LONGEST} printable characters")
    if target.isa not in ISAS:
        raise bad_file(path, f"isa = {target.isa!r}; there are kernels for {', '.join(ISAS)}")
    architecture = ISAS[target.isa].architecture
    for key, endings in _SYSTEMS.items():
        value = getattr(target, key)
        if not re.fullmatch(f"{architecture}-(unknown-|pc-)?linux-({'|'.join(endings.values())})", value):
            allowed = ", ".join(f"{architecture}-linux-{ending}" for ending in endings)
            raise bad_file(path, f"{key} = {value!r}; for isa {target.isa!r} there are {allowed}")
    for feature in target.features:
        if feature[:1] not in ("+", "-"):
            raise bad_file(path, f"feature {feature!r}; LLVM's features begin with + or -")
    if target.is_android != (target.android_api is not None):
        raise bad_file(path, f"android_api = {target.android_api}; triples for Android need it, others have none")
    if target.is_android and target.gpu == "cuda":
        raise bad_file(path, "gpu = 'cuda'; no phone has NVIDIA's driver: opencl is there")
    if target.android_api is not None and not MIN_ANDROID_API <= target.android_api <= MAX_ANDROID_API:
        raise bad_file(path, f"android_api = {target.android_api}; allowed are {MIN_ANDROID_API} to {MAX_ANDROID_API}")
    if not 1 <= target.threads <= MAX_THREADS:
        raise bad_file(path, f"threads = {target.threads}; allowed are 1 to {MAX_THREADS}")
    dots = target.dots_per_cycle
    if dots is not None and not 0 < dots <= _MOST_DOTS:
        raise bad_file(path, f"dots_per_cycle = {dots}; allowed are numbers above 0, up to {_MOST_DOTS}")
    if not target.clusters:
        raise bad_file(path, "clusters is empty; at least one [[clusters]] is needed")
    for cluster in target.clusters:
        if cluster.count < 1 or not 0 <= cluster.ghz < 100:
            raise bad_file(path, f"cluster {cluster.name!r} has {cluster.count} cores at {cluster.ghz} GHz")
    if not (target.latency_budget_ms > 0 and target.memory_budget_mb > 0):
        raise bad_file(
            path, f"budget of {target.latency_budget_ms} ms and {target.memory_budget_mb} MB; both must be above 0"
        )


def _detect_host(path: Path, table: dict) -> Target:
    """The first listed target that runs here, with this machine's cores."""
    detected = read_record(DetectedFile, table, _origin(path))
    candidates = [_named_in(path, "detect", name) for name in detected.detect]
    sets = [one for target in candidates for one in target.kernel_sets]
    found = next((_with_fallbacks(one, candidates) for one in sets if cpu.runs_here(one.isa)), None)
    if found is None:
        needs = "; ".join(f"{one.name}: {' '.join(ISAS[one.isa].flags)}" for one in sets)
        raise UserError(
            f"there are no kernels for this processor ({cpu.cpu_model()}); they need one of: {needs}",
            "compile for another machine: edgedeblur compile --target NAME",
        )
    cores = cpu.physical_cores()
    return dataclasses.replace(
        found,
        name=path.stem,
        description=f"{detected.description}: {cpu.cpu_model()}, as {found.name}",
        threads=min(len(cores), MAX_THREADS),
        clusters=_host_clusters(cores),
        runner=(),
        dots_per_cycle=x86_cores.dots_per_cycle_of_model(*cpu.vendor_family_model()),
        detected=True,
    )


def _with_fallbacks(found: Target, candidates: list[Target]) -> Target:
    """The target's own fall-backs where the system may refuse a process its kernels' instructions."""
    own = next(target for target in candidates if target.name == found.name)
    if not ISAS[found.isa].on_request or found.isa != own.isa:
        return found
    return dataclasses.replace(found, fallbacks=own.fallbacks)


def _host_clusters(cores: tuple[int, ...]) -> tuple[CoreCluster, ...]:
    clocks = [cpu.clock_ghz(core) for core in cores]
    return tuple(
        CoreCluster(cpu.cpu_model(), clocks.count(clock), clock) for clock in sorted(set(clocks), reverse=True)
    )

"""`bench`: an artefact's latency, memory and int8 proof as a report.

1. the artefact and its quantised network    load_artefact
2. timed runs in a process of their own      edgedeblur-bench, under the target's simulator where it is not for here
3. its output against the integer arithmetic quantize/interpreter.py, byte for byte (in fp16 near float32's: gpu.py);
   under simulation that of every set of kernels in the artefact, each on a processor that has just its instructions
4. one more process with a clock per layer   layers.py
5. other runtimes on the same network        peers.py
6. an estimate where there is no time        estimate.py
7. the verdict                               verdict.py

Where the simulator is not installed, only the estimate is made: unmeasured.py.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.bench.assemble import make_memory, make_report
from edgedeblur.bench.environment import after, program_version, read_environment
from edgedeblur.bench.gpu import (
    SOFTWARE_GPU,
    bench_image,
    check_output,
    gpu_facts,
    lacks_gpu,
    unit_for,
    what_is_compared,
)
from edgedeblur.bench.latency import MIN_RUNS, UNKNOWN, summarise
from edgedeblur.bench.layers import cycles_per_ms, layer_rows, unknown_layer_rows
from edgedeblur.bench.peers import check_names, compare
from edgedeblur.bench.unmeasured import estimate_or_reason, unmeasured_report
from edgedeblur.errors import UserError
from edgedeblur.estimate.host_machine import measure_host
from edgedeblur.estimate.latency import estimate, with_error
from edgedeblur.estimate.mca import need_mca, need_model
from edgedeblur.report.schema import Estimate, Layer, Peer, Quality, Report
from edgedeblur.runtime.instructions import count_instructions
from edgedeblur.runtime.program import NoRunner, ProgramRun, run_program, runner_for
from edgedeblur.runtime.session import Session

_FIX_RUNNER = "give that fallback in the target's TOML a runner whose processor lacks the better sets' instructions"
PROFILED_RUNS = 20
MAX_SECONDS = 86400.0  # edgedeblur-bench's own limit
_BUSY_SHARE = 0.5  # of the cores, by the load average of the last minute


@dataclass(frozen=True)
class BenchOptions:
    """How to measure.

    runs, warmup: timed runs (at least 50) and runs before them; under simulation one run is enough, as none is timed.
    threads: None for the target's number.
    profile: time every layer, in a process of its own so that the clock readings do not slow the timed runs.
    against: peers to time in the same session, names of peers.PEERS.
    count_instructions: count what one thread executes for an image, where the artefact runs in QEMU.
    min_seconds: the timed runs go on until so much time has been measured; None: 10 on a phone, else 0.
    estimate: estimate the latency too where it is measured, here or on a phone, to learn the estimate's error.
    """

    runs: int = 100
    warmup: int = 10
    threads: int | None = None
    profile: bool = True
    against: tuple[str, ...] = ()
    min_seconds: float | None = None
    count_instructions: bool = False
    estimate: bool = False

    def __post_init__(self):
        if self.runs < MIN_RUNS:
            raise UserError(f"{self.runs} runs; at least {MIN_RUNS} are needed for percentiles", exit_code=2)
        if self.min_seconds is not None and not 0 <= self.min_seconds <= MAX_SECONDS:
            raise UserError(f"{self.min_seconds:g} s to measure; 0 to {MAX_SECONDS:g} can be", exit_code=2)


def bench(artefact: ArtefactInfo, options: BenchOptions, quality: Quality, log: Callable[[str], None]) -> Report:
    """Measure an artefact by the steps above.

    Raises:
        UserError: nothing here runs it and more than an estimate was asked for, peers under simulation or not
            installed, or output that is not the integer interpreter's: such an artefact has no report.
    """
    try:
        simulated = bool(runner_for(artefact)) or lacks_gpu(artefact)
    except NoRunner as missing:
        _check_tools(artefact, options, simulated=True)
        if options.count_instructions:
            raise
        return unmeasured_report(artefact, options.threads, quality, missing, log)
    _check_tools(artefact, options, simulated)
    image = bench_image(artefact)
    environment = read_environment(_runner_version(artefact))
    log(_intention(artefact, options, simulated))
    if not simulated:
        say_load(environment.cores, log)
    timed = _run_timed(artefact, image, options, simulated)
    environment = after(environment)
    ran, wanted = timed.result.isa, artefact.target.isa
    if not simulated and ran != wanted:
        log(f"note: the artefact's {ran} kernels ran: this system has no {wanted}, or refuses it to the process")
    log(f"comparing its output with {what_is_compared(artefact)}")
    check_output(artefact, timed.output, timed.result.precision)
    _check_fallbacks(artefact, image, options, log)
    layers = _layers(artefact, image, options, simulated, log)
    peers = _peers(artefact, image, options, timed.result.threads, log)
    result = timed.result
    latency = UNKNOWN if simulated else summarise(result.samples_ms, result.first_ms, result.load_ms)
    memory = make_memory(artefact, None if simulated and result.gpu is not None else result.peak_rss_kb)
    provenance = "simulated" if simulated else "measured"
    parts = (latency, memory, environment, quality, layers, peers)
    report = replace(make_report(artefact, provenance, result.threads, *parts, isa=result.isa), gpu=gpu_facts(result))
    instructions = _instructions(artefact, image, options, log)
    if result.gpu is not None:
        return replace(report, unknown=[SOFTWARE_GPU] if simulated else None)
    if simulated:
        estimated, reason = estimate_or_reason(artefact, options.threads, log)
        return replace(report, instructions=instructions, estimate=estimated, unknown=[reason] if reason else None)
    return replace(report, instructions=instructions, estimate=_estimate(artefact, report, options, log))


def _instructions(
    artefact: ArtefactInfo, image: np.ndarray, options: BenchOptions, log: Callable[[str], None]
) -> int | None:
    if not options.count_instructions:
        return None
    log("counting instructions, with one thread")
    return count_instructions(artefact, image)


def say_load(cores: int, log: Callable[[str], None]) -> None:
    """Log a note when other processes keep a good part of the cores busy."""
    load = os.getloadavg()[0]
    if load > _BUSY_SHARE * cores:
        log(f"note: the machine is busy (load {load:.1f} on {cores} cores); other work makes these times longer")


def _check_fallbacks(
    artefact: ArtefactInfo, image: np.ndarray, options: BenchOptions, log: Callable[[str], None]
) -> None:
    """The artefact's other kernels: those for the CPU beside a GPU's, and under simulation each further set in a
    simulator without the instructions of those before it."""
    if artefact.target.gpu is not None:
        log("running the same on the CPU, which takes over where there is no GPU")
        run = run_program(artefact, image, 1, 0, options.threads, unit="cpu")
        check_output(artefact, run.output, run.result.precision)
    if not runner_for(artefact):
        return
    for one in artefact.target.kernel_sets[1:]:
        log(f"{one.isa} kernels in {' '.join(one.runner)}")
        run = run_program(artefact, image, 1, 0, options.threads, runner=one.runner)
        if run.result.isa != one.isa:
            raise UserError(f"{' '.join(one.runner)} ran the {run.result.isa} kernels, not {one.isa}", _FIX_RUNNER)
        check_output(artefact, run.output, run.result.precision)


def _check_tools(artefact: ArtefactInfo, options: BenchOptions, simulated: bool) -> None:
    check_names(options.against)
    if options.estimate:
        need_mca()
        need_model(artefact.target.isa)
    if options.against and simulated:
        raise UserError(
            "peers cannot be timed against an artefact that runs in a simulation",
            "bench an artefact for this machine: edgedeblur compile --target host",
            exit_code=2,
        )


def _intention(artefact: ArtefactInfo, options: BenchOptions, simulated: bool) -> str:
    if simulated and artefact.target.gpu is not None:
        return f"running {artefact.path} on software that simulates a GPU: output and memory only, no times"
    if simulated:
        return f"running {artefact.path} in {artefact.target.runner[0]}: output and memory only, no times"
    return f"timing {artefact.path}: {options.warmup} runs to warm up, {options.runs} measured"


def _runner_version(artefact: ArtefactInfo) -> dict[str, str]:
    """Of the simulator, where there is one."""
    return {runner: program_version([runner, "--version"]) or "unknown" for runner in runner_for(artefact)[:1]}


def _run_timed(artefact: ArtefactInfo, image: np.ndarray, options: BenchOptions, simulated: bool) -> ProgramRun:
    runs, warmup, seconds = (1, 0, 0.0) if simulated else (options.runs, options.warmup, options.min_seconds or 0.0)
    run = run_program(artefact, image, runs, warmup, options.threads, seconds, unit=unit_for(artefact.target))
    if run.result.interrupted:
        raise KeyboardInterrupt
    return run


def _layers(
    artefact: ArtefactInfo, image: np.ndarray, options: BenchOptions, simulated: bool, log: Callable[[str], None]
) -> list[Layer]:
    if simulated or not options.profile:
        return unknown_layer_rows(artefact)
    log("timing each layer")
    unit = unit_for(artefact.target)
    profiled = run_program(artefact, image, PROFILED_RUNS, options.warmup, options.threads, profile=True, unit=unit)
    cycles = None if unit == "gpu" else cycles_per_ms(artefact.target, profiled.result.threads)
    return layer_rows(artefact, profiled.result, cycles)


def _peers(
    artefact: ArtefactInfo, image: np.ndarray, options: BenchOptions, threads: int, log: Callable[[str], None]
) -> list[Peer]:
    if not options.against:
        return []
    log(f"taking turns with {', '.join(options.against)}")
    with Session(artefact, threads) as session:
        return compare(artefact.network(), session.run, options.against, image, threads)


def _estimate(
    artefact: ArtefactInfo, report: Report, options: BenchOptions, log: Callable[[str], None]
) -> Estimate | None:
    """Of a measured run, where it is asked for."""
    if not options.estimate:
        return None
    log("estimating the same, to hold it against the measurement")
    return with_error(estimate(artefact, report.target.threads, measure_host()), report.latency_ms)

"""What a candidate costs: rounds in which all candidates of a batch take turns, on this machine or in its simulator.

1. compile the batch into one object                           build.py
2. a checking program: outputs against the interpreter's bytes, and a first time of each
3. a timing program without those that differ, and without those that the first time shows to be hopeless
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from edgedeblur.artefact.target import Target
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.device.errors import ContactLost
from edgedeblur.errors import UserError
from edgedeblur.runtime.program import BenchResult, parse_bench_output, run_bench
from edgedeblur.tune import build, gpu_build
from edgedeblur.tune.build import candidate_name
from edgedeblur.tune.trial import LayerOnTrial

CHECK_ROUNDS = 5
HOPELESS = 1.3  # times the batch's best in the first rounds
_TIMEOUT_S = 300.0

Samples = tuple[float, ...]  # ms, one a round

# (schedules, rounds) -> each one's samples, None where its output is not the interpreter's. Rounds are the same rounds
# for all that have as many samples; hopeless schedules have fewer. The first schedule is what the others are held
# against: it is never given up as hopeless.
Measure = Callable[[Sequence[Schedule], int], list[Samples | None]]

# (program, options of edgedeblur-bench) -> what it printed, and the bytes of its output image.
RunProgram = Callable[[Path, Sequence[str]], tuple[BenchResult, bytes]]


def run_here(runner: Sequence[str] = ()) -> RunProgram:
    """Runs programs on this machine, behind a simulator's command where there is one."""

    def run(program: Path, options: Sequence[str]) -> tuple[BenchResult, bytes]:
        output = program.with_name("output.rgb")
        text = run_bench([*runner, str(program), "--output", str(output), *options], _TIMEOUT_S)
        result = parse_bench_output(text)
        if result.interrupted:
            raise KeyboardInterrupt
        return result, output.read_bytes()

    return run


def measure_with(run: RunProgram, trial: LayerOnTrial, target: Target, folder: Path) -> Measure:
    """Measures a layer's candidates by running programs, which are built in `folder`: for the target's GPU where
    `tunes_gpu`, else for its processor."""
    programs = gpu_build if tunes_gpu(target) else build

    def measure(schedules: Sequence[Schedule], rounds: int) -> list[Samples | None]:
        batch = programs.compile_batch(trial, schedules, target)
        every = list(range(len(schedules)))

        def check(indices: list[int]) -> dict[int, Samples | None]:
            program = programs.link_program(batch, indices, target, folder, checking=True)
            try:
                result, output = run(program, ["--runs", str(CHECK_ROUNDS), "--profile", *programs.OPTIONS])
            except ContactLost:
                raise
            except UserError:
                if not tunes_gpu(target) or indices == [0]:
                    raise
                return _apart(indices, check)
            wrong = set(programs.differing(output, indices))
            return {index: None if index in wrong else _samples(result, index) for index in indices}

        samples = check(every)
        hopeful = _hopeful(samples)
        if hopeful:
            program = programs.link_program(batch, hopeful, target, folder, checking=False)
            timed, _ = run(program, ["--runs", str(rounds), "--warmup", "2", "--profile", *programs.OPTIONS])
            samples.update((index, _samples(timed, index)) for index in hopeful)
        return [samples[index] for index in every]

    return measure


def check_outputs(
    run: RunProgram, trial: LayerOnTrial, schedules: Sequence[Schedule], target: Target, folder: Path
) -> list[bool]:
    """Whether each candidate's output is the interpreter's."""
    batch, every = build.compile_batch(trial, schedules, target), list(range(len(schedules)))
    _, output = run(build.link_program(batch, every, target, folder, checking=True), ["--runs", "1", "--warmup", "0"])
    wrong = set(build.differing(output, every))
    return [index not in wrong for index in every]


def tunes_gpu(target: Target) -> bool:
    """Whether a target's kernels for a GPU are tuned, and not those for its processor."""
    return target.gpu == "opencl"


def _apart(indices: list[int], check: Callable[[list[int]], dict[int, Samples | None]]) -> dict[int, Samples | None]:
    """`check` by halves, after it failed with all: a driver may refuse the group or the registers of one candidate. One
    that fails alone is infinitely slow."""
    if len(indices) == 1:
        return {indices[0]: (float("inf"),)}
    half = len(indices) // 2
    return check(indices[:half]) | check(indices[half:])


def _samples(result: BenchResult, index: int) -> Samples:
    found = next((layer for layer in result.layers if layer.name == candidate_name(index)), None)
    if found is None or not found.samples_ms:
        raise UserError(f"edgedeblur-bench printed no times of {candidate_name(index)}")
    return found.samples_ms


def _hopeful(samples: dict[int, Samples | None]) -> list[int]:
    times = {index: min(own) for index, own in samples.items() if own is not None}
    limit = HOPELESS * min(times.values(), default=0.0)
    return [index for index, time in times.items() if time <= limit or index == 0]

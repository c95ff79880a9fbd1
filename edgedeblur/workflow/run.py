"""`edgedeblur run`: distil, quantise, compile, evaluate, bench in one work directory, resuming where it stopped."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.target import Target, database_name, load_target, shipped_database
from edgedeblur.bench.measure import BenchOptions
from edgedeblur.data.pairs import PairInMemory
from edgedeblur.distill.distillation import DistillOptions, distill, wanted_network
from edgedeblur.estimate.mca import find_mca
from edgedeblur.progress import Progress
from edgedeblur.quantize.pipeline import QuantiseOptions
from edgedeblur.report.before_after import write_before_after
from edgedeblur.report.schema import Report, read_report, write_report
from edgedeblur.restore.evaluation.evaluate import Evaluation
from edgedeblur.restore.open import Restorer
from edgedeblur.runtime.program import NoRunner, target_runner
from edgedeblur.sizes import check_sides
from edgedeblur.storage.digests import stamp
from edgedeblur.student import StudentSpec
from edgedeblur.student.model_file import student_config
from edgedeblur.training.saved_state import path_to_resume, state_path
from edgedeblur.training.state import OtherRunError
from edgedeblur.workflow.bench import bench_step
from edgedeblur.workflow.compile import compile_step
from edgedeblur.workflow.distill import held_back_pairs
from edgedeblur.workflow.evaluate import evaluate_step
from edgedeblur.workflow.quantize import quantise_step
from edgedeblur.workflow.resume import Step, run_steps
from edgedeblur.workflow.workdir import WorkDir


@dataclass(frozen=True)
class RunOptions:
    """How to run the whole pipeline.

    distill: teacher, tier, data, budget and seed of the distillation; its output is the work directory's student.
    calibration: folder of blurred images or pairs; None: the default photographs. quantise: how it is quantised.
    target: name or TOML file. size: (height, width) of the artefact's images. threads: None for the target's number.
    """

    distill: DistillOptions
    calibration: Path | None
    quantise: QuantiseOptions
    target: str
    size: tuple[int, int]
    threads: int | None


@dataclass(frozen=True)
class Reporting:
    """How a run reports progress: lines of text, steps of fine-tuning and evaluated pairs, training's console, and the
    names of the finished steps."""

    log: Callable[[str], None]
    progress: Progress
    console: Console
    finished: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stages:
    """What the steps call; a test hands in others."""

    distill: Callable[..., object] = distill
    held_back_pairs: Callable[..., list[PairInMemory]] = held_back_pairs
    quantise: Callable[..., object] = quantise_step
    compile: Callable[..., object] = compile_step
    evaluate: Callable[..., tuple] = evaluate_step
    bench: Callable[..., object] = bench_step


def run_all(options: RunOptions, workdir: WorkDir, reporting: Reporting, stages: Stages | None = None) -> Report:
    """Every step that is not finished, in order; the report of the last.

    Args:
        stages: None for this package's own.

    Raises:
        UserError: a size that the student does not take; whatever a step raises; the steps before it stay finished.
    """
    spec = wanted_network(options.distill).spec
    check_sides(*options.size, spec.multiple)
    way = _Way(options, workdir, reporting, load_target(options.target), spec, stages or Stages())
    run_steps(workdir.root, steps(way), reporting.log, reporting.finished)
    report = read_report(workdir.target_report(load_target(options.target).name))
    write_report(report, workdir.report)  # which may be another target's where this one's bench was finished before
    return report


def steps(way: "_Way") -> list[Step]:
    """The steps with what each depends on and makes."""
    return [_distill(way), _quantize(way), _compile(way), _evaluate(way), _bench(way)]


@dataclass(frozen=True)
class _Way:
    """What every step is made from."""

    options: RunOptions
    workdir: WorkDir
    reporting: Reporting
    target: Target
    spec: StudentSpec
    stages: Stages


def _distill(way: _Way) -> Step:
    options = way.options.distill
    weights = options.teacher_options.get("weights")
    inputs = [options.teacher, *filter(None, [options.init, options.recipe, weights and Path(weights)])]

    def run(begun: bool) -> None:
        _run_distillation(way.stages.distill, options, begun, way.reporting.console)

    key = _distillation_key(options)
    if options.student is not None:
        key["student"] = student_config(way.spec)
    return Step("distill", key, inputs, [way.workdir.student], run)


def _quantize(way: _Way) -> Step:
    work, calibration, recipe = way.workdir, way.options.calibration, way.options.quantise
    key = {"options": asdict(recipe), "calibration": stamp(calibration)}

    def run(begun: bool) -> None:
        way.stages.quantise(
            work.student, calibration, work.quantised, recipe, way.reporting.log, way.reporting.progress
        )

    return Step("quantize", key, [work.student], [work.quantised], run)


def _compile(way: _Way) -> Step:
    work, options = way.workdir, way.options
    key = {"target": _target_key(way.target), "size": options.size}

    def run(begun: bool) -> None:
        way.stages.compile(work.quantised, options.target, options.size, work, way.reporting.log)

    databases = [work.tuned(database_name(way.target)), shipped_database(way.target)]
    return Step("compile", key, [work.quantised, *databases], [work.artefact(way.target.name)], run)


def _evaluate(way: _Way) -> Step:
    work, options = way.workdir, way.options.distill
    models = [options.teacher, work.student, work.quantised]
    key = {"data": _stamps(options.data), "validation": _stamps(options.validation), "seed": options.seed}

    def run(begun: bool) -> None:
        pairs, progress = way.stages.held_back_pairs(options), way.reporting.progress
        evaluation, restorers = way.stages.evaluate(pairs, models, work.evaluation, progress, **options.teacher_options)
        _draw_before_after(evaluation, pairs, restorers[-1], work.before_after)

    return Step("evaluate", key, models, [work.evaluation, work.before_after], run)


def _bench(way: _Way) -> Step:
    work, options = way.workdir, BenchOptions(threads=way.options.threads)
    artefact = work.artefact(way.target.name)

    def run(begun: bool) -> None:
        way.stages.bench(artefact, options, work, way.reporting.log)

    key = asdict(options) | ({} if runs_here(way.target.isa) else {"tools": _bench_tools(way.target)})
    return Step("bench", key, [artefact, work.evaluation], [work.target_report(way.target.name)], run)


def _bench_tools(target: Target) -> list[bool]:
    """Whether simulator and llvm-mca are there: with one more of them `bench` finds out more."""
    try:
        return [bool(target_runner(target)), find_mca() is not None]
    except NoRunner:
        return [False, find_mca() is not None]


def _run_distillation(distill: Callable[..., object], options: DistillOptions, begun: bool, console: Console) -> None:
    """Distil, going on from the saved state where the same distillation was broken off after saving one."""
    resume = begun and path_to_resume(options.output).exists()
    try:
        distill(replace(options, resume=resume), console)
    except OtherRunError:
        if state_path(options.output).exists():
            raise
        distill(replace(options, resume=False), console)  # what was there is of a finished run with other options


def _distillation_key(options: DistillOptions) -> dict:
    """What the student depends on besides teacher, initial student and recipe, which are inputs."""
    left_out = ("output", "teacher", "init", "student", "recipe", "resume", "tensorboard", "threads")
    values = {name: value for name, value in asdict(options).items() if name not in left_out}
    folders = {"data": _stamps(options.data), "validation": _stamps(options.validation)}
    return values | folders | {"shake": stamp(options.shake)}


def _target_key(target: Target) -> dict:
    """What the artefact depends on: of cores that were detected only their number, since clocks drift."""
    values = asdict(target)
    if target.detected:
        values["clusters"] = sum(cluster.count for cluster in target.clusters)
    return values


def _stamps(sources: Sequence[str]) -> list[list[str | None]]:
    """Each `FOLDER` or `KIND:FOLDER` with the stamp of its folder."""
    return [[text, stamp(Path(text.rpartition(":")[2]))] for text in sources]


def _draw_before_after(evaluation: Evaluation, pairs: list[PairInMemory], int8: Restorer, destination: Path) -> None:
    """Of the pair with the median gain of the int8 network, so not cherry-picked."""
    gains = [scores.models[-1].psnr_db - scores.blurred.psnr_db for scores in evaluation.pairs]
    middle = sorted(range(len(gains)), key=gains.__getitem__)[len(gains) // 2]
    pair, scores = pairs[middle], evaluation.pairs[middle]
    images = [
        (f"blurred, {scores.blurred.psnr_db:.2f} dB", pair.blur),
        (f"int8 student, {scores.models[-1].psnr_db:.2f} dB", int8.restore(pair.blur)),
        ("sharp", pair.sharp),
    ]
    write_before_after(images, destination)

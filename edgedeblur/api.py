"""The arrows of the pipeline as functions, for `import edgedeblur as ed`.

Each function does what the command of its name does, with the same files and the same work directory, and prints
nothing. Paths may be strings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgedeblur.errors import UserError
from edgedeblur.progress import Log, Progress, silent, unheard
from edgedeblur.workflow.workdir import DEFAULT, WorkDir

if TYPE_CHECKING:
    from rich.console import Console

    from edgedeblur.artefact.folder import ArtefactInfo
    from edgedeblur.quantize.network import QuantisedNetwork
    from edgedeblur.report.schema import Report

PathLike = str | Path


def distill_student(
    output: PathLike | None = None,
    *,
    teacher: PathLike | None = None,
    tier: Literal["nano", "small", "large"] = "small",
    student: PathLike | None = None,
    init: PathLike | None = None,
    data: Sequence[PathLike] = (),
    validation: Sequence[PathLike] = (),
    workdir: PathLike = DEFAULT,
    console: "Console | None" = None,
    **options: Any,
) -> Path:
    """Distil a student from a teacher, as `edgedeblur distill`.

    Args:
        output: the student's file; None: student.safetensors in the work directory.
        teacher: a generator's file or "package.module:callable"; None: the work directory's, else the shipped one.
        tier: of the student; all have fewer than 5 million parameters.
        student: another network in place of a tier: a TOML file or "package.module:callable" (docs/own-student.md).
        init: "shipped", "none" (fresh weights) or a student's file to start from; None: shipped for a tier, else none.
        data: folders of photographs, pairs or frames ("pairs:FOLDER"); none: the photographs inside scikit-image.
        validation: folders of pairs to measure on; none: a part of the data is held back.
        workdir: where other commands leave their files.
        console: a rich console that is told of the progress; None: silent.
        options: other fields of `edgedeblur.distill.distillation.DistillOptions`: minutes or steps (without either,
            2 minutes), batch (crops), crop (pixels), rate, seed, device, precision, recipe, gates, resume and others.

    Returns:
        The student's file: float32 weights in safetensors, with the facts of the run.

    Raises:
        UserError: bad options, recipe, teacher or data; another process writes the file, or a run that was
            interrupted can be resumed (resume=True).

    Example:
        >>> given = {"teacher": "teacher.safetensors", "data": ["photos"], "validation": ["pairs"]}
        >>> ed.distill_student("student.safetensors", tier="nano", **given, steps=1, batch=1, crop=32)
        PosixPath('student.safetensors')
    """
    from edgedeblur.distill.distillation import distill
    from edgedeblur.workflow.distill import distill_options

    given = {**options, "data": tuple(map(str, data)), "validation": tuple(map(str, validation))}
    for name in ("recipe", "shake"):
        given[name] = _path(given.get(name))
    place = WorkDir(Path(workdir))
    given["student"] = None if student is None else str(student)
    start = None if init is None else str(init)
    settings = distill_options(place, _path(teacher), tier, start, _path(output), **given)
    with place.lock(settings.output):
        return distill(settings, console)


def quantize_student(
    student: PathLike | None = None,
    output: PathLike | None = None,
    calibration: PathLike | None = None,
    *,
    weights: PathLike | None = None,
    observer: Literal["auto", "mse", "min-max", "percentile"] = "auto",
    percentile: float = 99.99,
    bias_correction: bool = True,
    finetune_steps: int = 200,
    finetune_data: Sequence[PathLike] = (),
    recipe: PathLike | None = None,
    winograd_form: bool = False,
    seed: int = 0,
    workdir: PathLike = DEFAULT,
    log: Log = unheard,
    progress: Progress = silent,
) -> "QuantisedNetwork":
    """Make the int8 network of a student and write it, as `edgedeblur quantize`.

    Args:
        student: its file, an .onnx file, or "package.module:callable"; None: student.safetensors in the work directory.
        output: the .edq file; None: quantised.edq in the work directory.
        calibration: a folder of blurred images or of pairs, at least 16x16 pixels; None: the default photographs.
        weights: file with the weights of a module or of a TOML file.
        observer: how an activation's range follows from what calibration saw; "auto": whichever is nearest to it.
        percentile: in percent, for the observer of that name.
        bias_correction: take the mean error of each channel out through its bias.
        finetune_steps: updates of weights and scales with their rounding in place; 0: none.
        finetune_data: what they look at, as `data` of `distill_student`; none: the calibration pictures.
        recipe: a TOML file as distillation's, of the blur and shares of finetune_data.
        winograd_form: let layers read their input in 7 bits where that adds little noise, for a third fewer products.
        seed: the same seed gives the same bytes.
        workdir: where other commands leave their files.
        log: called with a line about each decision.
        progress: called with (what, done, total or None).

    Returns:
        The network as data: int8 weights [out, kernel, kernel, in], int32 biases, float32 scales, and zero points.

    Raises:
        UserError: no student or images, bad options, or a student that cannot be quantised.

    Example:
        >>> network = ed.quantize_student("student.safetensors", "student.edq", "pairs", finetune_steps=0)
        >>> network.layers[0].weight.dtype
        dtype('int8')
    """
    from edgedeblur.distill.named_student import trained_student
    from edgedeblur.quantize.pipeline import QuantiseOptions
    from edgedeblur.workflow.quantize import FinetuneData, quantise_step

    place = WorkDir(Path(workdir))
    settings = QuantiseOptions(
        observer,
        percentile,
        bias_correction=bias_correction,
        finetune_steps=finetune_steps,
        seed=seed,
        winograd_form=winograd_form,
    )
    named, destination = _path(student) or place.need_student(None), _path(output) or place.quantised
    source = trained_student(named, _path(weights))
    shown = FinetuneData(tuple(map(str, finetune_data)), _path(recipe)) if finetune_data else None
    with place.lock(destination):
        return quantise_step(source, _path(calibration), destination, settings, log, progress, shown)


def compile_network(
    network: PathLike | None = None,
    output: PathLike | None = None,
    *,
    target: str = "host",
    size: tuple[int, int] = (512, 512),
    more_sizes: Sequence[tuple[int, int]] = (),
    threads: int | None = None,
    tuned: bool = True,
    database: PathLike | None = None,
    workdir: PathLike = DEFAULT,
    log: Log = unheard,
) -> "ArtefactInfo":
    """Compile a quantised network to an artefact, as `edgedeblur compile`.

    Args:
        network: an .edq file; None: quantised.edq in the work directory.
        output: the artefact's folder; one that is there is replaced. None: artefact-<target> in the work directory.
        target: "host", "android", another name from `edgedeblur targets`, or a TOML file.
        size: (height, width) of the images in pixels, multiples of 16.
        more_sizes: of camera frames that the artefact restores in one piece too, with the same weights.
        threads: 1 to 64, for callers of the artefact that name no number; None: the target's.
        tuned: use tuned schedules where there are any.
        database: of tuned schedules; None: the work directory's, then the shipped one.
        workdir: where other commands leave their files.
        log: called with each step, one line at a time.

    Returns:
        The checked artefact: `path`, `manifest`, `target`, `height`, `width`, `bytes`.

    Raises:
        UserError: no network or target, a size that the network cannot take, a folder that is not an artefact in the
            way, a tool that is missing or fails.

    Example:
        >>> artefact = ed.compile_network("student.edq", "artefact-small", size=(32, 48))
        >>> artefact.height, artefact.width
        (32, 48)
    """
    from edgedeblur.artefact.target import MAX_THREADS
    from edgedeblur.workflow.compile import compile_step

    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UserError(f"threads = {threads}; allowed are 1 to {MAX_THREADS}", exit_code=2)
    place, folder = WorkDir(Path(workdir)), _path(output)
    source = place.need_quantised(_path(network))
    with place.lock(folder):
        return compile_step(source, target, size, place, log, _path(database), tuned, threads, folder, None, more_sizes)


def bench_artefact(
    artefact: PathLike | None = None,
    *,
    target: str | None = None,
    runs: int = 100,
    warmup: int = 10,
    min_seconds: float | None = None,
    threads: int | None = None,
    profile: bool = True,
    against: Sequence[str] = (),
    estimate: bool = False,
    workdir: PathLike = DEFAULT,
    log: Log = unheard,
) -> "Report":
    """Measure an artefact on this machine, as `edgedeblur bench`; for another processor, in its simulator.

    Writes report.json and report-<target>.json in the work directory.

    Args:
        artefact: its folder; None: the work directory's for `target`, or the one compiled last.
        target: name of a target, where no artefact is given.
        runs: timed runs, at least 50. warmup: runs before them.
        min_seconds: measure for at least so long, in seconds; None: only as long as the runs take.
        threads: None: the artefact's number.
        profile: time every layer too.
        against: other runtimes to time in the same session: "onnxruntime", "litert", "onnxruntime-float32".
        estimate: estimate the latency from the machine code too.
        workdir: where other commands leave their files.
        log: called with each step, one line at a time.

    Returns:
        The report; units are in the names (`latency_ms.p90` in milliseconds, `memory_mb.peak_rss` in megabytes). Times
        are None in a simulation. The verdict is in `budget`.

    Raises:
        UserError: no artefact, bad options, nothing that runs it here, or output that is not the integer interpreter's.

    Example:
        >>> report = ed.bench_artefact("artefact", runs=50)
        >>> report.provenance, report.latency_ms.p50 <= report.latency_ms.p90
        ('measured', True)
    """
    from edgedeblur.bench.measure import BenchOptions
    from edgedeblur.workflow.bench import bench_step

    place = WorkDir(Path(workdir))
    options = BenchOptions(runs, warmup, threads, profile, tuple(against), min_seconds, estimate=estimate)
    return bench_step(place.need_artefact(_path(artefact), target), options, place, log)


def _path(given: PathLike | None) -> Path | None:
    return None if given is None else Path(given)

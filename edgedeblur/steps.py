"""The arrows of DESIGN.md from file to file: what the commands and `run` both call."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.bench.measure import BenchOptions, bench
from edgedeblur.bench.quality import recorded_quality
from edgedeblur.bench.report import Report, write_report
from edgedeblur.checkpoints import load_student
from edgedeblur.compile.artefact import ArtefactInfo, compile_network, load_artefact
from edgedeblur.compile.target import Target, database_name, load_target
from edgedeblur.data.blur import BlurRecipe
from edgedeblur.data.contact_sheet import write_contact_sheet
from edgedeblur.data.synth import EVERY_MODEL, SynthOptions, write_pairs
from edgedeblur.data.training_data import open_training_data
from edgedeblur.digests import digest
from edgedeblur.distill.distillation import DEFAULT_RECIPE, DistillOptions
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.errors import UserError
from edgedeblur.files import require_writable, write_json
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.calibration_notes import calibration_notes
from edgedeblur.quantize.calibration_set import calibration_images, held_back_images
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import QuantiseQuality, measure_quality
from edgedeblur.restore.evaluate import Evaluation, Pair, PairInMemory, evaluate, evaluation_json
from edgedeblur.restore.open import Restorer, open_model
from edgedeblur.shipped import shipped_student, shipped_teacher
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.storage.records import read_record
from edgedeblur.train.recipe import read_recipe
from edgedeblur.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.compile.tuned import Database
    from edgedeblur.tune.devices import Device
    from edgedeblur.tune.tuning import TuneOptions, Tuning

Log = Callable[[str], None]

DEFAULT_MINUTES = 2.0


def distill_options(
    workdir: WorkDir, teacher: Path | None, tier: str, init: str, output: Path | None = None, **given
) -> DistillOptions:
    """Options of a distillation with what the user left out filled in.

    Args:
        teacher: None: the default teacher.
        init: "shipped", "none" or a student's file.
        output: None: the work directory's student.
        given: fields of DistillOptions. Without an end, two minutes.

    Raises:
        UserError: no such file.
    """
    if given.get("steps") is None and given.get("minutes") is None:
        given["minutes"] = DEFAULT_MINUTES
    return DistillOptions(
        output=output or workdir.student,
        teacher=teacher or default_teacher(workdir),
        tier=tier,
        init=_initial_student(init, tier),
        **given,
    )


def default_teacher(workdir: WorkDir) -> Path:
    """The work directory's own, from `train`, else the shipped one."""
    return workdir.teacher if workdir.teacher.exists() else shipped_teacher()


def _initial_student(init: str, tier: str) -> Path | None:
    if init == "none":
        return None
    return shipped_student(tier) if init == "shipped" else Path(init)


def held_back_pairs(options: DistillOptions) -> list[PairInMemory]:
    """The pairs that a distillation with these options is measured on and does not learn from."""
    recipe = read_recipe(options.recipe or DEFAULT_RECIPE, DistillRecipe)
    data = open_training_data(
        options.data, options.validation, recipe.blur, vars(recipe.shares), options.seed, options.shake
    )
    return [PairInMemory(pair.group, str(index), pair.blur, pair.sharp) for index, pair in enumerate(data.validation)]


def quantise_step(
    student: Path,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    log: Log,
    progress: Progress = silent,
) -> QuantisedNetwork:
    """student.safetensors and calibration images to an `.edq` file.

    Args:
        calibration: a folder of blurred images or of pairs; None: the default photographs, blurred with the seed.

    Raises:
        UserError: no student, no images, or a student that cannot be quantised.
    """
    network, metadata = load_student(student)
    images, described = calibration_images(calibration, options.seed)
    require_writable(output)
    log(f"quantising {student} with {len(images)} calibration images ({described})")
    provenance = {
        "student_sha256": digest(student),
        "teacher": _teacher_name(metadata),
        "calibration": described,
        "seed": options.seed,
    }
    for note in [] if calibration is None else calibration_notes(images):
        log(f"note: {note}")
    quantised = quantise_student(network, images, options, provenance, progress=progress, log=log)
    save_edq(quantised, output)
    return quantised


def int8_cost(
    student: Path, network: QuantisedNetwork, calibration: Path | None, seed: int, progress: Progress = silent
) -> tuple[QuantiseQuality, str]:
    """What int8 costs on pictures that calibration did not see, and which these are.

    Args:
        calibration, seed: as the network was quantised with.

    Raises:
        UserError: no student, or pictures that cannot be read.
    """
    held_back, (loaded, _) = held_back_images(calibration, seed), load_student(student)
    quality = measure_quality(network, loaded, held_back.blurred, held_back.sharp, progress)
    return quality, held_back.described


def compile_step(
    network: Path,
    target: str,
    size: tuple[int, int],
    workdir: WorkDir,
    log: Log,
    database: Path | None = None,
    tuned: bool = True,
    threads: int | None = None,
    output: Path | None = None,
) -> ArtefactInfo:
    """`.edq` to `artefact-<target>/` in the work directory, or to another folder.

    Args:
        database: of tuned schedules; None for the work directory's. The shipped one is asked after it.
        tuned: whether to use any.
        threads: where the artefact's caller does not say; None for the target's. output: None for the work directory's.

    Raises:
        UserError: no network or target, a size that does not fit, a missing or failing tool, a missing or bad database.
    """
    described, loaded = load_target(target), load_edq(network)
    described = replace(described, threads=threads or described.threads)
    if database is not None and not database.exists():
        raise UserError(f"no {database}", f"make it with: edgedeblur tune --database {database}")

    def databases(one: Target) -> "list[Database]":
        from edgedeblur.compile.choose import databases_for  # loads TVM

        return databases_for(one, database or workdir.tuned(database_name(one))) if tuned else []

    return compile_network(loaded, described, *size, output or workdir.artefact(described.name), log, databases)


def tune_step(
    network: Path,
    target: str,
    size: tuple[int, int],
    threads: int | None,
    serial: str | None,
    database: Path | None,
    options: "TuneOptions",
    workdir: WorkDir,
    log: Log,
    progress: Callable[[str, int, int | None], None],
) -> "tuple[Path, Tuning]":
    """Schedules for the layers of an `.edq` into a database of tuned schedules; its path and what was found.

    Args:
        threads: None for the target's number. serial: of the phone that measures, "" for the only one; None for none.
        database: None for the work directory's.

    Raises:
        UserError: no network, no such target, size or layer, nothing that measures for the target here.
    """
    from edgedeblur.tune.tuning import tune

    described, loaded = load_target(target), load_edq(network)
    described = replace(described, threads=threads or described.threads)
    path = database or workdir.tuned(database_name(described))
    return path, tune(loaded, described, size, _device(described, serial), path, options, log, progress)


def _device(target: Target, serial: str | None) -> "Device":
    """The phone, else this machine, else an estimate."""
    from edgedeblur.tune.devices import this_machine, times_here
    from edgedeblur.tune.estimate import estimating_device
    from edgedeblur.tune.phone import phone_device

    if serial is not None:
        return phone_device(serial or None, target)
    return this_machine() if times_here(target) else estimating_device(target)


def bench_step(artefact: Path, options: BenchOptions, workdir: WorkDir, log: Log) -> Report:
    """Artefact to `report.json`, and the same as `report-<target>.json`, which the next target does not replace.

    Raises:
        UserError: no artefact, nothing that runs it here, or output that is not the interpreter's.
    """
    info = load_artefact(artefact)
    report = bench(info, options, recorded_quality(workdir.evaluation, info.manifest["network_sha256"]), log)
    write_report(report, workdir.report, workdir.target_report(info.target.name))
    return report


def synth_step(
    output: Path,
    data: tuple[str, ...],
    recipe: Path | None,
    kinds: tuple[str, ...],
    count: int,
    size: tuple[int, int],
    seed: int,
    shake: Path | None,
    contact_sheet: Path | None,
    progress: Progress,
) -> list[dict]:
    """Photographs or frames to pairs in GoPro's layout, and a picture of them where asked for; the pairs' records.

    Args:
        recipe: TOML file with a [blur] table; None: every model equally often. The others: fields of SynthOptions.

    Raises:
        UserError: no such recipe or data, or a folder that holds other pairs.
    """
    blur = EVERY_MODEL if recipe is None else read_blur_table(recipe)
    records = write_pairs(SynthOptions(output, data, blur, kinds, count, size, seed, shake), progress)
    if contact_sheet is not None:
        write_contact_sheet(output, records, contact_sheet)
    return records


def read_blur_table(path: Path) -> BlurRecipe:
    """The [blur] table of a TOML file, whatever else is in it.

    Raises:
        UserError: no such file, no such table, or a key or value in it that is not allowed.
    """
    if not path.exists():
        raise UserError(f"no recipe {path}", "check the path")
    origin = Origin(f"recipe {path}", "docs/blur-synthesis.md lists the keys")
    table = read_toml(path, origin).get("blur")
    if table is None:
        raise origin.error("it has no table [blur]")
    return read_record(BlurRecipe, table, origin, "blur")


def models_to_evaluate(workdir: WorkDir, quantised: Path | None = None) -> list[Path]:
    """The default teacher, the work directory's student, and the quantised network given or the work directory's.

    Raises:
        UserError: there is neither a student nor a quantised network.
    """
    own = [path for path in (workdir.student, quantised or workdir.quantised) if path.exists()]
    if not own:
        raise UserError(f"no model in {workdir.root}", "make one with edgedeblur distill, or name one with --model")
    return [default_teacher(workdir), *own]


def evaluate_step(
    pairs: Sequence[Pair], models: Sequence[Path], output: Path, progress: Progress, **teacher_options
) -> tuple[Evaluation, list[Restorer]]:
    """Pairs and models to `evaluation.json`; also the opened models.

    Raises:
        UserError: a model or a pair that cannot be read.
    """
    restorers = [open_model(path, **teacher_options) for path in models]
    evaluation = evaluate(pairs, restorers, progress)
    write_json(output, evaluation_json(evaluation))
    return evaluation, restorers


def _teacher_name(metadata: dict) -> str | None:
    teacher = metadata.get("teacher")
    name = teacher.get("name") if isinstance(teacher, dict) else teacher
    return name if isinstance(name, str) else None

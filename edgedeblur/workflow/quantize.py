"""A student and calibration images to an `.edq` file, what that costs, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur.artefact.target import load_target
from edgedeblur.data.sources import Source
from edgedeblur.data.training_data import open_data
from edgedeblur.distill.named_student import TrainedStudent, trained_student
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.errors import UserError
from edgedeblur.progress import Log, Progress, silent
from edgedeblur.quantize.calibration_notes import calibration_notes
from edgedeblur.quantize.calibration_set import calibration_images, held_back_images
from edgedeblur.quantize.cost.bound import Bounded, quantise_within
from edgedeblur.quantize.cost.halves import Halves, try_halves
from edgedeblur.quantize.cost.sensitivity import PartCost, rank_layers
from edgedeblur.quantize.edq import save_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import Quantised, QuantiseOptions, quantise
from edgedeblur.quantize.quality import QuantiseQuality, measure_quality
from edgedeblur.storage.files import require_writable
from edgedeblur.student import Student
from edgedeblur.student.table import cost_sentence
from edgedeblur.training.recipe import RECIPES, read_recipe

ESTIMATED_ON = "android"  # a target with an [estimate] table
_ESTIMATED_SIZE = (512, 512)
_FINETUNE_RECIPE = RECIPES / "student-gated-wide.toml"


@dataclass(frozen=True)
class Asked:
    """What is wanted beside the network.

    sensitivity: rank the layers. halves: how many random halves of the calibration pictures to quantise from.
    max_drop_db: quantise until int8 costs no more than that, by at most `longest` steps of fine-tuning (None: as many
        as there are rungs for).
    """

    sensitivity: bool = False
    halves: int = 0
    max_drop_db: float | None = None
    longest: int | None = None


@dataclass(frozen=True)
class Outcome:
    """quality: of the network on held-back pictures, which `held_back` describes. The others where asked for; costs
    also where the bound of max_drop_db was not kept; int16_cost where it took int16 activations."""

    network: QuantisedNetwork
    quality: QuantiseQuality
    held_back: str
    costs: list[PartCost] | None
    halves: Halves | None
    bounded: Bounded | None
    int16_cost: "Int16Cost | None" = None


@dataclass(frozen=True)
class Int16Cost:
    """What int16 activations cost, estimated on a target's big cores: int8_ms, int16_ms: of the layers that write or
    read them, without and with them, for images of `size`. unknown: why nothing is estimated; the times are then None.
    """

    target: str
    size: tuple[int, int]
    layers: int
    int8_ms: float | None
    int16_ms: float | None
    unknown: str = ""

    @property
    def sentence(self) -> str:
        if self.unknown:
            return f"what int16 activations cost in milliseconds is not estimated: {self.unknown}"
        return (
            f"int16 activations cost {self.int16_ms - self.int8_ms:.2f} ms, estimated on {self.target} at "
            f"{self.size[0]}x{self.size[1]}: the {self.layers} layers that write or read them take {self.int16_ms:.2f} "
            f"ms, {self.int8_ms:.2f} in int8"
        )


@dataclass(frozen=True)
class FinetuneData:
    """What fine-tuning looks at in place of the calibration pictures.

    data: as `distill --data` has it, one or more. recipe: a TOML file as distillation's, of which blur and shares are
    read; None: what the shipped students learned from last.
    """

    data: tuple[str, ...]
    recipe: Path | None = None


@dataclass(frozen=True)
class _Inputs:
    """What a network is made from, and where from. source: for fine-tuning; None: the images."""

    student: Student
    images: list[np.ndarray]
    provenance: dict[str, Any]
    source: Source | None


def quantise_step(
    student: Path | TrainedStudent,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    log: Log,
    progress: Progress = silent,
    finetune_data: FinetuneData | None = None,
) -> QuantisedNetwork:
    """A student and calibration images to an `.edq` file.

    Args:
        student: its file, or one that `trained_student` made of what the user named.
        calibration: a folder of blurred images or of pairs; None: the default photographs, blurred with the seed.

    Raises:
        UserError: no student, no images, or a student that cannot be quantised; data for fine-tuning that cannot be
            read, or without fine-tuning.
    """
    inputs = _inputs(student, calibration, output, options, log, finetune_data)
    made = _quantise(inputs, options, progress, log)
    save_edq(made.network, output)
    return made.network


def quantise_and_judge(
    student: Path | TrainedStudent,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    asked: Asked,
    log: Log,
    progress: Progress = silent,
    finetune_data: FinetuneData | None = None,
) -> Outcome:
    """The same, with what int8 costs on pictures that calibration did not see, and what else is asked for.

    The file is written before layers are ranked and halves tried, so that it is there if these are interrupted.

    Raises:
        UserError: as `quantise_step`; held-back pictures that cannot be read, or without sharp ones for a bound.
    """
    inputs = _inputs(student, calibration, output, options, log, finetune_data)
    held_back = held_back_images(calibration, options.seed)
    pictures = held_back.blurred, held_back.sharp
    bounded = None
    if asked.max_drop_db is not None:
        bounded = quantise_within(
            inputs.student, inputs.images, pictures, asked.max_drop_db, options, inputs.provenance, progress, log,
            asked.longest, inputs.source,
        )  # fmt: skip
    made = bounded.quantised if bounded else _quantise(inputs, options, progress, log)
    save_edq(made.network, output)
    quality = measure_quality(made.network, inputs.student, *pictures, progress)
    ranked = asked.sensitivity or (bounded is not None and not bounded.kept)
    costs = rank_layers(made.student, made.network, *pictures, progress) if ranked else None
    halves = None
    if asked.halves:
        halves = try_halves(inputs.student, made.network, inputs.images, pictures, options, asked.halves, progress)
    cost = estimate_int16(bounded.int8, made.network) if bounded is not None and bounded.int16_layers else None
    return Outcome(made.network, quality, held_back.described, costs, halves, bounded, cost)


def estimate_int16(int8: QuantisedNetwork, network: QuantisedNetwork) -> Int16Cost:
    """What the int16 activations of a network cost over the same one without them."""
    from edgedeblur.estimate.candidates import layers_ms  # loads TVM

    wide = set(network.int16_tensors)
    names = [layer.spec.name for layer in network.convolutions if wide & {layer.spec.name, *layer.spec.reads}]
    multiple = network.spec.multiple
    size = tuple(-(-side // multiple) * multiple for side in _ESTIMATED_SIZE)
    try:
        target = load_target(ESTIMATED_ON)
        times = [layers_ms(one, names, size, target) for one in (int8, network)]
    except UserError as error:
        return Int16Cost(ESTIMATED_ON, size, len(names), None, None, error.message)
    return Int16Cost(ESTIMATED_ON, size, len(names), *times)


def _inputs(
    student: Path | TrainedStudent,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    log: Log,
    finetune_data: FinetuneData | None,
) -> _Inputs:
    given = student if isinstance(student, TrainedStudent) else trained_student(student)
    images, described = calibration_images(calibration, options.seed)
    source, shown = _finetune_source(finetune_data, options) if finetune_data is not None else (None, [])
    require_writable(output)
    log(f"quantising {given.name} with {len(images)} calibration images ({described})")
    log(f"student {given.student.spec.name}: {cost_sentence(given.student.spec, given.budget_gmac)}")
    for note in [] if calibration is None else calibration_notes(images):
        log(f"note: {note}")
    provenance = {
        "student_sha256": given.sha256,
        "teacher": _teacher_name(given.metadata),
        "calibration": described,
        "seed": options.seed,
    }
    if shown:
        log(f"fine-tuning looks at {', '.join(shown)}")
        provenance["finetune_data"] = shown
    return _Inputs(given.student, images, provenance, source)


def _finetune_source(wanted: FinetuneData, options: QuantiseOptions) -> tuple[Source, list[str]]:
    if not options.finetune_steps:
        told = f"{', '.join(wanted.data)} is for fine-tuning, of which there are 0 steps"
        raise UserError(told, "give --finetune-steps, or leave --finetune-data out", exit_code=2)
    recipe = read_recipe(wanted.recipe or _FINETUNE_RECIPE, DistillRecipe)
    return open_data(wanted.data, recipe.blur, vars(recipe.shares))


def _quantise(inputs: _Inputs, options: QuantiseOptions, progress: Progress, log: Log) -> Quantised:
    return quantise(inputs.student, inputs.images, options, inputs.provenance, progress, log, inputs.source)


def _teacher_name(metadata: dict) -> str | None:
    teacher = metadata.get("teacher")
    name = teacher.get("name") if isinstance(teacher, dict) else teacher
    return name if isinstance(name, str) else None

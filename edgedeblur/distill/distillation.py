"""Distillation of a student from a teacher: the run, from options to `student.safetensors`."""

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from edgedeblur.data.batches import Stock
from edgedeblur.data.training_data import TrainingData, open_training_data
from edgedeblur.distill.before import decide_teaching, measure_before
from edgedeblur.distill.features import FeatureProjection
from edgedeblur.distill.initial import initialise_from, widened
from edgedeblur.distill.named_student import NamedNetwork, initial_weights, named_network
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.distill.step import distill_step, look_at_teacher
from edgedeblur.errors import UserError
from edgedeblur.generators.generator import Generator
from edgedeblur.generators.load import load_generator
from edgedeblur.student import Student, StudentSpec, build_student, student_spec
from edgedeblur.student.model_file import save_student, student_config
from edgedeblur.student.table import cost_sentence, is_tier
from edgedeblur.training.device import Compute, choose_compute
from edgedeblur.training.recipe import RECIPES, read_recipe
from edgedeblur.training.recipe_table import to_table
from edgedeblur.training.saved_state import mark_finished
from edgedeblur.training.session import SessionOptions, check_output, fitting_of, new_optimiser, run_session
from edgedeblur.training.state import TrainingState
from edgedeblur.training.validation import RestoreImage, mean_psnr, restore_image

_STATISTICS_CROPS = 32
DEFAULT_RECIPE = RECIPES / "student.toml"


@dataclass(frozen=True, kw_only=True)
class DistillOptions(SessionOptions):
    """Options of `distill`.

    teacher: a generator's file, or package.module:callable. teacher_options: how to read it, keyword arguments of
        `load_generator`.
    tier: nano, small or large. student: another network in its place, as `named_network` takes it.
    recipe: a TOML file; None is the shipped `student.toml`.
    gates: a tier with gates, whatever the recipe says; another network has those that it has.
    """

    teacher: Path
    teacher_options: dict = field(default_factory=dict)
    tier: str = "small"
    student: str | None = None
    recipe: Path | None = None
    gates: bool = False


def distill(options: DistillOptions, console: Console | None = None) -> Path:
    """Distil a student and write its model file (float32 weights), with the facts of the run.

    1. read the recipe, find the student's layers, load the teacher, open the data; 2. build the student, measure
    whether the teacher is ahead of it, build projection and optimiser, or resume them; 3. run the loop; 4. measure
    blurred, teacher and student, and write.

    Raises:
        UserError: bad options, recipe, teacher or data; nothing to resume from; interrupted (resumable).
    """
    check_output(options)
    compute = choose_compute(options.device, options.precision)
    recipe = _recipe(options, compute.device)
    network = wanted_network(options, recipe)
    teacher = load_generator(options.teacher, **options.teacher_options).to(compute.device).requires_grad_(False)
    recipe, notes = _fitting_the_teacher(recipe, teacher)
    data = open_training_data(
        options.data, options.validation, recipe.blur, vars(recipe.shares), options.seed, options.shake
    )
    _require_sizes(teacher, recipe, data)
    student = _initial(options, network) if options.init is not None else _fresh(options, recipe, network, data)
    student = student.to(compute.device).train()
    before = measure_before(data.validation, teacher, student, student.spec.multiple, compute)
    recipe, seen = decide_teaching(recipe, before)
    state = _new_state(options, recipe, teacher, student, compute)
    if console is not None:
        notes = [*notes, *_plan(options, recipe, data, state), *seen]
        _introduce(console, replace(network, spec=student.spec), teacher, notes)
    step_function = distill_step(state, teacher, recipe, compute)
    restore = _restore(state, compute)
    result = run_session(options, "distilling", state, recipe.fitting, data, step_function, restore, console)
    written = _write(options, recipe, teacher, state, data, result, compute)
    mark_finished(options.output)
    return written


def _recipe(options: DistillOptions, device: torch.device) -> DistillRecipe:
    recipe = read_recipe(options.recipe or DEFAULT_RECIPE, DistillRecipe)
    fitting = fitting_of(options, recipe.fitting, device)
    if options.init is not None and options.rate is None:
        fitting = replace(fitting, rate=fitting.rate * recipe.tuning_rate)
    return replace(recipe, fitting=fitting, gates=recipe.gates or options.gates)


def _fitting_the_teacher(recipe: DistillRecipe, teacher: Generator) -> tuple[DistillRecipe, list[str]]:
    """The recipe without the loss on features where the teacher has none that can be watched, and a note of it."""
    if teacher.info.bottleneck is not None or recipe.losses.feature == 0:
        return recipe, []
    try:
        losses = replace(recipe.losses, feature=0.0)
    except ValueError as error:
        raise UserError(
            "the recipe has a loss on features only, and which module of the teacher has the deepest is not known",
            "name it with --bottleneck",
        ) from error
    note = "no loss on features: which module of the teacher has the deepest is not known (--bottleneck NAME)"
    return replace(recipe, losses=losses), [note]


def _require_sizes(teacher: Generator, recipe: DistillRecipe, data: TrainingData) -> None:
    """Says now, not after the run, that a teacher of fixed size cannot take a crop or a validation picture."""
    sizes = {(recipe.fitting.crop, recipe.fitting.crop), *(pair.blur.shape[:2] for pair in data.validation)}
    for height, width in sizes:
        teacher.padded_size(height, width)


def _introduce(console: Console, network: NamedNetwork, teacher: Generator, notes: list[str]) -> None:
    info, spec = teacher.info, network.spec
    gates = " with gates" if spec.gated else ""
    lines = [
        f"teacher {info.family} {info.variant}: {info.live_parameters:,} parameters; input {info.normalisation}",
        *(f"  {note}" for note in info.notes),
        f"student {spec.name}{gates}: {cost_sentence(spec, network.budget_gmac)}",
        *notes,
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _plan(options: DistillOptions, recipe: DistillRecipe, data: TrainingData, state: TrainingState) -> list[str]:
    """What the run will do, as it will really do it: the rate is read from the optimiser."""
    fitting, rates = recipe.fitting, sorted({group["base_rate"] for group in state.optimisers["student"].param_groups})
    source = "--rate" if options.rate is not None else Path(options.recipe or DEFAULT_RECIPE).name
    if options.rate is None and options.init is not None and recipe.tuning_rate != 1:
        source += f", times its tuning_rate {recipe.tuning_rate:g}"
    return [
        f"learning rate {rates[-1]:g} ({source}), the head's {rates[0]:g}; {fitting.optimiser}, "
        f"batches of {fitting.batch} crops of {fitting.crop}x{fitting.crop}",
        *(f"data: {part}" for part in data.described),
    ]


def _new_state(
    options: DistillOptions, recipe: DistillRecipe, teacher: Generator, student: Student, compute: Compute
) -> TrainingState:
    networks: dict[str, nn.Module] = {"student": student}
    head = list(student.conv(student.spec.layers[-1].name).parameters())
    parameters = [parameter for parameter in student.parameters() if all(parameter is not own for own in head)]
    if recipe.losses.feature > 0:
        channels = look_at_teacher(teacher, recipe.fitting.crop, compute)
        bottleneck = student.spec.channels()[student.spec.bottleneck]
        networks["projection"] = FeatureProjection(bottleneck, channels).to(compute.device)
        parameters += list(networks["projection"].parameters())
    fitting = recipe.fitting
    optimiser = new_optimiser(parameters, fitting, head, recipe.head_rate)
    identity = {
        "kind": "student",
        "tier": options.tier,
        "seed": options.seed,
        "data": list(options.data),
        "shake": str(options.shake) if options.shake else None,
        "teacher": teacher.digest(),
        "recipe": {key: value for key, value in to_table(recipe).items() if key != "gates"},
    }
    if options.student is not None:
        identity["network"] = student_config(student.spec)
    if student.spec.gated:  # not where there are none, so that states from before there were gates can go on
        identity["gates"] = True
    return TrainingState(
        networks, {"student": optimiser}, compute.scaler(), fitting.average, json.loads(json.dumps(identity))
    )


def _fresh(options: DistillOptions, recipe: DistillRecipe, network: NamedNetwork, data: TrainingData) -> Student:
    student = build_student(network.spec, options.seed)
    stock = Stock(data.source, options.seed, _STATISTICS_CROPS, recipe.fitting.crop)
    initialise_from(student, stock.batch(0)[0])
    return student


def _initial(options: DistillOptions, network: NamedNetwork) -> Student:
    found = initial_weights(options.init, options.student)
    spec = network.spec
    if options.student is None and found.spec.gated:
        spec = student_spec(options.tier, gates=True)
    if found.spec.layers != spec.layers:
        wider = widened(found, spec, options.seed)
        if wider is not None:
            return wider
        raise UserError(*_other_layers(options, found.spec, spec))
    student = build_student(spec, options.seed)
    student.load_state_dict(found.state_dict())
    return student


def _other_layers(options: DistillOptions, found: StudentSpec, wanted: StudentSpec) -> tuple[str, str]:
    """What is wrong with a student to start from, and how to continue with its own layers."""
    if is_tier(found):
        return (
            f"{options.init} is a student of tier {found.name}; asked for is {wanted.name}",
            f"add --tier {found.name}, or start from another student",
        )
    return (
        f"{options.init} is a student of other layers, {found.name}; asked for is {wanted.name}",
        f"continue with its layers: --student {options.init} --init {options.init}",
    )


def wanted_network(options: DistillOptions, recipe: DistillRecipe | None = None) -> NamedNetwork:
    """The layers that a distillation with these options is of; those of an initial student with gates have them too.

    Args:
        recipe: what `options` lead to; None: gates, which change neither sizes nor names, are left open.

    Raises:
        UserError: no such tier or student, or gates asked of a network that has none.
    """
    found = named_network(options.student, options.tier, recipe is not None and recipe.gates)
    if options.student is not None and options.gates and not found.spec.gated:
        raise UserError(f"--gates is for tiers; {options.student} has none", "write them into the network", exit_code=2)
    return found


def _restore(state: TrainingState, compute: Compute) -> RestoreImage:
    def network(tensor):
        with compute.autocast():
            return state.averaged(tensor)

    return lambda image: restore_image(network, image, state.main.spec.multiple, compute.device)


def _write(
    options: DistillOptions,
    recipe: DistillRecipe,
    teacher: Generator,
    state: TrainingState,
    data: TrainingData,
    result: dict[str, float],
    compute: Compute,
) -> Path:
    spec = state.main.spec
    psnr = {
        "blurred": mean_psnr(data.validation, lambda image: image),
        "teacher": mean_psnr(data.validation, lambda image: restore_image(teacher, image, 1, compute.device)),
        "student": result,
    }
    metadata = {
        "tier": spec.name,
        "parameters": spec.parameters,
        "gmac_512": round(spec.macs() / 1e9, 3),
        "teacher": {
            "name": Path(options.teacher).name,
            "family": teacher.info.family,
            "variant": teacher.info.variant,
            "options": teacher.info.options,
            "parameters": teacher.info.parameters,
            "sha256": teacher.digest(),
        },
        "init": options.init.name if options.init is not None else None,
        "recipe": to_table(recipe),
        "data": data.described,
        "seed": options.seed,
        "steps": state.step,
        "minutes": round(state.seconds / 60, 1),
        "psnr_db": psnr,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "torch": torch.__version__,
    }
    student = Student(spec)
    student.load_state_dict(state.averaged.state_dict())
    return save_student(options.output, student, json.loads(json.dumps(metadata, default=str)))

"""Options and arguments that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path

import click

from edgedeblur.cli.verbosity import say, say_detail
from edgedeblur.workflow.workdir import DEFAULT, WorkDir

PATH = click.Path(path_type=Path)
_RANGES = {"-1,1": (-1.0, 1.0), "0,1": (0.0, 1.0)}


class Size(click.ParamType):
    """HEIGHTxWIDTH, such as 512x512."""

    name = "HxW"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None):
        if isinstance(value, tuple):
            return value
        height, separator, width = str(value).lower().partition("x")
        if not (separator and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} is not a size; give height x width in pixels, such as 512x512", parameter, context)
        return int(height), int(width)


def _workdir(context: click.Context, parameter: click.Parameter, value: Path) -> WorkDir:
    if value.exists() and not value.is_dir():
        raise click.BadParameter(f"{value} is a file; give a folder, or a name for a new one", context, parameter)
    return WorkDir(value)


workdir = click.option(
    "--workdir",
    type=PATH,
    default=Path(DEFAULT),
    show_default=True,
    callback=_workdir,
    help="Where commands leave their outputs and find their inputs.",
)
size = click.option(
    "--size", type=Size(), default="512x512", show_default=True, help="Height x width, multiples of 16."
)
seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same result.")
database = click.option(
    "--database",
    type=PATH,
    help="The file of tuned schedules; default: tuned/<the target's cpu>.toml in the work directory.",
)
threads = click.option("--threads", type=click.IntRange(1, 64), help="Threads; default: the target's.")
calibration = click.option(
    "--calibration",
    type=PATH,
    help="Folder of blurred images or of pairs; default: the default photographs, blurred with the seed.",
)
finetune_steps = click.option(
    "--finetune-steps",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Updates of int8 weights and scales with their rounding in place, towards the float student; 0: none.",
)
target = click.option(
    "--target", default="host", show_default=True, help="A name from `edgedeblur targets`, or a TOML file of your own."
)
teacher = click.option(
    "--teacher",
    type=PATH,
    help="A generator's file, or package.module:callable; default: teacher.safetensors in the work directory, else "
    "shipped.",
)
tier = click.option("--tier", type=click.Choice(["nano", "small", "large"]), default="small", show_default=True)
init = click.option(
    "--init",
    metavar="shipped|none|FILE",
    help="The student to start from: the shipped one of the tier (its default), fresh weights (--student's default), "
    "or a file; small also for large.",
)
student = click.option(
    "--student",
    metavar="FILE|module:callable",
    help="A network of your own in place of a tier: a TOML file, an .onnx or student's file, or a torch module.",
)
data = click.option("--data", multiple=True, help="FOLDER, or photos:, pairs: or frames:FOLDER; may be repeated.")
shake = click.option(
    "--shake",
    type=PATH,
    help="Folder of a phone's angular rates (CSV) for recorded blur; default: a model fitted to such recordings.",
)
interpreter = click.option(
    "--interpreter",
    is_flag=True,
    help="Run .edq files by the integer interpreter (NumPy), the definition of their bytes, and by nothing faster.",
)
model = click.option(
    "-m",
    "--model",
    type=PATH,
    help="Teacher (or package.module:callable), student, .edq or artefact; default: the work directory's artefact, "
    "else its .edq, else its student, else a shipped network.",
)


_MINUTES = click.FloatRange(0, min_open=True)
_TRAINING = (
    data,
    shake,
    click.option("--validation", multiple=True, help="Folder of pairs to measure on; default: some of the data."),
    click.option("--steps", type=click.IntRange(1), help="Stop after this many steps ..."),
    click.option("--minutes", type=float, help="... or after this many minutes, whichever comes first."),
    click.option("--batch", type=click.IntRange(1), help="Pairs per step; default: the recipe's."),
    click.option("--crop", type=click.IntRange(32), help="Side of the crops in pixels; default: the recipe's."),
    click.option("--rate", type=float, help="Learning rate; default: the recipe's."),
    seed,
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        default="auto",
        show_default=True,
    ),
    click.option("--resume", is_flag=True, help="Go on from the state that an interrupted run saved."),
    click.option("--checkpoint-minutes", type=_MINUTES, default=5.0, show_default=True, help="Between saved states."),
    click.option("--validate-minutes", type=_MINUTES, default=10.0, show_default=True, help="Between validations."),
    click.option("--tensorboard/--no-tensorboard", default=None, help="Write curves; default: where it is installed."),
)
_TRAINING_NAMES = [
    "data",
    "shake",
    "validation",
    "steps",
    "minutes",
    "batch",
    "crop",
    "rate",
    "seed",
    "device",
    "precision",
    "resume",
    "checkpoint_minutes",
    "validate_minutes",
    "tensorboard",
]


def training(command: Callable) -> Callable:
    """What `train` and `distill` share; given to the command as one dict of their options' fields."""

    @functools.wraps(command)
    def collect(*args, **kwargs):
        given = {name: kwargs.pop(name) for name in _TRAINING_NAMES}
        return command(*args, training=given, **kwargs)

    for option in reversed(_TRAINING):
        collect = option(collect)
    return collect


_TEACHER = (
    click.option("--bn", type=click.Choice(["batch", "running", "mixed"]), help="DeblurGAN-v2: which statistics."),
    click.option("--learn-residual/--no-learn-residual", default=None, help="DeblurGAN v1: output added to the image."),
    click.option("--head-relu/--no-head-relu", default=None, help="DeblurGAN v1, newest revision: ReLU ends a block."),
    click.option("--accept-half", is_flag=True, default=None, help="Take weights stored in half precision."),
    click.option("--weights", help="File with the weights of a package.module:callable."),
    click.option(
        "--range", "value_range", type=click.Choice(list(_RANGES)), help="Own network: its pixels; default: -1,1."
    ),
    click.option("--multiple", type=click.IntRange(1), help="Own network: sides are multiples of this; default: 32."),
    click.option("--min-side", type=click.IntRange(1), help="Own network: the smallest side that it takes."),
    click.option("--bottleneck", help="Own network: name of the module with the deepest features, to distil them."),
    click.option("--trust-program", is_flag=True, default=None, help="Load a torch.export program: it can run code."),
)
_TEACHER_NAMES = ["bn", "learn_residual", "head_relu", "accept_half", "weights", "trust_program"]
_INTERFACE_NAMES = ["value_range", "multiple", "min_side", "bottleneck"]


def teacher_options(command: Callable) -> Callable:
    """How a teacher's file is to be read where it does not tell; given to the command as one dict."""

    @functools.wraps(command)
    def collect(*args, **kwargs):
        given = _given(kwargs, _TEACHER_NAMES)
        if interface := _given(kwargs, _INTERFACE_NAMES):
            from edgedeblur.generators.interface import Interface

            if "value_range" in interface:
                interface["value_range"] = _RANGES[interface["value_range"]]
            given["interface"] = Interface(**interface)
        return command(*args, teacher_options=given, **kwargs)

    for option in reversed(_TEACHER):
        collect = option(collect)
    return collect


def _given(values: dict, names: list[str]) -> dict:
    """Takes the named options out of `values`; those that the user gave."""
    taken = {name: values.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}


def of_quantised(workdir: WorkDir, interpreter: bool = False, compiles: bool = True) -> dict:
    """What `open_model` takes for .edq files, of commands that restore pictures.

    Args:
        compiles: whether the network is compiled where there is much to restore.
    """
    from edgedeblur.runtime.kept_artefacts import KeptArtefacts

    kept = KeptArtefacts(say, compiles)
    found = workdir.artefacts()
    return {"load_torch": True, "compiled": found, "kept": kept, "interpreter": interpreter, "log": say_detail}

"""`edgedeblur train`."""

from contextlib import nullcontext
from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.interruption import goes_on_where
from edgedeblur.cli.output import tell
from edgedeblur.workflow.workdir import WorkDir


@click.command("train", short_help="Adversarial training of a generator (the teacher).")
@click.option("-o", "--output", type=options.PATH, help="Default: teacher.safetensors in the work directory.")
@click.option(
    "--recipe",
    default="unet",
    show_default=True,
    metavar="NAME|FILE",
    help="deblurgan, deblurgan-v2 or unet, or a TOML file of network, losses and blur.",
)
@click.option(
    "--network",
    type=click.Choice(["unet", "resnet_9blocks", "resnet_6blocks", "fpn_mobilenet", "fpn_inception"]),
    help="Train this generator in place of the recipe's.",
)
@click.option("--vgg", type=options.PATH, help="torchvision's vgg19 weights, for the recipe's perceptual loss.")
@click.option("--encoder", type=options.PATH, help="ImageNet weights that DeblurGAN-v2's encoder starts from.")
@click.option("--init", type=options.PATH, help="Generator's file to start from, instead of fresh weights.")
@options.training
@options.workdir
def command(
    output: Path | None,
    recipe: str,
    network: str | None,
    vgg: Path | None,
    encoder: Path | None,
    init: Path | None,
    training: dict,
    workdir: WorkDir,
) -> None:
    """Train a generator adversarially: a teacher for `distill`.

    Without --data it trains on the few photographs inside scikit-image, which is enough to try it and not enough for
    a good teacher. The state is saved regularly; the same command with --resume resumes from it.

    On several GPUs: torchrun --nproc-per-node 4 -m edgedeblur.cli.main train ...; --batch is then per process.
    """
    from edgedeblur.cli.progress import training_console
    from edgedeblur.train.generator import TrainOptions, train_generator
    from edgedeblur.training.processes import launched_beside_the_first
    from edgedeblur.training.saved_state import path_to_resume, state_path

    chosen = {"recipe": recipe, "network": network, "vgg": vgg, "encoder": encoder, "init": init}
    settings = TrainOptions(output=output or workdir.teacher, **chosen, **training)
    goes_on_where(lambda: (path_to_resume if settings.resume else state_path)(settings.output).exists())
    with nullcontext() if launched_beside_the_first() else workdir.lock(settings.output):
        written = train_generator(settings, training_console())
    if written is not None:
        tell(written)

"""`edgedeblur train`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.workdir import WorkDir


@click.command("train", short_help="Adversarial training of a generator (the teacher).")
@click.option("-o", "--output", type=options.PATH, help="Default: teacher.safetensors in the work directory.")
@click.option("--recipe", type=options.PATH, help="TOML file of network, losses and blur; default: the shipped one.")
@click.option("--init", type=options.PATH, help="U-Net model file to start from, instead of fresh weights.")
@options.training
@options.workdir
def command(output: Path | None, recipe: Path | None, init: Path | None, training: dict, workdir: WorkDir) -> None:
    """Train a U-Net generator adversarially: a teacher for `distill`.

    Without --data it trains on the few photographs inside scikit-image, which is enough to try it and not enough for
    a good teacher. The state is saved as it goes: the same command with --resume goes on from there.
    """
    from edgedeblur.cli.progress import training_console
    from edgedeblur.train.generator import TrainOptions, train_generator

    settings = TrainOptions(output=output or workdir.teacher, recipe=recipe, init=init, **training)
    click.echo(train_generator(settings, training_console()))

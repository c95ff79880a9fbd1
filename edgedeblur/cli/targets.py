"""`edgedeblur targets`."""

import click

from edgedeblur.cli.output import show


@click.command("targets", short_help="List the targets that ship with edgedeblur.")
def command() -> None:
    """List the targets that ship with edgedeblur.

    `compile --target` also takes the path of a TOML file of your own, of the same form.
    """
    from edgedeblur.bench.tables import missing_simulators, targets_table
    from edgedeblur.compile.target import list_targets, load_target
    from edgedeblur.errors import UserError

    targets, missing = [], []
    for name in list_targets():
        try:
            targets.append(load_target(name))
        except UserError as error:  # `host` on a processor without kernels
            missing.append(f"{name}: {error.message}")
    show(targets_table(targets), *missing, *missing_simulators(targets))

"""`edgedeblur targets`."""

import click

from edgedeblur.cli.output import json_option, show_result


@click.command("targets", short_help="List the targets that ship with edgedeblur.")
@json_option
def command() -> None:
    """List the targets that ship with edgedeblur.

    `compile --target` also takes the path of a TOML file of your own, of the same form.
    """
    from edgedeblur.artefact.target import list_targets, load_target
    from edgedeblur.errors import UserError
    from edgedeblur.workflow.targets import missing_simulators, target_facts, targets_table

    targets, missing = [], []
    for name in list_targets():
        try:
            targets.append(load_target(name))
        except UserError as error:  # `host` on a processor without kernels
            missing.append(f"{name}: {error.message}")
    document = {"targets": [target_facts(target) for target in targets], "missing": missing}
    show_result(document, targets_table(targets), *missing, *missing_simulators(targets))

"""The options of `bench` that only a phone has."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from edgedeblur.device.cooldown import DEFAULT_C


@dataclass(frozen=True)
class PhoneChoice:
    """Which phones: serial "" for the only one. settings: fields of PhoneOptions that were given."""

    serial: str | None
    every: bool
    settings: dict

    @property
    def any(self) -> bool:
        return self.every or self.serial is not None


_OPTIONS = (
    click.option(
        "--adb",
        "serial",
        is_flag=False,
        flag_value="",
        metavar="[SERIAL]",
        help="Measure on a phone; without SERIAL the one of $ANDROID_SERIAL, else the only one attached.",
    ),
    click.option("--devices", type=click.Choice(["all"]), help="Measure on every attached phone, one after the other."),
    click.option("--cores", metavar="LIST", help="Phone: cores to run on, such as 4-7; default: the big ones."),
    click.option(
        "--cooldown",
        "cooldown_c",
        is_flag=False,
        flag_value=str(DEFAULT_C),
        type=float,
        metavar="[CELSIUS]",
        help=f"Phone: wait until its CPU is no hotter than this ({DEFAULT_C:g}) before measuring.",
    ),
    click.option(
        "--sustained",
        "sustained_minutes",
        type=float,
        metavar="MINUTES",
        help="Phone: then run back to back for this many minutes, watch clocks and temperatures, and judge throttling.",
    ),
    click.option(
        "--governor",
        is_flag=False,
        flag_value="",
        metavar="[LEVELS]",
        help="Phone: after --sustained as long again under the governor, to compare. LEVELS: what it may choose, such "
        "as 4,4@20,2@10: threads, and frames a second at most.",
    ),
    click.option(
        "--lighter",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="ARTEFACT",
        help="Phone: a smaller network's artefact for the same target and size, which the governor may choose too; in "
        "LEVELS 2: in front is the first, as in 4,4@20,2:4@20.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=float,
        metavar="SECONDS",
        help="Phone: give up when nothing is heard from it for this long; default 60.",
    ),
    click.option(
        "--adb-clean", "clean", is_flag=True, default=None, help="Phone: remove edgedeblur's files from it at the end."
    ),
)


def phone_options(command: Callable) -> Callable:
    """Adds the options; gives them to the command as one `phones: PhoneChoice`.

    The word after --adb is taken for its SERIAL; where it is an artefact's folder and no other was given, it is that.
    """

    @functools.wraps(command)
    def collect(*args, artefact: Path | None, serial: str | None, devices: str | None, **kwargs):
        names = ("cores", "cooldown_c", "sustained_minutes", "governor", "lighter", "timeout_s", "clean")
        given = {name: kwargs.pop(name) for name in names}
        settings = {name: value for name, value in given.items() if value not in (None, ())}
        if serial and artefact is None and (Path(serial) / "manifest.json").is_file():
            artefact, serial = Path(serial), ""
        if serial is not None and devices is not None:
            raise click.UsageError("--adb is one phone, --devices all is every one; give either")
        choice = PhoneChoice(serial, devices is not None, settings)
        if settings and not choice.any:
            raise click.UsageError(
                "--cores, --cooldown, --sustained, --governor, --lighter, --timeout and --adb-clean go with --adb or "
                "--devices all"
            )
        return command(*args, artefact=artefact, phones=choice, **kwargs)

    for option in reversed(_OPTIONS):
        collect = option(collect)
    return collect

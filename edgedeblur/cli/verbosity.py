"""How much a command says about its work: -q and -v, which every command has from here."""

import resource
import sys
import time

import click

import edgedeblur
from edgedeblur.cli.output import warn

_CHOSEN = "edgedeblur.verbosity"
_START = time.monotonic()


def add_options(command: click.Command) -> click.Command:
    """The command with -q and -v; the same one where it has them already."""
    if not any(parameter.name == "quiet" for parameter in command.params):
        command.params += [
            _option("-q", "--quiet", "Only results and errors: no progress, no notes."),
            _option("-v", "--verbose", "A line for every piece of work, and the time and memory at the end."),
        ]
    return command


def is_quiet() -> bool:
    return _chosen() == "quiet"


def is_verbose() -> bool:
    return _chosen() == "verbose"


def say(line: str) -> None:
    """One line about the work, on stderr, so that results on stdout can be piped; with the time under -v."""
    if not is_quiet():
        warn(f"[{time.monotonic() - _START:7.1f} s] {line}" if is_verbose() else line)


def say_detail(line: str) -> None:
    """As `say`, with -v only."""
    if is_verbose():
        say(line)


def say_what_it_took() -> None:
    """Under -v, at a command's end: time and memory of the process, and the versions a report of trouble needs."""
    if is_verbose():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # KiB on Linux
        cpu = time.process_time()
        say(
            f"edgedeblur {edgedeblur.__version__}, Python {sys.version.split()[0]}: {time.monotonic() - _START:.1f} s, "
            f"{cpu:.1f} s of CPU; peak memory {peak:,.0f} MB"
        )


def _option(short: str, long: str, described: str) -> click.Option:
    return click.Option([short, long], is_flag=True, expose_value=False, callback=_choose, help=described)


def _choose(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given and context.meta.setdefault(_CHOSEN, parameter.name) != parameter.name:
        raise click.UsageError("--quiet and --verbose contradict each other; give either", context)


def _chosen() -> str | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_CHOSEN)

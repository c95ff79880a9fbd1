"""The `edgedeblur` program: finds the command, and turns every failure into one message and an exit code."""

import contextlib
import errno
import importlib
import os
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

import edgedeblur
from edgedeblur import command_line
from edgedeblur.cli.interruption import interrupted_message
from edgedeblur.cli.output import plain, tell_error, warn
from edgedeblur.cli.verbosity import add_options, say_what_it_took
from edgedeblur.errors import INTERRUPTED, Terminated, UserError
from edgedeblur.storage.failures import describe
from edgedeblur.storage.places import settle_without_home

# In the order of the work, each the name of a module of edgedeblur.cli. A module is imported when its command is used,
# and it imports torch or TVM when it works, so that help and mistakes in the command line answer at once.
COMMANDS = (
    "run",
    "train",
    "distill",
    "quantize",
    "compile",
    "bench",
    "deblur",
    "view",
    "evaluate",
    "export",
    "inspect",
    "synth",
    "tune",
    "report",
    "targets",
    "doctor",
)


class Commands(click.Group):
    """Imports commands when they are used and reports every failure in one message."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return add_options(importlib.import_module(f"edgedeblur.cli.{name}").command)

    def resolve_command(self, context: click.Context, args: list[str]):
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            error.message = f"no command {args[0]!r}; there are {', '.join(COMMANDS)}"
            raise

    def main(self, args: Sequence[str] | None = None, *others, **named):
        words = sys.argv[1:] if args is None else args
        with command_line.running(words):
            return super().main(args, *others, **named)

    def make_context(self, *args, **kwargs) -> click.Context:
        with _plain_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, context: click.Context):
        with _noted_signals() as signals:
            try:
                os.getcwd()  # raises where the current folder is gone, of which torch's libraries end the process
                with _plain_usage_errors():
                    return super().invoke(context)
            except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise  # click prints its own usage errors, and ends quietly when the reader of a pipe has gone
            except BaseException as error:
                if context.params["debug"] and not isinstance(error, UserError):
                    warn(traceback.format_exc().rstrip())
                lost = signals and not isinstance(error, UserError)
                context.exit(_report(_exception_of(signals[0]) if lost else error, context))
            finally:
                say_what_it_took()


@contextlib.contextmanager
def _plain_usage_errors():
    """click prints its errors itself, with the arguments in them as they came."""
    try:
        yield
    except click.ClickException as error:
        error.message = plain(error.message)
        raise


# What a signal does where nobody has chosen otherwise, as `nohup` does with SIGHUP; only there it becomes an exception.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}


@contextlib.contextmanager
def _noted_signals():
    """Ctrl-C, SIGTERM and SIGHUP as exceptions, which end child processes and remove temporary files on their way.

    Gives a list of those that have come: TVM turns such an exception inside its callbacks into an error. A second
    SIGTERM or SIGHUP does not interrupt the cleaning up.
    """
    seen: list[int] = []
    process = os.getpid()

    def note(number, frame):
        if os.getpid() != process:  # a forked child has inherited this
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if number == signal.SIGINT or not seen:
            seen.append(number)
            raise _exception_of(number)

    main = threading.current_thread() is threading.main_thread()
    taken = [number for number, default in _DEFAULTS.items() if main and signal.getsignal(number) is default]
    for number in taken:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number in taken:
            signal.signal(number, _DEFAULTS[number])


def _exception_of(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


def _report(error: BaseException, context: click.Context) -> int:
    """Print a failure to stderr; returns the exit code."""
    fix, code = None, 1
    if isinstance(error, UserError):
        message, fix, code = error.message, error.fix, error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        warn(interrupted_message(context))
        return INTERRUPTED
    elif isinstance(error, Terminated):
        with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
            warn(f"ended by {error}; {interrupted_message(context).removeprefix('interrupted; ')}")
        return error.exit_code
    elif isinstance(error, MemoryError):
        message, fix = f"out of memory: {error}", "use a smaller --size or batch, or close other programs"
    elif isinstance(error, OSError):
        message, fix = _file_error(error)
    elif isinstance(error, Exception):
        message = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        words = shlex.join(word for word in sys.argv[1:] if word != "--debug")
        fix = f"this is a defect; please report it with the output of: edgedeblur --debug {words}"
    else:
        raise error
    tell_error(message, fix)
    return code


def _file_error(error: OSError) -> tuple[str, str | None]:
    if error.errno == errno.ENOENT and not error.filename and os.stat(".").st_nlink == 0:
        return "the current folder is no longer there", "cd to one that is"
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):  # others may come from reading
        reason, fix = describe(error.errno, Path(str(error.filename or ".")).parent)
        return f"{place}{reason}", fix
    return f"{place}{error.strerror or error}", None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(edgedeblur.__version__, prog_name="edgedeblur")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
def cli(debug: bool) -> None:
    """From a DeblurGAN-family generator to an int8 artefact for a phone.

    teacher + photos --distill--> student --quantize--> .edq --compile--> artefact --bench--> report

    `edgedeblur run` runs the whole pipeline. Each stage is also a command of its own, and finds the output of the stage
    before it in --workdir (default edgedeblur-work).
    """


def main() -> None:
    """Entry point of the `edgedeblur` program."""
    warnings.showwarning = lambda message, category, *_: warn(f"{category.__name__}: {message}")
    settle_without_home()
    cli(prog_name="edgedeblur")


if __name__ == "__main__":
    main()

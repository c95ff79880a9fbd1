"""Many programs on a phone, one after the other: what a search over candidates measures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgedeblur.device.errors import ContactLost
from edgedeblur.device.program import run_program_on
from edgedeblur.device.shell import Phone
from edgedeblur.device.transfer import push
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.runtime.program import BenchResult


def run_batch(
    phone: Phone,
    folder: str,
    programs: Mapping[str, Path],
    options: Sequence[str],
    cores: str | None = None,
    timeout_s: float = 60.0,
    progress: Progress | None = None,
    on_result: Callable[[str, BenchResult | UserError], None] | None = None,
) -> dict[str, BenchResult | UserError]:
    """Push every program that the phone lacks, in one go, then run each.

    Args:
        folder: from `transfer.remote_folder`.
        programs: {name on the phone: edgedeblur-bench of a candidate}.
        options: of edgedeblur-bench, the same for all. cores: "4-7": run there only.
        on_result: told each program's outcome as soon as it is known.

    Returns:
        By name: what the program measured, or why it cannot run there, which does not stop the others.

    Raises:
        UserError: a program that cannot be read, or no room for them.
        ContactLost: the phone was lost, or Ctrl-C; `on_result` has had what was measured before.
    """
    push(phone, folder, programs, timeout_s, progress)
    outcomes: dict[str, BenchResult | UserError] = {}
    for name in programs:
        try:
            run = run_program_on(phone, f"{folder}/{name}", options, cores, timeout_s)
        except ContactLost:
            raise
        except UserError as error:
            outcomes[name] = error
        else:
            if run.failure is not None:
                raise run.failure
            outcomes[name] = run.result
        if on_result is not None:
            on_result(name, outcomes[name])
    return outcomes

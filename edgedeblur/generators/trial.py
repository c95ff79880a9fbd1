"""A TorchScript file tried in a process of its own: damaged ones can end the process that reads them."""

import contextlib
import os
import resource
import signal
import time
import warnings
from pathlib import Path

import torch

from edgedeblur.errors import UserError
from edgedeblur.processes import let_faults_end_this_process

_WAIT_S = 120
_MEMORY, _TIMES_WEIGHTS = 900 << 20, 4  # bytes for running a small image, and for each byte of the file


def require_survivable(path: Path, height: int, width: int) -> None:
    """Loads and runs the program on a grey image in a child; what it raises there is for the caller's own try.

    Raises:
        UserError: the child crashed, did not end, or took far more memory than the file has weights.
    """
    resident, most = _resident_bytes(os.getpid()), _MEMORY + _TIMES_WEIGHTS * path.stat().st_size
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            _try(path, height, width)
        os._exit(0)
    end, grown = time.monotonic() + _WAIT_S, 0
    while time.monotonic() < end and grown <= most:
        done, status, used = os.wait4(child, os.WNOHANG)
        grown = (used.ru_maxrss * 1024 if done else _resident_bytes(child)) - resident
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                name = signal.Signals(-code).name
                raise UserError(
                    f"{path} cannot be loaded as TorchScript: torch crashes on it ({name})", "save it again"
                )
            if grown > most:
                raise _takes(path, grown, height, width)
            return
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if grown > most:
        raise _takes(path, grown, height, width)
    raise UserError(f"{path} does not restore an image of {height}x{width} within {_WAIT_S} s", "save it again")


def _takes(path: Path, grown: int, height: int, width: int) -> UserError:
    message = f"{path} takes {grown / 1e6:,.0f} MB of memory and more for an image of {height}x{width}"
    return UserError(message, "save it again")


def _resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


def _try(path: Path, height: int, width: int) -> None:
    let_faults_end_this_process()
    resource.setrlimit(resource.RLIMIT_CPU, (_WAIT_S, _WAIT_S))  # it does not outlive a killed parent for long
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # the parent's threads are not in this process
    with torch.no_grad():
        torch.jit.load(str(path), map_location="cpu").eval()(torch.full((1, 3, height, width), 0.5))

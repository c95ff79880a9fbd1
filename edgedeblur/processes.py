"""Programs that edgedeblur starts: each ends at the latest when edgedeblur itself ends, however that is.

An exception while one runs, such as Ctrl-C or `Terminated`, kills it. For the case that this process is killed without
a chance to do so, Linux is asked to kill the program too: by prctl(PR_SET_PDEATHSIG), which a few lines of Python call
in the new process before they become the program. (`preexec_fn` would do it with less, but may deadlock where the
parent has threads.)
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# The arguments: this process's id, a pipe that tells it why the program could not be started, whether LC_CTYPE is the
# program's (Python adds one to the C locale), the program's path and words. Between fork and prctl the parent may have
# ended already, which the comparison notices.
_TETHER = """\
import ctypes, os, sys
parent, report = map(int, sys.argv[1:3])
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != parent:
    os._exit(1)
if sys.argv[3] == "no":
    os.environ.pop("LC_CTYPE", None)
os.set_inheritable(report, False)
try:
    os.execv(sys.argv[4], sys.argv[5:])
except OSError as error:
    os.write(report, str(error.errno).encode())
    os._exit(127)
"""


def run_to_end(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: str = "",
    timeout_s: float | None = None,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program and wait for its end; its output and errors as text, bytes that are not UTF-8 replaced.

    Args:
        command: the program, by name or path, and its words.
        folder: where it runs; None: here.
        environment: None: this process's.
        given: its standard input.
        timeout_s: after which it is killed; None: never.
        check: whether a status other than 0 is an error.

    Raises:
        OSError: it cannot be started. subprocess.TimeoutExpired, subprocess.CalledProcessError.
    """
    words = [str(word) for word in command]
    how = {"cwd": folder, "env": environment, "timeout": timeout_s, "input": given}
    text = {"capture_output": True, "text": True, "encoding": "utf-8", "errors": "replace"}
    if sys.platform != "linux" or not sys.executable:
        return subprocess.run(words, check=check, **how, **text)
    program = _located(words[0])
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as failure:
        try:
            own_ctype = "yes" if "LC_CTYPE" in (os.environ if environment is None else environment) else "no"
            arguments = [str(os.getpid()), str(writing), own_ctype, program, *words]
            tether = [sys.executable, "-I", "-S", "-c", _TETHER, *arguments]
            done = subprocess.run(tether, pass_fds=(writing,), **how, **text)
        except subprocess.TimeoutExpired as error:
            error.cmd = words
            raise
        finally:
            os.close(writing)
        number = failure.read()
    if number:
        raise OSError(int(number), os.strerror(int(number)), words[0])
    done.args = words
    if check:
        done.check_returncode()
    return done


def let_faults_end_this_process() -> None:
    """For a forked child that may crash: libraries loaded before the fork (PoCL) catch faults and go on."""
    for fault in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT):
        signal.signal(fault, signal.SIG_DFL)


def _located(name: str) -> str:
    """The path of a program, absolute so that it holds in every folder.

    Raises:
        OSError: there is none, or it may not be executed.
    """
    path = shutil.which(name)
    if path is None:
        number = errno.EACCES if os.path.exists(name) else errno.ENOENT
        raise OSError(number, os.strerror(number), name)
    return os.path.abspath(path)

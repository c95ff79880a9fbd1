"""A forked child that decodes or encodes a video: what FFmpeg does to it (an abort, a corrupted heap) stays in it.

Bytes go one way through a pipe, so that the child works on one frame while this process works on another.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator

from edgedeblur.processes import let_faults_end_this_process

WAIT_S = 120  # longest time in which nothing goes through the pipe though this process waits for it
_PIPE_BYTES = 1 << 20  # the most that Linux gives without privileges
_PR_SET_PDEATHSIG = 1
_MOST_FILES = 1 << 16


class ChildFailed(Exception):
    """The child ended too early or is stuck; the text is what follows "the child". status: as `Child.wait`, or None."""

    def __init__(self, text: str, status: int | None = None):
        super().__init__(text)
        self.status = status


class Child:
    """The other process, and this one's end of the pipe."""

    def __init__(self, number: int, pipe: int):
        self._number, self._pipe, self._status = number, pipe, None
        os.set_blocking(pipe, False)
        self._poll = select.poll()
        self._poll.register(pipe)

    def read_into(self, part: memoryview) -> None:
        """Fills the part with the child's bytes.

        Raises:
            ChildFailed: the child sent fewer before its end, or nothing for 120 s.
        """
        while part:
            self._wait_for(select.POLLIN | select.POLLHUP)
            size = os.readv(self._pipe, [part])
            if size == 0:
                raise self.failure()
            part = part[size:]

    def write(self, part: memoryview) -> None:
        """Gives the child all bytes of the part.

        Raises:
            ChildFailed: the child ended, or took nothing for 120 s.
        """
        while part:
            self._wait_for(select.POLLOUT | select.POLLERR)
            try:
                part = part[os.write(self._pipe, part) :]
            except BrokenPipeError:
                raise self.failure() from None

    def wait(self) -> int:
        """Closes the pipe and waits for the child's end; its exit status, negative for the number of a signal."""
        if self._status is None:
            self._close()
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._number, 0)[1])
        return self._status

    def kill(self) -> None:
        """Ends the child, if it has not ended."""
        if self._status is None:
            os.kill(self._number, signal.SIGKILL)
            self.wait()

    def failure(self) -> ChildFailed:
        """How a child ended that should not have."""
        status = self.wait()
        return ChildFailed(f"was ended by {signal.Signals(-status).name}" if status < 0 else "failed", status)

    def _wait_for(self, events: int) -> None:
        self._poll.modify(self._pipe, events)
        if not self._poll.poll(1e3 * WAIT_S):
            raise ChildFailed(f"was stuck for {WAIT_S} s")

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


@contextlib.contextmanager
def forked(work: Callable[[int], int], *, sends: bool) -> Iterator[Child]:
    """A child that runs `work` with its end of a pipe; it is killed at the latest when the block or this process ends.

    Args:
        work: gets the file descriptor, gives the exit status; an exception is status 1.
        sends: whether the child writes to the pipe; otherwise it reads.
    """
    import cv2  # noqa: F401 (loaded here once, not by each child)

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines about bad files, which we report
    reading, writing = os.pipe()
    theirs, ours = (writing, reading) if sends else (reading, writing)
    with contextlib.suppress(OSError):  # a smaller pipe is only slower
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    parent, number = os.getpid(), os.fork()
    if number == 0:
        status = 1
        with contextlib.suppress(BaseException):
            status = work(_prepare(parent, theirs))
        os._exit(status)
    os.close(theirs)
    child = Child(number, ours)
    try:
        yield child
    finally:
        child.kill()


def _prepare(parent: int, pipe: int) -> int:
    """Makes a child that ends with its parent, holds none of its files, locks and pipes, and is silent; its pipe."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    let_faults_end_this_process()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe = fcntl.fcntl(pipe, fcntl.F_DUPFD, 3)  # it is one of the standard three where this process has none
    os.closerange(3, pipe)
    os.closerange(pipe + 1, _MOST_FILES)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    if nowhere > 2:
        os.close(nowhere)
    return pipe

"""Commands on a phone: adb's shell protocol, version 2, with separate output and errors, exit status and time limits.

adbutils opens the connections. Its own shell calls cannot be read while they run, nor be given up.
Protocol: packets of [1 byte kind][4 bytes length, little endian][data], platform/packages/modules/adb/shell_protocol.h.
"""

import contextlib
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgedeblur.device.errors import PhoneGone, PhoneSilent

if TYPE_CHECKING:
    import adbutils

ANSWER_S = 30.0  # within which a phone answers a question
_STDOUT, _STDERR, _EXIT = 1, 2, 3
_HEADER = struct.Struct("<BI")
_READ_BYTES = 1 << 16
_MAX_PACKET = 1 << 24  # far above what any daemon sends


@dataclass(frozen=True)
class Phone:
    """One that adb reaches and that is ready."""

    serial: str
    device: "adbutils.AdbDevice" = field(repr=False)

    def features(self) -> set[str]:
        """What its adb daemon can, in adb's words."""
        with reaching(self.serial, ANSWER_S):
            return set(self.device.get_features().split(","))


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit status (128 + signal where a signal ended it)."""

    output: str
    errors: str
    status: int


class RunningCommand:
    """A command while it runs. Read it with `poll`; closing it ends the command on the phone with SIGHUP.

    Raises:
        PhoneGone, PhoneSilent: it cannot be started, or not within `answer_s`.
    """

    def __init__(self, phone: Phone, script: str, answer_s: float = ANSWER_S):
        self.serial = phone.serial
        self.status: int | None = None
        self._buffer = b""
        with contextlib.ExitStack() as opening, reaching(self.serial, answer_s):
            self._connection = phone.device.open_transport(timeout=answer_s)
            opening.callback(self.close)
            self._connection.send_command(f"shell,v2,raw:{script}")
            self._connection.check_okay()
            opening.pop_all()

    def poll(self, seconds: float) -> list[tuple[bool, bytes]]:
        """Waits for at most `seconds`; what has come since, as (on stderr?, bytes). Sets `status` at the end.

        Raises:
            PhoneGone: the connection ended and the command had not.
        """
        socket = self._connection.conn
        with reaching(self.serial, seconds):
            if not select.select([socket], [], [], seconds)[0]:
                return []
            received = socket.recv(_READ_BYTES)
        if not received:
            raise PhoneGone(self.serial, "the connection ended while a command ran on it")
        self._buffer += received
        return list(self._packets())

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "RunningCommand":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _packets(self) -> Iterator[tuple[bool, bytes]]:
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if length > _MAX_PACKET:
                raise PhoneGone(self.serial, "its adb daemon does not speak the shell protocol")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            data, self._buffer = self._buffer[_HEADER.size : end], self._buffer[end:]
            if kind == _EXIT:
                self.status = data[0]
            elif kind in (_STDOUT, _STDERR):
                yield kind == _STDERR, data


def run(phone: Phone, script: str, timeout_s: float = ANSWER_S) -> Answer:
    """Run a shell script on the phone to its end. Whoever builds the script quotes what goes into it (shlex.quote).

    Raises:
        PhoneGone, PhoneSilent: nothing came for `timeout_s`.
    """
    texts = (bytearray(), bytearray())
    last = time.monotonic()
    with RunningCommand(phone, script, timeout_s) as command:
        while command.status is None:
            for is_error, data in command.poll(timeout_s):
                texts[is_error].extend(data)
                last = time.monotonic()
            if time.monotonic() - last >= timeout_s:
                raise PhoneSilent(phone.serial, timeout_s)
    output, errors = (text.decode(errors="replace") for text in texts)
    return Answer(output, errors, command.status)


@contextlib.contextmanager
def reaching(serial: str, timeout_s: float) -> Iterator[None]:
    """Turns whatever adbutils and sockets raise into PhoneGone or PhoneSilent."""
    import adbutils

    try:
        yield
    except (TimeoutError, adbutils.AdbTimeout):
        raise PhoneSilent(serial, timeout_s) from None
    except (OSError, EOFError, adbutils.AdbError) as error:
        raise PhoneGone(serial, str(error) or type(error).__name__) from None

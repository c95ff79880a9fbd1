"""Commands on a phone: adb's shell protocol, version 2, with separate output and errors, exit status and time limits.

adbutils opens the connections. Its own shell calls cannot be read while they run, nor be given up. Whatever a phone
sends is bounded in bytes and in time.
Protocol: packets of [1 byte kind][4 bytes length, little endian][data], platform/packages/modules/adb/shell_protocol.h.
"""

import contextlib
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgedeblur.device.errors import BadAnswer, PhoneGone, PhoneSilent

if TYPE_CHECKING:
    import adbutils

ANSWER_S = 30.0  # within which a phone answers a question, to the end of its answer
ANSWER_BYTES = 1 << 20  # the longest answer to a question is that of getprop, a tenth of it
_STDOUT, _STDERR, _EXIT = 1, 2, 3
_HEADER = struct.Struct("<BI")
_READ_BYTES = 1 << 16
_MAX_PACKET = 1 << 22  # adbd's buffer has 1 MiB


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
        self._buffer = bytearray()
        with contextlib.ExitStack() as opening, reaching(self.serial, answer_s):
            self._connection = phone.device.open_transport(timeout=answer_s)
            opening.callback(self.close)
            self._connection.send_command(f"shell,v2,raw:{script}")
            self._connection.check_okay()
            opening.pop_all()

    def poll(self, seconds: float) -> list[tuple[bool, bytes]]:
        """Waits for at most `seconds`; what has come since, as (on stderr?, bytes). Sets `status` at the end.

        Empty packets count as nothing, so an empty list may come early.

        Raises:
            PhoneGone: the connection ended and the command had not. BadAnswer: what came is not the shell protocol.
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
        """The whole packets in the buffer, up to the one that ends the command."""
        begin = 0
        while self.status is None and len(self._buffer) - begin >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer, begin)
            if length > _MAX_PACKET or (kind == _EXIT and length != 1):
                raise BadAnswer(self.serial, "has an adb daemon that does not speak the shell protocol")
            end = begin + _HEADER.size + length
            if len(self._buffer) < end:
                break
            data, begin = bytes(self._buffer[begin + _HEADER.size : end]), end
            if kind == _EXIT:
                self.status = data[0]
            elif kind in (_STDOUT, _STDERR) and data:
                yield kind == _STDERR, data
        del self._buffer[:begin]


def run(phone: Phone, script: str, timeout_s: float = ANSWER_S) -> Answer:
    """Run a shell script on the phone to its end. Whoever builds the script quotes what goes into it (shlex.quote).

    Raises:
        PhoneGone, PhoneSilent: nothing came for `timeout_s`.
        BadAnswer: the answer is longer than ANSWER_BYTES, or not whole after `timeout_s`.
    """
    texts = (bytearray(), bytearray())
    with RunningCommand(phone, script, timeout_s) as command:
        end = time.monotonic() + timeout_s
        while command.status is None:
            for is_error, data in command.poll(max(0.0, end - time.monotonic())):
                texts[is_error].extend(data)
            size = sum(map(len, texts))
            if size > ANSWER_BYTES:
                raise BadAnswer(phone.serial, f"sent more than {ANSWER_BYTES:,} bytes in answer to: {script[:60]}")
            if command.status is None and time.monotonic() >= end:
                if not size:
                    raise PhoneSilent(phone.serial, timeout_s)
                raise BadAnswer(phone.serial, f"had not ended its answer after {timeout_s:g} s to: {script[:60]}")
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

"""What a broken or hostile phone's daemon sends instead of an answer, until the other side hangs up."""

import struct
import time
from collections.abc import Callable

from adbd.wire import Stream

Answer = Callable[[Stream], None]
_STDOUT, _STDERR, _EXIT = 1, 2, 3


def packet(kind: int, data: bytes, length: int | None = None) -> bytes:
    """A packet of the shell protocol; `length` is what its header says."""
    return struct.pack("<BI", kind, len(data) if length is None else length) + data


def block(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """A block of the sync protocol, likewise."""
    return kind + struct.pack("<I", len(data) if length is None else length) + data


def once(data: bytes) -> Answer:
    """These bytes, and then silence on an open stream."""

    def answer(stream: Stream) -> None:
        stream.write(data)
        stream.read(1 << 30)

    return answer


def for_ever(data: bytes, pause_s: float = 0.0) -> Answer:
    """These bytes again and again."""

    def answer(stream: Stream) -> None:
        while True:
            stream.write(data)
            time.sleep(pause_s)

    return answer


def after(data: bytes, then: Answer) -> Answer:
    def answer(stream: Stream) -> None:
        stream.write(data)
        then(stream)

    return answer


def says(output: bytes, status: int = 0) -> Answer:
    """A command that prints this and ends."""
    packets = b"".join(packet(_STDOUT, output[start : start + 60_000]) for start in range(0, len(output), 60_000))
    return lambda stream: stream.write(packets + packet(_EXIT, bytes([status])))


ENDLESS_OUTPUT = for_ever(packet(_STDOUT, b"x" * 60_000))
ENDLESS_ERRORS = for_ever(packet(_STDERR, b"y" * 60_000))
EMPTY_PACKETS = for_ever(packet(_STDOUT, b"") * 1000)
UNKNOWN_PACKETS = for_ever(packet(9, b"z" * 60_000))
SLOW_OUTPUT = for_ever(packet(_STDOUT, b"x"), 0.05)
EXIT_WITHOUT_STATUS = once(packet(_EXIT, b""))
EXIT_OF_GIGABYTES = once(packet(_EXIT, b"", 0xFFFFFFFF))
PACKET_OF_GIGABYTES = once(packet(_STDOUT, b"", 0xFFFFFFFF))
NOISE = for_ever(bytes(range(256)) * 16)

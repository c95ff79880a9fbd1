"""adb's transport protocol from the daemon's side: packets, and streams multiplexed on one connection.

platform/packages/modules/adb/protocol.txt: header of six little-endian words (command, two arguments, length of the
data, its byte sum, command inverted); one WRTE at a time per stream and direction, answered by OKAY.
"""

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

VERSION = 0x01000001  # the byte sums are not checked from this version on
MAX_DATA = 256 * 1024
_HEADER = struct.Struct("<4sIIIII")
AUTH_TOKEN = 1


class Closed(Exception):
    """The other side has closed the stream, or the connection has ended."""


@dataclass(frozen=True)
class Packet:
    command: bytes
    first: int
    second: int
    data: bytes = b""


def read_packet(connection: socket.socket) -> Packet:
    command, first, second, length, _, inverted = _HEADER.unpack(_read_exactly(connection, _HEADER.size))
    if int.from_bytes(command, "little") ^ 0xFFFFFFFF != inverted or length > 1 << 20:
        raise Closed("not a packet of adb's protocol")
    return Packet(command, first, second, _read_exactly(connection, length))


def write_packet(connection: socket.socket, packet: Packet) -> None:
    inverted = int.from_bytes(packet.command, "little") ^ 0xFFFFFFFF
    header = _HEADER.pack(
        packet.command, packet.first, packet.second, len(packet.data), sum(packet.data) & 0xFFFFFFFF, inverted
    )
    try:
        connection.sendall(header + packet.data)
    except OSError:
        raise Closed("connection lost") from None


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            piece = connection.recv(count - len(data))
        except OSError:
            piece = b""
        if not piece:
            raise Closed("connection lost")
        data += piece
    return data


class Stream:
    """One service's two-way stream. `read` and `write` block; both raise Closed when the other side has gone."""

    def __init__(self, send: Callable[[Packet], None], number: int, peer: int, pace: Callable[[int], None]):
        self.number, self.peer = number, peer
        self._send, self._pace = send, pace
        self._incoming: queue.Queue[bytes | None] = queue.Queue()
        self._acknowledged = threading.Semaphore(0)
        self._buffer = b""
        self.closed = False

    def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._buffer) < count:
            data = self._incoming.get()
            if data is None:
                self._incoming.put(None)
                raise Closed("stream closed")
            self._pace(len(data))
            self._buffer += data
            self._send(Packet(b"OKAY", self.number, self.peer))
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            if self.closed:
                raise Closed("stream closed")
            piece = data[start : start + MAX_DATA]
            self._pace(len(piece))
            self._send(Packet(b"WRTE", self.number, self.peer, piece))
            self._acknowledged.acquire()
            if self.closed:
                raise Closed("stream closed")

    def accept(self) -> None:
        """Answer OPEN; a service that is finished without it has refused."""
        self._send(Packet(b"OKAY", self.number, self.peer))

    def finish(self) -> None:
        """Close it from this side."""
        if not self.closed:
            self.closed = True
            self._send(Packet(b"CLSE", self.number, self.peer))

    def receive(self, data: bytes) -> None:
        self._incoming.put(data)

    def acknowledge(self) -> None:
        self._acknowledged.release()

    def hang_up(self) -> None:
        """The other side has closed it."""
        self.closed = True
        self._incoming.put(None)
        self._acknowledged.release()


class Multiplexer:
    """Serves one connection of an adb server until it ends. A stream's service runs in a thread of its own.

    Args:
        serve: (service's name, stream); returns or raises Closed when it is done. LookupError: no such service.
        pace: told the bytes of every block of a stream; may sleep.
    """

    def __init__(self, connection: socket.socket, serve: Callable[[str, Stream], None], pace: Callable[[int], None]):
        self._connection, self._serve, self._pace = connection, serve, pace
        self._streams: dict[int, Stream] = {}
        self._writing = threading.Lock()
        self._next = 1

    def greet(self, banner: str) -> None:
        """Answer the server's CNXN, which the caller has read, with the device's."""
        self.send(Packet(b"CNXN", VERSION, MAX_DATA, banner.encode()))

    def send(self, packet: Packet) -> None:
        with self._writing:
            write_packet(self._connection, packet)

    def run(self) -> None:
        try:
            while True:
                self._handle(read_packet(self._connection))
        except Closed:
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.hang_up()

    def _handle(self, packet: Packet) -> None:
        if packet.command == b"OPEN":
            self._open(packet)
            return
        stream = self._streams.get(packet.second)
        if stream is None:
            if packet.command == b"WRTE":
                self.send(Packet(b"CLSE", 0, packet.first))
        elif packet.command == b"WRTE":
            stream.receive(packet.data)
        elif packet.command == b"OKAY":
            stream.acknowledge()
        elif packet.command == b"CLSE":
            stream.hang_up()
            del self._streams[packet.second]

    def _open(self, packet: Packet) -> None:
        stream = Stream(self.send, self._next, packet.first, self._pace)
        self._next += 1
        self._streams[stream.number] = stream
        name = packet.data.rstrip(b"\0").decode()
        threading.Thread(target=self._work, args=(name, stream), daemon=True).start()

    def _work(self, name: str, stream: Stream) -> None:
        with contextlib.suppress(Closed, LookupError):
            self._serve(name, stream)
        with contextlib.suppress(Closed):
            stream.finish()

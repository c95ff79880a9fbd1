"""The phone: its daemon on a loopback port, its sandbox, and the faults that it is told to have."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from adbd import files, shell
from adbd.heating import Heating
from adbd.hostile import Answer
from adbd.sandbox import Build, make_sandbox
from adbd.wire import AUTH_TOKEN, Closed, Multiplexer, Packet, Stream, read_packet, write_packet

_ROOTED = "/data/local/tmp"


@dataclass
class Faults:
    """What goes wrong; None and False: nothing. May be changed while the phone is attached.

    vanish_after_pushed: it is unplugged when so many bytes have been pushed. storage_bytes: room for pushed files.
    bytes_per_second: of the link. unauthorised: it accepts no key. offline: its daemon never answers.
    shell: what it sends instead of running a command: {part of the command: hostile answer}. sync: likewise, after
    which request: {b"RECV": hostile answer}.
    """

    vanish_after_pushed: int | None = None
    storage_bytes: int | None = None
    bytes_per_second: float | None = None
    unauthorised: bool = False
    offline: bool = False
    shell: dict[str, Answer] = field(default_factory=dict)
    sync: dict[bytes, Answer] = field(default_factory=dict)


class FakePhone:
    """A phone on loopback; attach it with `AdbServer.attach`. `close` unplugs it for good.

    Attributes:
        root: its file system. services: what was asked of its daemon, such as "shell,v2,raw:getprop".
        pushed_bytes: of all files so far.
    """

    def __init__(
        self,
        root: Path,
        build: Build | None = None,
        faults: Faults | None = None,
        features: tuple[str, ...] = (*shell.FEATURES, *files.FEATURES),
    ):
        self.root, self.build, self.faults, self.features = root, build or Build(), faults or Faults(), features
        self.services: list[str] = []
        self.pushed_bytes = 0
        self.heating: Heating | None = None
        self._runs = 0
        self._at_run: dict[int, Callable[[], None]] = {}
        self._connections: set[socket.socket] = set()
        self._unplugged = threading.Event()
        self._closed = threading.Event()
        make_sandbox(root, self.build)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """What edgedeblur leaves on it."""
        return self.place(f"{_ROOTED}/edgedeblur")

    def place(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def at_run(self, count: int, action: Callable[[], None]) -> None:
        """Do something when programs on it have told of so many runs, all together."""
        self._at_run[count] = action

    def hang(self) -> None:
        """For `at_run`: nothing more is heard of the program's runs."""
        self._closed.wait()

    def unplug(self) -> None:
        """The link breaks and nothing listens any more."""
        self._unplugged.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.unplug()
        self._closed.set()

    def _accept(self) -> None:
        while not self._unplugged.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with contextlib.suppress(Closed, OSError), connection:
            packet = read_packet(connection)
            if self.faults.offline:
                self._unplugged.wait()
            elif self.faults.unauthorised:
                self._refuse_keys(connection)
            elif packet.command == b"CNXN":
                multiplexer = Multiplexer(connection, self._serve, self._pace)
                multiplexer.greet(self._banner())
                multiplexer.run()
        self._connections.discard(connection)

    def _refuse_keys(self, connection: socket.socket) -> None:
        """Ask for a signature again and again; at last the server shows its key and waits for the user to tap Allow."""
        write_packet(connection, Packet(b"AUTH", AUTH_TOKEN, 0, bytes(range(20))))
        while True:
            signed = read_packet(connection).first == 2
            if signed:
                write_packet(connection, Packet(b"AUTH", AUTH_TOKEN, 0, bytes(range(20))))

    def _banner(self) -> str:
        name = self.build.model.replace(" ", "_")
        features = ",".join(self.features)
        return f"device::ro.product.name={name};ro.product.model={name};ro.product.device={name};features={features}"

    def _serve(self, service: str, stream: Stream) -> None:
        if not service.startswith(("sync:", "shell")):
            raise LookupError(service)
        self.services.append(service)
        stream.accept()
        if service == "sync:":
            files.serve_files(stream, self.place, self._reserve, self.faults.sync)
        elif hostile := next((answer for part, answer in self.faults.shell.items() if part in service), None):
            hostile(stream)
        else:
            shell.serve_shell(stream, service, self.root, self._hear)

    def _reserve(self, count: int) -> bool:
        self.pushed_bytes += count
        limit = self.faults.vanish_after_pushed
        if limit is not None and self.pushed_bytes >= limit:
            self.unplug()
        room = self.faults.storage_bytes
        return room is None or self.pushed_bytes <= room

    def heats(self, speed: float) -> Heating:
        """From now on its programs heat it, `speed` times as fast as a real phone."""
        self.heating = Heating(self.root, speed, tuple(self.build.clocks_khz))
        return self.heating

    def _hear(self, line: bytes) -> None:
        if self.heating is not None:
            self.heating.hear(line)
        if not line.startswith(b"run "):
            return
        self._runs += 1
        if self._runs in self._at_run:
            self._at_run[self._runs]()

    def _pace(self, count: int) -> None:
        if self.faults.bytes_per_second is not None:
            time.sleep(count / self.faults.bytes_per_second)

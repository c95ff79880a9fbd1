"""The real adb server, a private one: its own port and home, no USB, no emulators, nothing announced on the network."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import adbutils

_START_S = 20.0


def adb_program() -> str | None:
    """Debian's adb, or the one that adbutils brings; None where neither is there."""
    try:
        return adbutils.adb_path()
    except adbutils.AdbError:
        return None


def _end_with_parent() -> None:
    """Linux's prctl(PR_SET_PDEATHSIG): a test run that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class AdbServer:
    """Runs from construction to `close`.

    Attributes:
        environment: what a client of this server needs in its environment.
    """

    def __init__(self, home: Path, program: str):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        quiet = {"ADB_MDNS": "0", "ADB_USB": "0", "ADB_EMU": "0"}
        self.environment = {"ANDROID_ADB_SERVER_PORT": str(self.port), "HOME": str(home), **quiet}
        self._program = program
        self._process = subprocess.Popen(
            [program, "-P", str(self.port), "server", "nodaemon"],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        self._wait()

    def attach(self, phone, wait: bool = True) -> None:
        """Make the server connect to a phone; with `wait`, until it is ready."""
        command = [self._program, "connect", phone.serial]
        environment = {**os.environ, **self.environment}
        if not wait:
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_START_S)
        assert "connected to" in done.stdout, done.stdout + done.stderr

    def adb(self, *words: str) -> subprocess.CompletedProcess:
        """The real adb client."""
        return subprocess.run(
            [self._program, *words], env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )

    def state(self, serial: str) -> str | None:
        client = adbutils.AdbClient(port=self.port)
        return next((info.state for info in client.list() if info.serial == serial), None)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._program} ended with {self._process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self._program} does not listen on port {self.port}")

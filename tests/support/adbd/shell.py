"""adbd's shell service, versions 1 and 2, in a sandbox: paths of the phone become paths in its folder and back."""

import contextlib
import os
import re
import signal
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from adbd.wire import Closed, Stream

FEATURES = ("shell_v2", "cmd")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_PHONE_PATH = re.compile(r"(?<![\w./-])/(?=(?:data|sys|proc|system)\b)")
_COMMAND = re.compile(r"((?:^|[;&|]|\bexec)\s*)(/[\w./-]+)")
_CORES = re.compile(r" --cores \S+")
_STARTED = re.compile(r"(--network )(\S+)")
_AARCH64 = 183  # ELF e_machine
QEMU = ("qemu-aarch64", "-cpu", "max")


def serve_shell(stream: Stream, service: str, root: Path, on_line: Callable[[bytes], None]) -> None:
    """Runs a command line and passes its output on; `on_line` is told every line first.

    As adbd: where the stream ends before the command, the command gets SIGHUP; 128 + signal stands for ended by one.
    """
    kind, _, script = service.partition(":")
    if "pty" in kind or not script:
        raise LookupError("no interactive shells here")
    packets = "v2" in kind
    with _start(_translate(script, root), root) as process:
        ended = threading.Event()
        threading.Thread(target=_feed, args=(stream, process, packets, ended), daemon=True).start()
        pumps = [
            threading.Thread(target=_pump, args=(stream, pipe, number if packets else None, root, on_line), daemon=True)
            for number, pipe in ((_STDOUT, process.stdout), (_STDERR, process.stderr))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        status = process.wait()
        ended.set()
        _kill_group(process)
        if packets:
            code = status if status >= 0 else 128 - status
            stream.write(struct.pack("<BIB", _EXIT, 1, code))


def _start(script: str, root: Path) -> subprocess.Popen:
    path = f"{root}/system/bin:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(root), "PHONE": str(root), "LC_ALL": "C"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(["sh", "-c", script], cwd=root, env=environment, start_new_session=True, **pipes)


def _translate(script: str, root: Path) -> str:
    """Paths into the sandbox; ARM programs where a command stands, or that one starts, are given to qemu, without the
    phone's core numbers, which this machine need not have."""

    def command(found: re.Match) -> str:
        prefix = " ".join(QEMU) + " " if _is_arm_program(Path(found[2])) else ""
        return f"{found[1]}{prefix}{found[2]}"

    def started(found: re.Match) -> str:
        script = Path(f"{found[2]}.sh")
        script.write_text(f'#!/bin/sh\nexec {" ".join(QEMU)} {found[2]} "$@"\n')
        script.chmod(0o755)
        return f"{found[1]}{script}"

    return _STARTED.sub(
        started, _COMMAND.sub(command, _PHONE_PATH.sub(lambda found: f"{root}/", _CORES.sub("", script)))
    )


def _is_arm_program(path: Path) -> bool:
    if not os.access(path, os.X_OK) or path.is_dir():
        return False
    with path.open("rb") as file:
        head = file.read(20)
    return head[:4] == b"\x7fELF" and int.from_bytes(head[18:20], "little") == _AARCH64


def _pump(stream: Stream, pipe, number: int | None, root: Path, on_line: Callable[[bytes], None]) -> None:
    """Output, line by line, with the phone's paths; after the stream's end it is read on and dropped."""
    for line in pipe:
        line = line.replace(bytes(root), b"")
        with contextlib.suppress(Closed):
            on_line(line)
            stream.write(line if number is None else struct.pack("<BI", number, len(line)) + line)


def _feed(stream: Stream, process: subprocess.Popen, packets: bool, ended: threading.Event) -> None:
    """Input for the command, and SIGHUP when the stream ends before it."""
    try:
        while True:
            if not packets:
                process.stdin.write(stream.read(1))
                continue
            kind, length = struct.unpack("<BI", stream.read(5))
            data = stream.read(length)
            if kind == _STDIN:
                process.stdin.write(data)
                process.stdin.flush()
            elif kind == _CLOSE_STDIN:
                process.stdin.close()
    except (Closed, OSError, ValueError):
        if not ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGHUP)


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

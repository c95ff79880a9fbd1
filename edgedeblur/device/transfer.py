"""Files to and from a phone: adb's sync protocol, and only what the phone does not have yet.

adbutils' own push hides why the phone refused a file ("FAIL") and waits without end for a phone that has stopped.
Protocol: platform/packages/modules/adb/SYNC.TXT.
"""

import contextlib
import hashlib
import re
import select
import shlex
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.device.errors import BadAnswer
from edgedeblur.device.shell import ANSWER_S, Phone, reaching, run
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress

if TYPE_CHECKING:
    import adbutils

REMOTE_ROOT = "/data/local/tmp/edgedeblur"
IMAGE_BYTES = 1 << 28  # more than any image that is restored on a phone
_BLOCK = 1 << 16  # the protocol's largest
_PART = ".part"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FREE_MARGIN = 4 << 20
_REASON_CHARACTERS = 300  # of a phone's message that are shown


def remote_folder(name: str) -> str:
    """The folder on the phone for one artefact or one set of files; `name` is made safe."""
    return f"{REMOTE_ROOT}/{re.sub(r'[^A-Za-z0-9_.-]', '_', name).lstrip('.-') or 'files'}"


def push(
    phone: Phone,
    folder: str,
    files: Mapping[str, Path | bytes],
    timeout_s: float = ANSWER_S,
    progress: Progress | None = None,
) -> list[str]:
    """Bring files to a folder on the phone; those that it has already, by SHA-256, are not sent. All may be executed.

    A file appears whole or not at all: it is sent under another name and renamed.

    Args:
        folder: from `remote_folder`; made where it is missing.
        files: {name there: file here, or its content}; names of letters, digits, `_`, `.`, `-`.
        timeout_s: longest wait for the phone to take a block of 64 KiB.

    Returns:
        Names of the files that were sent.

    Raises:
        UserError: a file that cannot be read, no room on the phone, or it refuses a file.
        PhoneGone, PhoneSilent.
    """
    contents = {_checked(name): _content(source) for name, source in files.items()}
    there = _digests(phone, folder, list(contents))
    changed = [name for name, data in contents.items() if there.get(name) != hashlib.sha256(data).hexdigest()]
    total = sum(len(contents[name]) for name in changed)
    if changed:
        _check_room(phone, total)
    done = 0
    for name in changed:
        for sent in _send(phone, f"{folder}/{name}", contents[name], timeout_s):
            if progress is not None:
                progress(f"pushing {name}", done + sent, total)
        done += len(contents[name])
    return changed


def pull(phone: Phone, path: str, most_bytes: int = IMAGE_BYTES, timeout_s: float = ANSWER_S) -> bytes:
    """The content of a file on the phone.

    Args:
        most_bytes: that it may have.
        timeout_s: longest wait for a block of 64 KiB.

    Raises:
        UserError: it is not there, cannot be read or is larger.
        PhoneGone, PhoneSilent.
        BadAnswer: not the protocol, or all of it takes longer than so many blocks may.
    """
    content = bytearray()
    end = time.monotonic() + timeout_s * (2 + most_bytes // _BLOCK)
    with _sync(phone, "RECV", path, timeout_s) as connection:
        while True:
            kind, length = _reply(phone, connection, timeout_s)
            if kind == b"DONE":
                return bytes(content)
            data = _read(phone, connection, length, timeout_s)
            if kind == b"FAIL":
                raise UserError(f"phone {phone.serial} cannot read {path}: {_reason(data)}")
            if kind != b"DATA":
                raise BadAnswer(phone.serial, f"sent {kind!r} while {path} was read")
            if not data:
                raise BadAnswer(phone.serial, f"sent an empty block of {path}")
            content += data
            if len(content) > most_bytes:
                raise UserError(f"{path} on phone {phone.serial} has more than the {most_bytes:,} bytes expected")
            if time.monotonic() > end:
                raise BadAnswer(phone.serial, f"had sent {len(content):,} bytes of {path} when its time was up")


def remove_all(phone: Phone) -> None:
    """Remove everything that edgedeblur has put on the phone.

    Raises:
        UserError: the phone refuses.
        PhoneGone, PhoneSilent.
    """
    answer = run(phone, f"rm -rf {REMOTE_ROOT}")
    if answer.status != 0:
        raise UserError(f"phone {phone.serial} did not remove {REMOTE_ROOT}: {answer.errors.strip()}")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a file name for a phone; allowed are letters, digits, _, . and -", exit_code=2
        )
    return name


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from None


def _digests(phone: Phone, folder: str, names: list[str]) -> dict[str, str]:
    """SHA-256 of the files that are there; of a phone without sha256sum (before Android 8) nothing is known."""
    answer = run(
        phone, f"mkdir -p {folder} && cd {folder} && sha256sum {shlex.join(names)} 2>/dev/null; [ -d {folder} ]"
    )
    if answer.status != 0:
        raise _refusal(phone, folder, answer.errors)
    lines = (line.split(maxsplit=1) for line in answer.output.splitlines())
    return {parts[1].strip(): parts[0] for parts in lines if len(parts) == 2}


def _check_room(phone: Phone, needed: int) -> None:
    free = _free_bytes(run(phone, f"df -k {REMOTE_ROOT}").output)
    if free is not None and free < needed + _FREE_MARGIN:
        raise _no_room(phone, f"{free / 1e6:.1f} MB free, {(needed + _FREE_MARGIN) / 1e6:.1f} MB needed")


def _free_bytes(df: str) -> int | None:
    """The column "Available" of `df -k`; None where it is not as expected."""
    lines = df.split("\n")
    found = re.search(r"\s(\d{1,15})\s+\d+%\s", " ".join(lines[1:]))
    return int(found[1]) * 1024 if found else None


def _send(phone: Phone, path: str, data: bytes, timeout_s: float) -> Iterator[int]:
    """Sends one file; yields the bytes sent so far."""
    part = path + _PART
    mode = stat.S_IFREG | 0o755
    reason = None
    with _sync(phone, "SEND", f"{part},{mode}", timeout_s) as connection:
        socket = connection.conn
        for start in range(0, len(data), _BLOCK):
            block = data[start : start + _BLOCK]
            socket.sendall(b"DATA" + struct.pack("<I", len(block)) + block)
            if select.select([socket], [], [], 0)[0]:
                break  # it refuses: nothing else is answered before the end
            yield start + len(block)
        else:
            socket.sendall(b"DONE" + struct.pack("<I", int(time.time())))
        kind, length = _reply(phone, connection, timeout_s)
        if kind == b"FAIL":
            reason = _reason(_read(phone, connection, length, timeout_s))
        elif kind != b"OKAY":
            raise BadAnswer(phone.serial, f"answered {kind!r} when it had been sent {path}")
    if reason is not None:
        run(phone, f"rm -f {shlex.quote(part)}")
        raise _refusal(phone, path, reason)
    answer = run(phone, f"mv {shlex.quote(part)} {shlex.quote(path)}")
    if answer.status != 0:
        raise _refusal(phone, path, answer.errors)


@contextlib.contextmanager
def _sync(phone: Phone, request: str, argument: str, timeout_s: float) -> Iterator:
    """A connection to the phone's sync service after one request."""
    encoded = argument.encode()
    with reaching(phone.serial, timeout_s), phone.device.open_transport(timeout=timeout_s) as connection:
        connection.send_command("sync:")
        connection.check_okay()
        connection.conn.sendall(request.encode() + struct.pack("<I", len(encoded)) + encoded)
        yield connection


def _reply(phone: Phone, connection: "adbutils.AdbConnection", timeout_s: float) -> tuple[bytes, int]:
    header = _read(phone, connection, 8, timeout_s)
    return header[:4], int.from_bytes(header[4:], "little")


def _read(phone: Phone, connection: "adbutils.AdbConnection", count: int, timeout_s: float) -> bytes:
    """Exactly so many bytes, all of them within the time: adbutils waits as long again for every single one."""
    if count > _BLOCK:
        raise BadAnswer(phone.serial, f"sent a block of {count:,} bytes; the protocol's largest has {_BLOCK:,}")
    data = bytearray()
    end = time.monotonic() + timeout_s
    while len(data) < count:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.conn.settimeout(left)
        piece = connection.conn.recv(count - len(data))
        if not piece:
            raise EOFError("the connection ended while a file was read or written")
        data += piece
    connection.conn.settimeout(timeout_s)
    return bytes(data)


def _reason(data: bytes) -> str:
    return " ".join(data.decode(errors="replace").split())[:_REASON_CHARACTERS]


def _refusal(phone: Phone, path: str, reason: str) -> UserError:
    reason = " ".join(reason.split())[:_REASON_CHARACTERS]
    if "no space left" in reason.lower() or "enospc" in reason.lower():
        return _no_room(phone, reason)
    return UserError(f"phone {phone.serial} did not take {path}: {reason}")


def _no_room(phone: Phone, reason: str) -> UserError:
    return UserError(f"phone {phone.serial} has no room in {REMOTE_ROOT}: {reason}", "free some storage on the phone")

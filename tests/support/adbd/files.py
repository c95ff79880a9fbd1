"""adbd's sync service on a sandbox folder: STAT, LIST, SEND, RECV and their second versions, with a quota."""

import os
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from adbd.hostile import Answer
from adbd.wire import Stream

FEATURES = ("stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2")
_BLOCK = 1 << 16
_STAT_2 = struct.Struct("<4sIQQIIIIQqqq")
_NO_ENTRY, _NO_SPACE = 2, "write failed: No space left on device"


def serve_files(
    stream: Stream, place: Callable[[str], Path], reserve: Callable[[int], bool], hostile: Mapping[bytes, Answer]
) -> None:
    """Answers requests until QUIT or the stream's end.

    Args:
        place: the path here of a path on the phone.
        reserve: told the bytes that are to be written; whether there is room for them.
        hostile: what is sent instead of an answer to these requests.
    """
    while True:
        request, length = _head(stream)
        if request == b"QUIT":
            return
        argument = stream.read(length).decode()
        if request in hostile:
            hostile[request](stream)
            return
        if request in (b"STAT", b"STA2", b"LST2"):
            _tell(stream, request, place(argument))
        elif request in (b"LIST", b"LIS2"):
            _list(stream, request, place(argument))
        elif request in (b"SEND", b"SND2"):
            path, mode = argument.rsplit(",", 1) if request == b"SEND" else (argument, _second(stream, request))
            _take(stream, place(path), int(mode), reserve)
        elif request in (b"RECV", b"RCV2"):
            if request == b"RCV2":
                _second(stream, request)
            _give(stream, place(argument))
        else:
            _fail(stream, f"unknown command {request!r}")
            return


def _head(stream: Stream) -> tuple[bytes, int]:
    head = stream.read(8)
    return head[:4], int.from_bytes(head[4:], "little")


def _second(stream: Stream, request: bytes) -> int:
    """The second part of a request of version 2: its mode (SND2) or flags; compression was not offered."""
    size = 12 if request == b"SND2" else 8
    words = struct.unpack(f"<{size // 4}I", stream.read(size))
    assert words[0].to_bytes(4, "little") == request and words[-1] == 0, words
    return words[1]


def _tell(stream: Stream, request: bytes, path: Path) -> None:
    try:
        found = path.stat() if request == b"STA2" else path.lstat()
    except OSError:
        found = None
    if request == b"STAT":
        numbers = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
        stream.write(b"STAT" + struct.pack("<III", *numbers))
    elif found is None:
        stream.write(_STAT_2.pack(request, _NO_ENTRY, *[0] * 10))
    else:
        stream.write(_described(request, found))


def _list(stream: Stream, request: bytes, folder: Path) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found, name = path.lstat(), path.name.encode()
        if request == b"LIST":
            head = b"DENT" + struct.pack("<III", found.st_mode, found.st_size, int(found.st_mtime))
        else:
            head = _described(b"DNT2", found)
        stream.write(head + struct.pack("<I", len(name)) + name)
    stream.write(b"DONE" + bytes(16 if request == b"LIST" else _STAT_2.size))


def _described(kind: bytes, found: os.stat_result) -> bytes:
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    owner = (found.st_mode, found.st_nlink, 2000, 2000)  # the user "shell"
    return _STAT_2.pack(kind, 0, found.st_dev, found.st_ino, *owner, found.st_size, *times)


def _take(stream: Stream, path: Path, mode: int, reserve: Callable[[int], bool]) -> None:
    """As adbd: makes folders, and after a refusal reads the rest and drops it; a file interrupted is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = refused = False
    try:
        with path.open("wb") as file:
            while True:
                kind, number = _head(stream)
                if kind == b"DONE":
                    break
                data = stream.read(number)
                if not refused and not reserve(len(data)):
                    refused = True
                    _fail(stream, _NO_SPACE)
                if not refused:
                    file.write(data)
                    file.flush()
        whole = not refused
    finally:
        if not whole:
            path.unlink(missing_ok=True)
    if whole:
        os.utime(path, (number, number))
        path.chmod(stat.S_IMODE(mode))
        stream.write(b"OKAY" + bytes(4))


def _give(stream: Stream, path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        _fail(stream, f"open failed: {error.strerror}")
        return
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        stream.write(b"DATA" + struct.pack("<I", len(block)) + block)
    stream.write(b"DONE" + bytes(4))


def _fail(stream: Stream, reason: str) -> None:
    stream.write(b"FAIL" + struct.pack("<I", len(reason)) + reason.encode())

"""Outputs are whole or absent, temporaries of killed processes go, and a failed write says what helps."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgedeblur.data.images import write_image
from edgedeblur.errors import UserError
from edgedeblur.storage import files, temporary
from edgedeblur.storage.files import atomic_folder, atomic_path, require_writable, write_text
from edgedeblur.storage.temporary import new_file, remove_leftovers, scratch_folder, unmade

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts a file system")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with one megabyte; remount it read-only through the function given."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from edgedeblur.storage.files import atomic_folder, atomic_path
from edgedeblur.storage.temporary import scratch_folder
with atomic_path(Path(sys.argv[1]) / "a.png") as file, atomic_folder(Path(sys.argv[1]) / "b") as folder:
    (folder / "part").write_text("half")
    with scratch_folder():
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_process_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    assert run_python(KILLED_WHILE_WRITING, tmp_path).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".edgedeblur-tmp-*"))) == 2 and len(list((tmp_path / "scratch").iterdir())) == 1
    write_text(tmp_path / "other", "text")
    with scratch_folder() as mine:
        assert list((tmp_path / "scratch").iterdir()) == [mine]
    assert {path.name for path in tmp_path.iterdir()} == {"other", "scratch"}


def test_a_signal_that_comes_as_soon_as_a_temporary_is_there_leaves_none(tmp_path, monkeypatch):
    def interrupted(path):
        new_file(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "new_file", interrupted)
    for write in (lambda: write_text(tmp_path / "a", "text"), lambda: files.require_writable(tmp_path / "a")):
        with pytest.raises(KeyboardInterrupt):
            write()
        assert list(tmp_path.iterdir()) == []


def test_temporaries_of_the_living_and_of_other_machines_stay(tmp_path, monkeypatch):
    mine = unmade(tmp_path, ".png")
    new_file(mine)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        *machine, _, _, random = mine.name.split("-")
        living = "-".join([*machine, str(other.pid), temporary._start_of(other.pid), random])
        (tmp_path / living).touch()
        (tmp_path / mine.name.replace(machine[-1], "0" * 8)).touch()  # another machine's
        (tmp_path / ".edgedeblur-tmp-not-one-of-ours").touch()
        before = set(tmp_path.iterdir())
        again = "-".join([*machine, str(other.pid), "0" * 8, random])  # the number was another process's before
        (tmp_path / again).touch()
        remove_leftovers(tmp_path)
        assert set(tmp_path.iterdir()) == before
        other.stdin.close()
        other.wait()
    monkeypatch.setattr(temporary, "_looked_through", set())
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == before - {tmp_path / living}


def test_an_output_takes_no_pipes_or_devices_place(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    kinds = {"pipe": "a named pipe", "link": "a named pipe"}
    if os.getuid() == 0:
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        kinds["device"] = "a device"
    before = {path: path.lstat().st_ino for path in tmp_path.iterdir()}
    for name, kind in kinds.items():
        for write in (
            require_writable,
            lambda path: write_text(path, "new"),
            lambda path: atomic_folder(path).__enter__(),
        ):
            with pytest.raises(UserError, match=f"it is {kind}, not a regular file"):
                write(tmp_path / name)
    assert {path: path.lstat().st_ino for path in tmp_path.iterdir()} == before


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("there", "not yet there", "folder"):
        (tmp_path / name).symlink_to(tmp_path / "other" / name)
    (tmp_path / "other" / "there").write_text("old")
    write_text(tmp_path / "there", "new")
    write_text(tmp_path / "not yet there", "new")
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "file").write_text("new")
    assert all(path.is_symlink() for path in tmp_path.iterdir() if path.name != "other")
    assert [path.read_text() for path in sorted((tmp_path / "other").rglob("*")) if path.is_file()] == ["new"] * 3
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["folder", "not yet there", "there"]


@pytest.mark.parametrize("suffix", ["", ".png", ".safetensors", "." + "s" * 100])
def test_names_as_long_as_names_can_be(tmp_path, suffix):
    longest = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    write_text(longest, "whole")
    assert longest.read_text() == "whole"
    with atomic_folder(tmp_path / ("f" * 255)) as folder:
        (folder / "part").touch()
    assert sorted(len(path.name) for path in tmp_path.iterdir()) == [255, 255]


def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path):
    for begin in (require_writable, lambda path: atomic_path(path).__enter__()):
        with pytest.raises(UserError, match="name is too long") as raised:
            begin(tmp_path / ("n" * 256))
        assert "shorter name" in raised.value.fix and not list(tmp_path.iterdir())


def failing_with(number):
    def fail(path):
        raise OSError(number, os.strerror(number), str(path))

    return fail


@pytest.mark.parametrize(
    ("number", "reason", "fix"),
    [
        (errno.ENOSPC, "the disk is full", "free some room"),
        (errno.EDQUOT, "quota", "remove files of yours"),
        (errno.EACCES, "no permission to write to", "chmod u+rwx"),
        (errno.EROFS, "read-only", "choose another"),
        (errno.EFBIG, "larger than is allowed", "ulimit -f"),
        (errno.EIO, "the disk reports an error", "check the disk"),
    ],
)
def test_each_reason_has_its_own_advice(tmp_path, monkeypatch, number, reason, fix):
    monkeypatch.setattr(files, "_sync", failing_with(number))
    with pytest.raises(UserError, match=reason) as raised:
        write_text(tmp_path / "a.txt", "text")
    assert fix in raised.value.fix and ("free some room" in raised.value.fix) == (number == errno.ENOSPC)
    assert not list(tmp_path.iterdir())


def test_an_error_about_another_file_is_not_told_as_one_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "out" / "a.txt"):
        (tmp_path / "elsewhere").read_text()


def test_pillow_does_not_say_that_the_disk_is_full_but_we_do(tmp_path):
    noise = Image.effect_noise((400, 400), 90).convert("RGB")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match="larger than is allowed here"):
            write_image(tmp_path / "a.png", np.asarray(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@needs_root
def test_a_full_and_a_read_only_file_system(small_disk):
    folder, read_only = small_disk
    with pytest.raises(UserError, match="a.bin: the disk is full"):
        files.write_bytes(folder / "a.bin", bytes(2 << 20))
    assert not list(folder.iterdir())
    read_only()
    for write in (require_writable, lambda path: files.write_bytes(path, b"")):
        with pytest.raises(UserError, match="a.bin: the file system is read-only") as raised:
            write(folder / "a.bin")
        assert "free some room" not in raised.value.fix


NOBODY_WRITES = """
import os, sys
from edgedeblur.storage.files import write_text
from edgedeblur.errors import UserError
os.setresgid(54321, 54321, 54321); os.setresuid(54321, 54321, 54321)
try:
    write_text(sys.argv[1], "text")
except UserError as error:
    print(error)
"""


@needs_root
def test_a_folder_of_another_user(tmp_path):
    tmp_path.chmod(0o555)
    for folder in list(tmp_path.parents)[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    told = run_python(NOBODY_WRITES, tmp_path / "a.txt").stdout
    assert f"no permission to write to {tmp_path}" in told and f"chmod u+rwx {tmp_path}" in told


def test_a_file_and_its_folder_reach_the_disk_around_the_rename(tmp_path, monkeypatch):
    done, names = [], {}
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    monkeypatch.setattr(Path, "replace", lambda own, other: (done.append("rename"), replace(own, other))[1])
    with atomic_path(tmp_path / "a.txt") as file:
        names["file"] = str(file)
        file.write_text("text")
    assert done == [names["file"], "rename", str(tmp_path)]
    done.clear()
    with atomic_folder(tmp_path / "b") as folder:
        (folder / "in").mkdir()
        (folder / "in" / "c").write_text("text")
    assert set(done) == {str(folder), str(folder / "in"), str(folder / "in" / "c"), str(tmp_path)}
    assert done[-1] == str(tmp_path)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, exchanges):
    if not exchanges:  # as on NFS
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "b") as folder:
            (folder / text).write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["second"]


KILLED_AT_EACH_CALL = """
import itertools, os, signal, sys
from pathlib import Path
from edgedeblur.storage import files
calls = itertools.count()
def counted(real):
    def call(*arguments, **named):
        if next(calls) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call
for place, name in ((os, "fsync"), (Path, "rename"), (files, "_exchange"), (files, "remove")):
    setattr(place, name, counted(getattr(place, name)))
with files.atomic_folder(Path(sys.argv[1]) / "b") as folder:
    (folder / "whole").write_text("new")
"""


def test_a_folder_is_there_whole_wherever_its_replacement_is_killed(tmp_path):
    seen = set()
    for call in range(6):
        place = tmp_path / str(call)
        (place / "b").mkdir(parents=True)
        (place / "b" / "whole").write_text("old")
        seen.add((run_python(KILLED_AT_EACH_CALL, place, call).returncode, (place / "b" / "whole").read_text()))
    assert seen == {(-signal.SIGKILL, "old"), (-signal.SIGKILL, "new"), (0, "new")}


def test_permissions_are_the_umasks_and_the_umask_is_never_set(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("another thread would create files with this mask"))
        write_text(tmp_path / "a", "text")
        with atomic_folder(tmp_path / "b"):
            pass
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert oct((tmp_path / "a").stat().st_mode)[-3:] == "640"
    assert oct((tmp_path / "b").stat().st_mode)[-3:] == "750"


def test_threads_write_side_by_side(tmp_path):
    threads = [threading.Thread(target=write_text, args=(tmp_path / "same", str(i) * 10_000)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set((tmp_path / "same").read_text())) == 1 and len(list(tmp_path.iterdir())) == 1

"""The test double is what adb's own client takes for a phone: it pushes, pulls, lists and runs as on one."""

import adbutils
import pytest
from adbd.server import AdbServer, adb_program
from adbd.shell import FEATURES

OLD_FEATURES = FEATURES  # without stat_v2 and sendrecv_v2: adb falls back to the first versions


@pytest.fixture(params=["newest", "oldest"])
def played(request, fake):
    return fake() if request.param == "newest" else fake(features=OLD_FEATURES)


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003])
def test_adb_pushes_and_pulls_a_file_unchanged(played, server, tmp_path, size):
    (tmp_path / "sent").write_bytes(bytes(i * 7 % 251 for i in range(size)))
    sent = server.adb("-s", played.serial, "push", str(tmp_path / "sent"), "/data/local/tmp/new/file")
    assert sent.returncode == 0, sent.stderr
    assert played.place("/data/local/tmp/new/file").read_bytes() == (tmp_path / "sent").read_bytes()
    pulled = server.adb("-s", played.serial, "pull", "/data/local/tmp/new/file", str(tmp_path / "back"))
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()


def test_adb_lists_a_folder(played, server):
    played.place("/data/local/tmp/here").write_bytes(b"12345")
    listed = server.adb("-s", played.serial, "ls", "/data/local/tmp")
    assert listed.returncode == 0 and "00000005" in listed.stdout and "here" in listed.stdout


def test_adb_runs_a_command_with_its_status_errors_and_the_phones_own_paths(phone, server):
    played, _ = phone
    done = server.adb(
        "-s", played.serial, "shell", "ls /data/local; grep -H MemTotal /proc/meminfo; echo bad >&2; exit 7"
    )
    assert done.returncode == 7 and done.stderr == "bad\n"
    assert done.stdout == "tmp\n/proc/meminfo:MemTotal:        7812345 kB\n"


def test_adb_sees_a_full_disk(fake, server, tmp_path):
    played = fake()
    played.faults.storage_bytes = 100_000
    (tmp_path / "large").write_bytes(bytes(300_000))
    sent = server.adb("-s", played.serial, "push", str(tmp_path / "large"), "/data/local/tmp/large")
    assert sent.returncode != 0 and "No space left on device" in sent.stderr + sent.stdout
    assert not played.place("/data/local/tmp/large").exists()


def test_adbutils_sees_it_too(phone):
    played, connection = phone
    assert connection.device.shell("echo hello") == "hello"
    assert connection.device.shell2("exit 3", v2=True).returncode == 3
    connection.device.sync.push(b"content", "/data/local/tmp/file")
    assert connection.device.sync.read_bytes("/data/local/tmp/file") == b"content"
    assert played.place("/data/local/tmp/file").read_bytes() == b"content"


def test_the_adb_that_adbutils_brings_talks_to_it_as_well(fake, tmp_path):
    bundled = adbutils._utils._get_bin_dir() + "/adb"
    if bundled == adb_program():
        pytest.skip("it is the one that all other tests use")
    played = fake()
    home = tmp_path / "home"
    home.mkdir()
    server = AdbServer(home, bundled)
    try:
        server.attach(played)
        (tmp_path / "file").write_bytes(b"x" * 100_000)
        assert server.adb("push", str(tmp_path / "file"), "/data/local/tmp/file").returncode == 0
        assert played.place("/data/local/tmp/file").stat().st_size == 100_000
        assert server.adb("shell", "exit 5").returncode == 5
    finally:
        server.close()

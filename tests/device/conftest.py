"""A private adb server for the whole session, and phones to attach to it. Nothing leaves loopback."""

import shutil

import pytest
from adbd.phone import FakePhone
from adbd.server import AdbServer, adb_program

from edgedeblur.device.connect import choose_phone


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    program = adb_program()
    if program is None:
        pytest.skip("there is no adb: apt-get install adb")
    server = AdbServer(tmp_path_factory.mktemp("adb-home"), program)
    yield server
    server.close()


@pytest.fixture
def fake(server, tmp_path, monkeypatch):
    """Makes a phone, attached and ready unless told otherwise; it is unplugged after the test."""
    for name, value in server.environment.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    phones = []

    def make(*arguments, wait: bool = True, **options) -> FakePhone:
        root = tmp_path / f"phone-{len(phones)}"
        root.mkdir()
        phone = FakePhone(root, *arguments, **options)
        phones.append(phone)
        server.attach(phone, wait)
        return phone

    yield make
    for phone in phones:
        phone.close()
        server.adb("disconnect", phone.serial)


@pytest.fixture
def phone(fake):
    """(the phone, edgedeblur's connection to it)."""
    played = fake()
    return played, choose_phone(played.serial)


@pytest.fixture
def arm():
    """Skips a test that executes ARM programs where nothing can."""
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64: apt-get install qemu-user")

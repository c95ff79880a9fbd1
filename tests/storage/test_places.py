"""Caches for users without a home; what they share with others is theirs alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgedeblur.errors import UserError
from edgedeblur.storage import places
from edgedeblur.storage.places import cache_folder

UNKNOWN_USER = """
import os, sys
import getpass
from pathlib import Path
from edgedeblur.compile.linking.link import zig_cache
from edgedeblur.estimate.mca import default_cache
from edgedeblur.storage.places import settle_without_home
os.setresgid(54321, 54321, 54321); os.setresuid(54321, 54321, 54321)
os.environ.pop("HOME", None); os.environ.pop("XDG_CACHE_HOME", None)
for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
settle_without_home()
print(zig_cache().parent, default_cache().parent, Path.home(), getpass.getuser())
"""


@pytest.fixture
def no_home(tmp_path, monkeypatch):
    """Neither HOME nor XDG_CACHE_HOME nor an entry in passwd; the system's temporary folder is the test's."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_the_cache_is_in_the_home_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgedeblur"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other" / "edgedeblur"


def test_without_a_home_it_is_a_private_folder_among_the_temporary_ones(no_home):
    folder = cache_folder()
    assert folder == no_home / f"edgedeblur-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_not_used(no_home):
    (no_home / f"edgedeblur-{os.getuid()}").mkdir()
    (no_home / f"edgedeblur-{os.getuid()}").chmod(0o777)
    with pytest.raises(UserError, match="no folder for caches can be written") as raised:
        cache_folder()
    assert "XDG_CACHE_HOME" in raised.value.fix


def test_a_home_that_cannot_be_written_is_passed_over(no_home, monkeypatch):
    (no_home / "file").write_text("in the way")
    monkeypatch.setenv("HOME", str(no_home / "file"))
    assert cache_folder() == no_home / f"edgedeblur-{os.getuid()}"


def test_libraries_are_given_a_home_only_where_there_is_none(no_home, monkeypatch):
    monkeypatch.delenv("LOGNAME", raising=False)
    places.settle_without_home()
    assert Path.home() == no_home / f"edgedeblur-{os.getuid()}" and os.environ["LOGNAME"] == f"uid{os.getuid()}"
    monkeypatch.setenv("HOME", "/elsewhere")
    places.settle_without_home()
    assert os.environ["HOME"] == "/elsewhere"


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_user_that_no_passwd_file_knows_has_caches_and_a_name(tmp_path):
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o1777)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", UNKNOWN_USER], capture_output=True, text=True, env=environment)
    mine = str(tmp_path / "edgedeblur-54321")
    caches = f"{mine}/.cache/edgedeblur"
    assert done.stdout.split() == [caches, caches, mine, "uid54321"], done.stderr

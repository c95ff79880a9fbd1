"""One command at a time writes to a work directory, and says whose turn it is; a lock that was left blocks nobody."""

import os
import signal
import subprocess
import sys

import pytest

from edgedeblur import command_line
from edgedeblur.errors import UserError
from edgedeblur.workflow.workdir import WorkDir

HOLDER = """
import sys
from pathlib import Path
from edgedeblur import command_line
from edgedeblur.workflow.workdir import WorkDir
with command_line.running(["distill", "--data", "my photos"]), WorkDir(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_second_is_refused_with_the_firsts_process_and_command(tmp_path, holder):
    with pytest.raises(UserError) as raised, WorkDir(tmp_path).lock():
        pass
    assert raised.value.message == (
        f"process {holder.pid} is working on {tmp_path}: edgedeblur distill --data 'my photos'"
    )
    assert f"kill {holder.pid}" in raised.value.fix and "--workdir" in raised.value.fix


def test_a_file_of_the_work_directory_is_under_its_lock_and_one_elsewhere_is_not(tmp_path, holder):
    with pytest.raises(UserError, match="is working on"), WorkDir(tmp_path).lock(tmp_path / "student.safetensors"):
        pass
    elsewhere = tmp_path / "elsewhere" / ("n" * 250 + ".edq")
    with WorkDir(tmp_path).lock(elsewhere):
        with pytest.raises(UserError, match="name another output"), WorkDir(tmp_path / "other").lock(elsewhere):
            pass
        with WorkDir(tmp_path).lock(elsewhere.with_name("another.edq")):
            pass
    assert not elsewhere.parent.exists()  # nothing was written, so nothing stays


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_blocks_nobody_and_goes(tmp_path, holder, number):
    holder.send_signal(number)
    holder.wait()
    assert list(tmp_path.iterdir())
    with WorkDir(tmp_path).lock():
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_in_which_no_lock_can_be_made_is_worked_on_without(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with WorkDir(tmp_path).lock():
        pass


def test_many_take_turns_without_ever_being_two(tmp_path):
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from edgedeblur.errors import UserError\n"
        "from edgedeblur.workflow.workdir import WorkDir\n"
        "inside = Path(sys.argv[1]) / 'inside'\n"
        "for turn in range(60):\n"
        "    try:\n"
        "        with WorkDir(Path(sys.argv[1]) / 'work').lock():\n"
        "            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))\n"
        "            inside.unlink()\n"
        "    except UserError:\n"
        "        time.sleep(0.001)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert not list((tmp_path / "work").iterdir() if (tmp_path / "work").exists() else [])


def test_commands_that_only_read_are_not_locked_out(tmp_path, holder):
    from click.testing import CliRunner

    from edgedeblur.cli.main import cli

    result = CliRunner().invoke(cli, ["export", "--format", "onnx", "--workdir", str(tmp_path)])
    assert "is working on" not in result.stderr and "no " in result.stderr


def test_a_command_that_writes_is_locked_out(tmp_path, holder):
    from click.testing import CliRunner

    from edgedeblur.cli.main import cli

    result = CliRunner().invoke(cli, ["train", "--workdir", str(tmp_path), "--steps", "1"])
    assert result.exit_code == 1 and f"process {holder.pid} is working on" in result.stderr


def test_the_command_is_typed_as_the_shell_takes_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["edgedeblur"])
    with command_line.running(["distill", "--data", "a b", "-o", "x'y"]):
        assert command_line.resuming(command_line.words()) == "edgedeblur distill --data 'a b' -o 'x'\"'\"'y' --resume"
    with command_line.running(["--debug", "distill", "--resume"]):
        assert command_line.how_to_resume() == "to resume: edgedeblur --debug distill --resume"
    with command_line.running(["run", "--steps", "3"]):
        assert command_line.how_to_resume() == "to resume: edgedeblur run --steps 3"
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
        assert "torchrun" in command_line.how_to_resume() and command_line.words() is None
    assert "resume=True" in command_line.how_to_resume()

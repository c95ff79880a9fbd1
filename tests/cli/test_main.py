"""Every failure is one message on stderr and an exit code; help and mistakes answer without loading torch or TVM."""

import errno
import os
import signal
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

from edgedeblur.cli.main import COMMANDS, Commands, cli
from edgedeblur.data.images import write_image
from edgedeblur.errors import UserError


def run_failing(monkeypatch, error, *arguments):
    @click.command("fail")
    def fail():
        raise error

    monkeypatch.setattr(Commands, "get_command", lambda self, context, name: fail)
    monkeypatch.setattr(sys, "argv", ["edgedeblur", "fail"])
    return CliRunner().invoke(cli, [*arguments, "fail"])


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (UserError("no model x", "make it"), 1, ["error: no model x", "  make it"]),
        (UserError("no tier 'x'", exit_code=2), 2, ["error: no tier 'x'"]),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 1, ["error: /a/b: the disk is full", "  free"]),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 1, ["error: /a/b: Permission denied"]),
        (MemoryError("8 GB"), 1, ["error: out of memory: 8 GB", "  use a smaller --size"]),
        (ValueError("odd\nthing"), 1, ["error: unexpected ValueError: odd thing", "  this is a defect; please report"]),
        (KeyboardInterrupt(), 130, ["interrupted; there is nothing to resume from: the same command starts over"]),
    ],
)
def test_a_failure_is_one_message_and_an_exit_code(monkeypatch, error, code, lines):
    result = run_failing(monkeypatch, error)
    assert result.exit_code == code
    assert result.stdout == ""
    for line, found in zip(lines, result.stderr.splitlines(), strict=True):
        assert found.startswith(line)


def test_a_current_folder_that_was_removed_is_named(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from edgedeblur.cli.main import main; main()"
    write_image(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "gone").mkdir()
    command = [sys.executable, "-c", code, "deblur", tmp_path / "a.png", "out.png"]
    done = subprocess.run(command, cwd=tmp_path / "gone", capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["error: the current folder is no longer there", "  cd to one that is"]


def test_debug_adds_the_traceback_of_an_unexpected_error_but_not_of_the_users_mistake(monkeypatch):
    assert "Traceback" in run_failing(monkeypatch, ValueError("odd"), "--debug").stderr
    assert "Traceback" not in run_failing(monkeypatch, ValueError("odd")).stderr
    assert "Traceback" not in run_failing(monkeypatch, UserError("bad"), "--debug").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_an_unknown_command_lists_those_that_there_are():
    result = CliRunner().invoke(cli, ["frobnicate"])
    assert result.exit_code == 2
    assert "no command 'frobnicate'; there are run, train, distill" in result.stderr


def test_help_and_mistakes_load_neither_torch_nor_tvm():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from edgedeblur.cli.main import COMMANDS, cli\n"
        "for words in [['--help'], ['frobnicate'], *([name, '--help'] for name in COMMANDS)]:\n"
        "    CliRunner().invoke(cli, words)\n"
        "print([name for name in ('torch', 'tvm', 'cv2', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reader_that_closes_the_pipe_ends_the_program_quietly():
    writer = [sys.executable, "-c", "from edgedeblur.cli.main import main; main()", "targets"]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_ctrl_c_that_tvm_turns_into_an_error_is_an_interruption_still(monkeypatch):
    import tvm_ffi

    callback = tvm_ffi.convert(lambda: os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.setattr("edgedeblur.artefact.target.list_targets", callback)
    result = CliRunner().invoke(cli, ["targets"])
    assert result.exit_code == 130 and "interrupted" in result.stderr, result.output
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

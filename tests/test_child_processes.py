"""What edgedeblur starts ends with it, however it ends, and leaves no files behind."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from artefacts import compiled

import edgedeblur
from edgedeblur.processes import run_to_end

PACKAGE = Path(edgedeblur.__file__).parent


def children_of(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid):
    """ "R", "S", "Z" ...; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def wait_for(found, seconds=300):
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


def start(code, folder):
    """A Python program with its temporary files in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)


def named(pid, name):
    """The child of that name, which is another's until it has become it."""

    def found():
        return next((child for child in children_of(pid) if name in Path(f"/proc/{child}/comm").read_text()), None)

    return wait_for(found)


BENCH = "from edgedeblur.cli.main import cli; cli(['bench', {artefact!r}, '--min-seconds', '600', '--workdir', 'none'])"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_bench_ends_the_program_that_it_times_and_removes_its_folder(number, tmp_path):
    process = start(BENCH.format(artefact=str(compiled("host").path)), tmp_path)
    bench = named(process.pid, "edgedeblur-benc")  # the kernel keeps 15 letters
    assert bench and [path.name[:16] for path in tmp_path.iterdir()] == [".edgedeblur-tmp-"]
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert wait_for(lambda: state(bench) is None, 60), f"{number.name}: edgedeblur-bench is still {state(bench)}"
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return
    assert process.returncode == 128 + number and list(tmp_path.iterdir()) == []
    assert f"ended by {number.name}; there is nothing to resume from" in stderr and "Traceback" not in stderr


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path):
    """As under nohup."""
    code = (
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from edgedeblur.cli.main import _noted_signals\nfrom edgedeblur.processes import run_to_end\n"
        "with _noted_signals():\n    run_to_end(['sleep', '600'])"
    )
    process = start(code, tmp_path)
    sleep = named(process.pid, "sleep")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None and state(sleep) is not None
    process.terminate()
    assert "Terminated: SIGTERM" in process.communicate(timeout=120)[1]
    assert wait_for(lambda: state(sleep) is None, 60)


def test_a_library_user_that_is_killed_takes_any_program_along(tmp_path):
    """Without the command line nobody catches signals for it."""
    process = start("from edgedeblur.processes import run_to_end; run_to_end(['sleep', '600'])", tmp_path)
    sleep = named(process.pid, "sleep")
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM and wait_for(lambda: state(sleep) is None, 60)


def test_programs_are_started_in_one_place_only():
    """So that nothing is started which outlives edgedeblur."""
    starting = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            starts = module == "subprocess" and {"run", "Popen", "call", "check_call", "check_output"} & set(names)
            if starts or "subprocess" in names or {"pty", "pexpect"} & set(names):
                starting.append(str(path.relative_to(PACKAGE)))
            if isinstance(node, ast.Attribute) and node.attr in ("system", "popen", "posix_spawn", "fork", "spawnv"):
                starting.append(f"{path.relative_to(PACKAGE)}: .{node.attr}")
    assert sorted(starting) == [
        "generators/trial.py: .fork",
        "processes.py",
        "restore/video/process.py: .fork",
    ]  # copies of itself, with limits of their own


def test_output_errors_status_and_input_are_the_programs(tmp_path):
    done = run_to_end(["sh", "-c", "cat; echo oops >&2; printf '\\377'; pwd; exit 7"], folder=tmp_path, given="in|")
    assert (done.stdout, done.stderr, done.returncode) == (f"in|\ufffd{tmp_path}\n", "oops\n", 7)
    assert run_to_end(["sh", "-c", "kill -9 $$"]).returncode == -signal.SIGKILL
    assert run_to_end(["env"], environment={"ONLY": "this"}).stdout == "ONLY=this\n"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_to_end(["false"], check=True)
    assert failed.value.cmd == ["false"]


def test_what_cannot_be_started_is_the_same_error_as_without_a_tether(tmp_path):
    (tmp_path / "text").write_text("no program")
    with pytest.raises(PermissionError):
        run_to_end([tmp_path / "text"])
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        run_to_end([tmp_path / "text"])
    with pytest.raises(FileNotFoundError):
        run_to_end(["no-such-program-anywhere"])


def test_out_of_time_is_an_error_that_names_the_program_itself():
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        run_to_end(["sleep", "60"], timeout_s=0.3)
    assert raised.value.cmd == ["sleep", "60"]

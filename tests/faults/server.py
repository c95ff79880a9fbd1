"""Starts edgedeblur commands by forking a process that has torch and TVM loaded already: seconds saved on every start.

Reads requests from stdin, one JSON object a line, and answers each with a line. A command gets its own folder, output
file, limits and, if asked for, its death at the n-th call that touches the names in a folder.
"""

import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import time

_COMMANDS = (
    *("run", "train", "synth", "distill", "quantize", "compile", "bench", "tune"),
    *("deblur", "evaluate", "export"),
)


def main() -> None:
    load_everything()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = start(request) if "words" in request else wait(**request)
        print(json.dumps(answer), flush=True)


def load_everything() -> None:
    import importlib

    for name in _COMMANDS:
        importlib.import_module(f"edgedeblur.cli.{name}")
    for name in (
        "edgedeblur.workflow.run",
        "edgedeblur.train.generator",
        "edgedeblur.data.synth",
        "edgedeblur.bench.measure",
        "edgedeblur.restore.evaluation.evaluate",
        "edgedeblur.export.tflite",
        "edgedeblur.tune.tuning",
        "edgedeblur.compile.schedules.choose",
        "edgedeblur.compile.build",
    ):
        importlib.import_module(name)


def start(request: dict) -> int:
    process = os.fork()
    if process == 0:
        try:
            become_command(**request)
        finally:
            os._exit(1)  # interrupted before the command began
    return process


def wait(process: int, seconds: float) -> int | None:
    """Its exit status, the negative signal that ended it, or None while it runs."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.01)


def become_command(
    words: list[str], folder: str, log: str, scratch: str, most_bytes: int | None, killed_at: int | None
) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ["TMPDIR"], tempfile.tempdir = scratch, None
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, target in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(target, number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    if killed_at is not None:
        kill_at(killed_at)
    from edgedeblur.cli.main import main as edgedeblur

    sys.argv = ["edgedeblur", *words]
    code = 1
    try:
        edgedeblur()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def kill_at(number: int) -> None:
    """Kills this process before its n-th call that makes a file durable or changes a name."""
    calls = itertools.count()

    def counted(real):
        def call(*arguments, **named):
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in ("fsync", "replace", "rename", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


if __name__ == "__main__":
    main()

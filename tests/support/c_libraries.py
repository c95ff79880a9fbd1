"""Has zig build the C libraries that artefacts are linked with, both at once: each takes a minute of one core the first
time, and the tests of both processes would wait for one after the other."""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.linking.link import run_compiler, zig_cc
from edgedeblur.errors import UserError

TARGETS = ("host", "android")


def build(name: str) -> None:
    """What fails here fails again, with its message, in the test that links."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.c").write_text("int main(void) { return 0; }\n")
        flags = ["-O2", "-s", "-fPIC", "-static", "empty.c", "-o", "empty"]  # its key in zig's cache
        with contextlib.suppress(UserError):
            run_compiler([*zig_cc(load_target(name).zig_target), *flags], Path(folder))


if __name__ == "__main__":
    if names := sys.argv[1:]:
        build(*names)
    else:
        for process in [subprocess.Popen([sys.executable, __file__, name]) for name in TARGETS]:
            process.wait()

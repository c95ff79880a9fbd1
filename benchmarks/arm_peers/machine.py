"""A folder with Debian's Python and other runtimes' wheels for ARM, in which QEMU's user mode runs them here.

Debian's packages are taken by this machine's apt, with the key that it has for its own; nothing is installed on the
machine. Wheels come from PyPI in the versions of constraints.txt.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.storage.digests import digest

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
PYTHON = "python3.11"
DEBIAN = (
    f"{PYTHON}-minimal",
    f"lib{PYTHON}-minimal",
    f"lib{PYTHON}-stdlib",
    *("libc6", "libstdc++6", "libgcc-s1", "zlib1g", "libexpat1", "libffi8", "libgomp1"),
    *("libssl3", "liblzma5", "libbz2-1.0"),
)
WHEELS = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert", "mnn": "MNN"}
# Runtimes look for the core's kind there, and some end with a signal where they find this machine's. QEMU opens the
# file below the folder that -L names first. A Cortex-A76, which is what QEMU is told to simulate.
CPUINFO = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0b
CPU revision\t: 1

"""


@dataclass(frozen=True)
class ArmMachine:
    """root: Debian's files. site: the wheels'."""

    root: Path
    site: Path

    def command(self, script: Path, *words: str | Path) -> list[str]:
        """What runs a script with the wheels' packages, after QEMU's own options."""
        python = self.root / "usr/bin" / PYTHON
        return ["-L", str(self.root), "-E", f"PYTHONPATH={self.site}", str(python), "-B", str(script), *map(str, words)]

    def version(self, runtime: str) -> str:
        """The version of its wheel."""
        name = WHEELS[runtime].replace("-", "_").lower()
        (found,) = (one for one in self.site.glob("*.dist-info") if one.name.lower().startswith(f"{name}-"))
        return found.name.removesuffix(".dist-info").rpartition("-")[2]


def prepare(folder: Path) -> ArmMachine:
    """The folder filled, where that has not been done: some 100 MB are fetched, and it has 350 MB then.

    Raises:
        UserError: no apt, or a package cannot be had.
    """
    stamp, machine = folder / digest(CONSTRAINTS), ArmMachine(folder / "root", folder / "site")
    if stamp.is_file():
        return machine
    shutil.rmtree(folder, ignore_errors=True)
    _fetch_debian(folder / "apt", machine.root)
    (machine.root / "proc").mkdir(exist_ok=True)
    (machine.root / "proc/cpuinfo").write_text(CPUINFO)
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (28, 27, 17)]
    chosen = ["--python-version=3.11", "--only-binary=:all:", "-c", CONSTRAINTS, "--target", machine.site]
    _run([sys.executable, "-m", "pip", "install", "--quiet", *platforms, *chosen, "numpy", *WHEELS.values()])
    stamp.touch()
    return machine


def _fetch_debian(folder: Path, root: Path) -> None:
    """Debian's packages for ARM by an apt whose every state is in the folder."""
    if shutil.which("apt-get") is None:
        raise UserError("there is no apt-get, which fetches Debian's Python for ARM", "run it on Debian or Ubuntu")
    for part in ("state/lists/partial", "cache/archives/partial", "packages"):
        (folder / part).mkdir(parents=True)
    places = {"Dir::State": folder / "state", "Dir::Cache": folder / "cache", "Dir::State::status": "/dev/null"}
    settings = {"APT::Architecture": "arm64", "APT::Architectures::": "arm64", "APT::Sandbox::User": "", **places}
    sources = folder / "sources.list"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={key}] http://deb.debian.org/debian bookworm main\n")
    settings |= {"Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null"}
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    _run([*apt, "update"])
    _run([*apt, "download", *DEBIAN], folder / "packages")
    for package in sorted((folder / "packages").glob("*.deb")):
        _run(["dpkg-deb", "-x", package, root])


def _run(command: list[str | Path], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-400:]
        raise UserError(f"{' '.join(map(str, command[:4]))} ... failed: {said}", "is the network there?")

"""The work directory: where each command leaves its output and the next one finds it."""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.storage.locks import lock_of_file, lock_of_folder, locked

DEFAULT = "edgedeblur-work"


@dataclass(frozen=True)
class WorkDir:
    """File names of everything between the arrows of DESIGN.md."""

    root: Path

    @property
    def teacher(self) -> Path:
        """What `train` makes."""
        return self.root / "teacher.safetensors"

    @property
    def student(self) -> Path:
        return self.root / "student.safetensors"

    @property
    def quantised(self) -> Path:
        return self.root / "quantised.edq"

    @property
    def report(self) -> Path:
        """The report of the last bench, whatever its target."""
        return self.root / "report.json"

    @property
    def evaluation(self) -> Path:
        """What `evaluate` measured last on these models; `bench` takes the report's quality from it."""
        return self.root / "evaluation.json"

    @property
    def before_after(self) -> Path:
        return self.root / "before-after.png"

    @property
    def sensitivity(self) -> Path:
        """What `quantize --sensitivity` drew of the network beside it."""
        return self.root / "sensitivity.png"

    def lock(self, output: Path | None = None) -> AbstractContextManager[None]:
        """Keeps other commands from writing to the work directory, or to `output` where that lies elsewhere.

        Raises:
            UserError: when the block is entered: another process is working on it.
        """
        if output is None or output.absolute().parent == self.root.absolute():
            return locked(lock_of_folder(self.root), self.root, "choose another --workdir")
        return locked(lock_of_file(output), output, "name another output")

    def artefact(self, target: str) -> Path:
        return self.root / f"artefact-{target}"

    def tuned(self, name: str) -> Path:
        """A database of schedules that `tune` found."""
        return self.root / "tuned" / name

    def target_report(self, target: str) -> Path:
        """The last report of one target; stays when another target is benched."""
        return self.root / f"report-{target}.json"

    def phone_report(self, target: str, serial: str) -> Path:
        """The last report of one target on one of several phones."""
        return self.root / f"report-{target}-{_plain(serial)}.json"

    def partial_report(self, target: str, serial: str) -> Path:
        """What was measured on a phone until it was interrupted; never in the place of a whole report."""
        return self.root / f"partial-report-{target}-{_plain(serial)}.json"

    def sustained_plot(self, target: str, serial: str) -> Path:
        return self.root / f"sustained-{target}-{_plain(serial)}.png"

    def governed_plot(self, target: str, serial: str) -> Path:
        return self.root / f"governed-{target}-{_plain(serial)}.png"

    def artefacts(self) -> list[Path]:
        """Every artefact folder, the one compiled last first."""
        manifests = self.root.glob("artefact-*/manifest.json")
        return [path.parent for path in sorted(manifests, key=lambda path: path.stat().st_mtime_ns, reverse=True)]

    def need_student(self, given: Path | None) -> Path:
        return _need(given or self.student, "edgedeblur distill")

    def need_quantised(self, given: Path | None) -> Path:
        return _need(given or self.quantised, "edgedeblur quantize")

    def need_artefact(self, given: Path | None, target: str | None) -> Path:
        """The folder given, that of the named target, or the one compiled last.

        Raises:
            UserError: there is none.
        """
        if given is not None:
            return given
        if target is not None:
            return _need(self.artefact(target), f"edgedeblur compile --target {target}")
        artefacts = self.artefacts()
        if not artefacts:
            raise UserError(f"no artefact in {self.root}", "make one with: edgedeblur compile --target host")
        return artefacts[0]


def _plain(serial: str) -> str:
    """A phone's serial number as part of a file name: "127.0.0.1:5555" to "127.0.0.1_5555"."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", serial)


def _need(path: Path, command: str) -> Path:
    if not path.exists():
        raise UserError(f"no {path}", f"make it with: {command}")
    return path

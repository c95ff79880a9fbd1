"""The commands that are disturbed: how they are typed, and what their outputs must be.

Every command reads the files of `make_inputs` and writes to the folder `work`, where another file system can be.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_files import photo, write_quantised, write_student, write_teacher

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.compile.schedules.tuned import read_database
from edgedeblur.data.images import read_image, write_image
from edgedeblur.quantize.edq import load_edq
from edgedeblur.storage.digests import digest
from edgedeblur.student.model_file import read_model
from edgedeblur.training.state import read_training_state

WORK = "work"


@dataclass(frozen=True)
class Command:
    """words: what is typed after `edgedeblur`. result: of the folder `work`, what every undisturbed run gives alike.
    codes: exit codes of success."""

    name: str
    words: tuple[str, ...]
    result: Callable[[Path], object]
    codes: tuple[int, ...] = (0,)


_TINY = ("--teacher", "teacher.safetensors", "--tier", "nano", "--init", "none")
_TRAINING = ("--batch", "1", "--crop", "32", "--device", "cpu", "--precision", "float32", "--no-tensorboard")
_SIZE = ("--size", "32x48", "--target", "x86-64-v3")


def commands() -> dict[str, Command]:
    listed = [
        Command(
            "distill",
            ("distill", *_TINY, "--data", "photos", "--validation", "pairs", *_TRAINING)
            + ("--steps", "8", "--checkpoint-minutes", "0.0001", "--workdir", WORK),
            lambda work: _weights(work / "student.safetensors"),
        ),
        Command(
            "quantize",
            ("quantize", "student.safetensors", "--calibration", "pairs", "--finetune-steps", "6", "--workdir", WORK),
            lambda work: digest(work / "quantised.edq"),
        ),
        Command(
            "compile",
            ("compile", "quantised.edq", *_SIZE, "--workdir", WORK),
            lambda work: digest(work / "artefact-x86-64-v3"),
        ),
        Command("deblur", ("deblur", "photos", f"{WORK}/restored", "-m", "quantised.edq"), digest),
        Command(
            "tune",
            (
                "tune",
                "quantised.edq",
                *_SIZE,
                "--trials",
                "2",
                "--layers",
                "up0",
                "--layers",
                "stem",
                "--workdir",
                WORK,
            ),
            lambda work: sorted(str(layer.shape) for layer in read_database(work / "tuned" / "x86-64-v3.toml").layers),
        ),
        Command(
            "run",
            ("run", *_TINY, "--data", "photos", "--calibration", "pairs", "--steps", "3", "--finetune-steps", "2")
            + ("--size", "64x64", "--workdir", WORK),
            lambda work: _weights(work / "student.safetensors"),
            (0, 3),
        ),
    ]
    return {command.name: command for command in listed}


def make_inputs(folder: Path) -> Path:
    folder.mkdir(parents=True)
    write_teacher(folder / "teacher.safetensors")
    write_student(folder / "student.safetensors")
    write_quantised(folder / "quantised.edq")
    for number in range(4):
        write_image(folder / "photos" / f"{number}.png", photo(64, 80, number))
        write_image(folder / "pairs" / "blur" / f"{number}.png", photo(64, 64, number))
        write_image(folder / "pairs" / "sharp" / f"{number}.png", photo(64, 64, number + 4))
    (folder / WORK).mkdir()
    return folder


def copy_inputs(inputs: Path, folder: Path) -> Path:
    shutil.copytree(inputs, folder)
    return folder


def damaged(work: Path) -> list[str]:
    """Files under a name that is not a temporary's and yet are not whole."""
    readers = {
        ".safetensors": read_model,
        ".edq": load_edq,
        ".pt": read_training_state,
        ".png": read_image,
        ".json": lambda path: json.loads(path.read_text()),
        ".toml": read_database,
    }
    found = []
    for path in _outputs(work):
        try:
            if path.name.startswith("artefact-"):
                load_artefact(path)
            elif path.is_file():
                readers[path.suffix](path)
        except Exception as error:
            found.append(f"{path.name} is not whole: {error}")
    return found


def hidden(*folders: Path) -> list[str]:
    """Temporaries and locks."""
    return [str(path) for folder in folders for path in folder.rglob(".*")]


def _outputs(work: Path) -> list[Path]:
    """Files of the folder, and artefacts as one."""
    return [
        path
        for path in work.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(work).parts)
        and not any(part.startswith("artefact-") for part in path.relative_to(work).parts[:-1])
    ]


def _weights(path: Path) -> str:
    """A digest of the weights alone: the file says when it was made."""
    tensors = read_model(path).state
    whole = b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(whole).hexdigest()

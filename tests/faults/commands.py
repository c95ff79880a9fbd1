"""The commands that are disturbed: how they are typed, and what their outputs must be.

Every command reads the files of `make_inputs` and writes to the folder `work`, where another file system can be.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
from model_files import photo, write_quantised, write_student, write_teacher

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.schedules.tuned import read_database
from edgedeblur.data.images import read_image, write_image
from edgedeblur.quantize.edq import load_edq
from edgedeblur.report.schema import read_report
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
_TRAIN = ("train", "--recipe", "train.toml", "--data", "photos", "--validation", "pairs", *_TRAINING)
_LAYERS = ("--layers", "up0", "--layers", "stem")
_TRAIN_RECIPE = """\
[network]
widths = [8, 8, 16]
encoder_blocks = [0, 0, 1]
decoder_blocks = [0, 0]

[content]
charbonnier = 1.0

[adversary]
kind = "lsgan"
weight = 1e-3
width = 8
"""


def commands() -> dict[str, Command]:
    listed = [
        Command(
            "synth",
            ("synth", f"{WORK}/made", "--data", "photos:photos", "--count", "6", "--size", "32x48")
            + ("--contact-sheet", f"{WORK}/sheet.png"),
            digest,
        ),
        Command(
            "train",
            (*_TRAIN, "--steps", "6", "--checkpoint-minutes", "0.0001", "--workdir", WORK),
            lambda work: _weights(work / "teacher.safetensors"),
        ),
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
        Command("video", ("deblur", "film.avi", f"{WORK}/film.mp4", "-m", "quantised.edq"), digest),
        Command("export", ("export", "quantised.edq", "--format", "tflite", "-o", f"{WORK}/a.tflite"), digest),
        Command(
            "evaluate",
            ("evaluate", "pairs", "-m", "quantised.edq", "-m", "student.safetensors", "--json", f"{WORK}/found.json"),
            lambda work: [path.name for path in work.iterdir()],  # it holds times
        ),
        Command(
            "bench",
            ("bench", "artefact", "--runs", "300", "--workdir", WORK),
            lambda work: [read_report(work / f"report{suffix}.json").int8.convolutions for suffix in ("", "-host")],
            (0, 3),
        ),
        Command(
            "tune",
            ("tune", "quantised.edq", *_SIZE, "--trials", "2", *_LAYERS, "--workdir", WORK),
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
    write_film(folder / "film.avi")
    (folder / "train.toml").write_text(_TRAIN_RECIPE)
    (folder / WORK).mkdir()
    return folder


def make_artefact(inputs: Path) -> None:
    """What `bench` measures, beside the other inputs; it takes a minute."""
    compile_network(load_edq(inputs / "quantised.edq"), load_target("host"), 256, 256, inputs / "artefact")


def write_film(path: Path) -> None:
    """Six frames of 48x64."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for number in range(6):
        writer.write(photo(48, 64, number))
    writer.release()


def film_frames(path: Path) -> int:
    """How many there are.

    Raises:
        ValueError: none, or not the six.
    """
    film, frames = cv2.VideoCapture(str(path)), 0
    while film.read()[0]:
        frames += 1
    if frames != 6:
        raise ValueError(f"{frames} frames of 6")
    return frames


def read_tflite(path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    Interpreter(str(path)).allocate_tensors()


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
        ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
        ".toml": read_database,
        ".mp4": film_frames,
        ".nut": film_frames,
        ".tflite": read_tflite,
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
    """Files of the folder, and artefacts as one; not TensorBoard's, which grow as logs do."""
    return [
        path
        for path in work.rglob("*")
        if not any(part.startswith(".") or part == "tensorboard" for part in path.relative_to(work).parts)
        and not any(part.startswith("artefact-") for part in path.relative_to(work).parts[:-1])
    ]


def _weights(path: Path) -> str:
    """A digest of the weights alone: the file says when it was made."""
    tensors = read_model(path).state
    whole = b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(whole).hexdigest()

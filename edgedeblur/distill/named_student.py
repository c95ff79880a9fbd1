"""The student that a command names: a tier, a TOML file, a model file, an ONNX file, or the user's own torch module."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from edgedeblur.errors import UserError
from edgedeblur.generators.custom import load_weights
from edgedeblur.storage.digests import digest
from edgedeblur.student import Student, StudentSpec
from edgedeblur.student.importing.importer import import_module
from edgedeblur.student.importing.onnx_graph import import_onnx
from edgedeblur.student.model_file import load_student
from edgedeblur.student.table import BUDGET_GMAC, read_student_table, tier_table
from edgedeblur.student.user_module import call_module, names_callable

_FIX_WEIGHTS = "add --weights FILE: a student's model file, or a torch or safetensors file of its tensors"


@dataclass(frozen=True)
class TrainedStudent:
    """A float student with trained weights, whatever it came from.

    name: the file or module, for messages. metadata: of its model file, else nothing. sha256: of the file, or of the
    weights where they came from more than one place.
    """

    student: Student
    name: str
    metadata: dict
    sha256: str | None


def named_network(student: str) -> tuple[StudentSpec, float]:
    """The layers of what `--student` names, and its budget in GMAC at 512x512.

    Args:
        student: a TOML file, a student's model file, an ONNX file, or "package.module:callable".

    Raises:
        UserError: nothing of these, or operators that are not taken.
    """
    path = Path(student)
    if names_callable(student):
        return import_module(call_module(student), student).spec, BUDGET_GMAC
    _require_file(path)
    if path.suffix == ".toml":
        table = read_student_table(path)
        return table.spec, table.budget_gmac
    spec = import_onnx(path).spec if path.suffix == ".onnx" else load_student(path)[0].spec
    return spec, shipped_budget(spec)


def shipped_budget(spec: StudentSpec) -> float:
    """The budget of the tier of that name and layers, else that of any network."""
    from edgedeblur.student import TIERS, student_spec

    if spec.name in TIERS and spec == student_spec(spec.name, spec.gated):
        return tier_table(spec.name).budget_gmac
    return BUDGET_GMAC


def trained_student(student: str | Path, weights: Path | None = None) -> TrainedStudent:
    """A student with its weights.

    Args:
        student: a model file, an ONNX file, "package.module:callable", or a TOML file.
        weights: of a module or a TOML file. A module without keeps those that the callable gives.

    Raises:
        UserError: nothing of these, operators that are not taken, or weights that do not fit.
    """
    path, name = Path(student), str(student)
    if names_callable(name):
        module = call_module(name)
        if weights is not None:
            load_weights(weights, module)
        imported = import_module(module, name)
        return TrainedStudent(imported, name, {}, _digest_of(imported) if weights is None else digest(weights))
    _require_file(path)
    if path.suffix == ".toml":
        return _of_table(path, weights)
    if weights is not None:
        raise UserError(f"--weights is for a module or a TOML file; {path} has its own", exit_code=2)
    if path.suffix == ".onnx":
        return TrainedStudent(import_onnx(path), name, {}, digest(path))
    loaded, metadata = load_student(path)
    return TrainedStudent(loaded, name, metadata, digest(path))


def weights_for(spec: StudentSpec, student: str, weights: Path) -> Student | None:
    """A student of those layers with the weights in a file: of a student's model file with the same layers, or of the
    user's module that the layers are of. None where a model file has other layers."""
    if names_callable(student) and not _is_student(weights):
        return trained_student(student, weights).student
    found, _ = load_student(weights)
    return found if found.spec.layers == spec.layers else None


def _of_table(path: Path, weights: Path | None) -> TrainedStudent:
    spec = read_student_table(path).spec
    if weights is None:
        raise UserError(f"{path} says which layers there are, not their weights", _FIX_WEIGHTS, exit_code=2)
    if _is_student(weights):
        student, metadata = load_student(weights)
        if student.spec.layers != spec.layers:
            raise UserError(f"{weights} is a student of other layers than {path}", _FIX_WEIGHTS)
        return TrainedStudent(student, str(path), metadata, digest(weights))
    with torch.random.fork_rng(devices=[]):
        student = Student(spec)
    load_weights(weights, student)
    return TrainedStudent(student.eval(), str(path), {}, digest(weights))


def _is_student(path: Path) -> bool:
    from edgedeblur.student.model_file import is_model_file

    _require_file(path)
    return is_model_file(path)


def _digest_of(student: Student) -> str:
    """Of weights that come from no file."""
    state = sorted(student.state_dict().items())
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for _, tensor in state)).hexdigest()


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f"no student {path}: there is no such file",
            "give a TOML file, a student's .safetensors, an .onnx file, or package.module:callable",
            exit_code=2,
        )

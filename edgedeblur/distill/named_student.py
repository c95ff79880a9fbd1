"""The student that a command names: a tier, a TOML file, a model file, an ONNX file, or the user's own torch module."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from edgedeblur.errors import UserError
from edgedeblur.generators.custom import load_weights
from edgedeblur.generators.weight_file import file_format
from edgedeblur.storage.contents import Origin, require_regular
from edgedeblur.storage.digests import digest
from edgedeblur.student import Student, StudentSpec, student_spec
from edgedeblur.student.importing.importer import import_module
from edgedeblur.student.importing.onnx_graph import import_onnx
from edgedeblur.student.model_file import is_model_file, load_student
from edgedeblur.student.table import BUDGET_GMAC, is_tier, read_student_table, tier_table
from edgedeblur.student.user_module import call_module, names_callable

_FIX_WEIGHTS = "add --weights FILE: a student's model file, or a torch or safetensors file of its tensors"


@dataclass(frozen=True)
class NamedNetwork:
    """The layers of a student, without weights, and its budget in GMAC at 512x512."""

    spec: StudentSpec
    budget_gmac: float


@dataclass(frozen=True)
class TrainedStudent:
    """A float student with its weights, whatever it came from.

    name: the file or module, for messages. sha256: of the file, or of the weights where they are in none.
    metadata: of a student's model file; nothing for others.
    """

    student: Student
    name: str
    sha256: str | None
    budget_gmac: float
    metadata: dict


def named_network(student: str | None, tier: str, gates: bool = False) -> NamedNetwork:
    """The layers that `--student` or `--tier` names.

    Args:
        student: a TOML file, a student's model file, an ONNX file, or "package.module:callable"; None: the tier.
        gates: of the tier.

    Raises:
        UserError: nothing of these, layers that do not fit together, or operators that are not taken.
    """
    if student is None:
        return NamedNetwork(student_spec(tier, gates), tier_table(tier).budget_gmac)
    if not names_callable(student) and Path(student).suffix == ".toml":
        table = read_student_table(student)
        return NamedNetwork(table.spec, table.budget_gmac)
    found = trained_student(student)
    return NamedNetwork(found.student.spec, found.budget_gmac)


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
        return _of_module(name, weights)
    _require_file(path)
    if path.suffix == ".toml":
        return _of_table(path, weights)
    if weights is not None:
        raise UserError(f"--weights is for a module or a TOML file; {path} has its own", exit_code=2)
    if path.suffix == ".onnx":
        return TrainedStudent(import_onnx(path), name, digest(path), BUDGET_GMAC, {})
    _require_student(path)
    loaded, metadata = load_student(path)
    return TrainedStudent(loaded, name, digest(path), _budget(loaded.spec), metadata)


def initial_weights(path: Path, student: str | None) -> Student:
    """The student in a file that a distillation starts from: a model file, or the weights of the user's module.

    Args:
        student: what `--student` names.
    """
    if student is not None and names_callable(student) and path.is_file() and not is_model_file(path):
        return trained_student(student, path).student
    return load_student(path)[0]


def _of_module(name: str, weights: Path | None) -> TrainedStudent:
    module = call_module(name)
    if weights is not None:
        _require_file(weights)
        load_weights(weights, module)
    imported = import_module(module, name)
    sha256 = _digest_of(imported) if weights is None else digest(weights)
    return TrainedStudent(imported, name, sha256, BUDGET_GMAC, {})


def _of_table(path: Path, weights: Path | None) -> TrainedStudent:
    table = read_student_table(path)
    if weights is None:
        raise UserError(f"{path} says which layers there are, not their weights", _FIX_WEIGHTS, exit_code=2)
    _require_file(weights)
    if is_model_file(weights):
        student, metadata = load_student(weights)
        if student.spec.layers != table.spec.layers:
            raise UserError(f"{weights} is a student of other layers than {path}", _FIX_WEIGHTS)
    else:
        with torch.random.fork_rng(devices=[]):  # building draws initial weights
            student, metadata = Student(table.spec).eval(), {}
        load_weights(weights, student)
    return TrainedStudent(student, str(path), digest(weights), table.budget_gmac, metadata)


def _budget(spec: StudentSpec) -> float:
    """That of the tier with these layers, else that of any network."""
    return tier_table(spec.name).budget_gmac if is_tier(spec) else BUDGET_GMAC


def _digest_of(student: Student) -> str:
    state = sorted(student.state_dict().items())
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for _, tensor in state)).hexdigest()


def _require_file(path: Path) -> None:
    kinds = "a student is a TOML file, a model file (.safetensors), an .onnx file, or package.module:callable"
    if not path.exists():
        raise UserError(f"no file {path}", kinds, exit_code=2)
    require_regular(path, Origin(str(path), kinds))


def _require_student(path: Path) -> None:
    """Weights alone do not say what network they are of; a damaged model file has a message of its own."""
    if is_model_file(path):
        return
    try:
        kind = file_format(path)
    except UserError:
        return
    raise UserError(
        f"{path} is {kind.value} without the network that its weights are of",
        f"name the network too: --student package.module:callable --weights {path}",
    )

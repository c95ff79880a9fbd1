"""Whether LLVM knows the processor and the features that a target names: it would compile for a generic one instead."""

import contextlib
import difflib
import functools
import os
import sys
from collections.abc import Iterator

import tvm
from tvm.target import codegen

from edgedeblur.artefact.isa import ISAS
from edgedeblur.artefact.target import Target
from edgedeblur.errors import UserError

_SHOWN = 150  # names in a message: every cpu, and part of the features
_FIX = "correct it in the target's TOML; edgedeblur targets shows those that work"


def check_llvm_names(target: Target) -> None:
    """Raises UserError unless LLVM knows the target's cpu and features, and they include what its isa needs."""
    _check(target.name, target.triple, target.cpu, target.features, target.isa)


@functools.cache
def _check(name: str, triple: str, cpu: str, features: tuple[str, ...], isa: str) -> None:
    if not codegen.llvm_is_valid_cpu(cpu, triple):
        raise UserError(f"target {name}: LLVM has no cpu {cpu!r} for {triple}; {_known(cpu, _cpus(triple))}", _FIX, 2)
    known = _features(triple)
    for feature in (feature[1:] for feature in features):
        if feature not in known and not _is_feature(feature, triple):
            raise UserError(
                f"target {name}: LLVM has no feature {feature!r} for {triple}; {_known(feature, known)}", _FIX, 2
            )
    present = codegen.llvm_get_cpu_features(_target(triple, cpu, features))
    missing = [feature for feature in ISAS[isa].features if feature[1:] not in present]
    if missing:
        raise UserError(
            f"target {name}: isa {isa!r} needs {' '.join(missing)}, which {cpu} with features "
            f"[{', '.join(features)}] does not have",
            f"add {' '.join(missing)} to features, or choose another cpu or isa",
            2,
        )


def _target(triple: str, cpu: str | None = None, features: tuple[str, ...] = ()) -> tvm.target.Target:
    described = {"kind": "llvm", "mtriple": triple, "mattr": list(features)}
    return tvm.target.Target(described | ({"mcpu": cpu} if cpu else {}))


def _cpus(triple: str) -> list[str]:
    return sorted(map(str, codegen.llvm_get_cpu_archlist(_target(triple))))


@functools.cache
def _features(triple: str) -> frozenset[str]:
    """Features that some cpu has; LLVM knows a few more, such as reserve-x18."""
    return frozenset().union(*(codegen.llvm_get_cpu_features(_target(triple, cpu)) for cpu in _cpus(triple)))


def _is_feature(name: str, triple: str) -> bool:
    """Whether LLVM knows a feature at all."""
    with _without_stderr():  # LLVM reports an unknown feature there, by itself and unasked
        return name in codegen.llvm_get_cpu_features(_target(triple, features=("+" + name,)))


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Drops what C++ code writes to file descriptor 2 meanwhile."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _known(name: str, names: list[str] | frozenset[str]) -> str:
    """What there is, the most similar names first."""
    near = difflib.get_close_matches(name, sorted(names), n=5, cutoff=0.5)
    others = [other for other in sorted(names) if other not in near]
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return (f"near it are {', '.join(near)}; others are " if near else "there are ") + ", ".join(others[:_SHOWN]) + more

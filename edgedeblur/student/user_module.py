"""A network made by the user's own Python code, named as package.module:callable."""

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.errors import UserError

if TYPE_CHECKING:
    from torch import nn

_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def names_callable(path: str | Path) -> bool:
    """Whether a model is given as Python code, `package.module:callable`, and not as a file."""
    return _CALLABLE.fullmatch(str(path)) is not None and not Path(path).exists()


def call_module(module_callable: str) -> "nn.Module":
    """The network that a callable gives, which is imported from PYTHONPATH or the current folder.

    Args:
        module_callable: "package.module:callable"; called without arguments, it returns an nn.Module.

    Raises:
        UserError: it cannot be imported or called, or gives no network.
    """
    from torch import nn

    module_name, _, name = module_callable.partition(":")
    if not module_name or not name:
        raise UserError(f"{module_callable!r} is not of the form package.module:callable", exit_code=2)
    try:
        with _current_folder_importable():
            module = importlib.import_module(module_name)
    except ImportError as error:
        fix = "set PYTHONPATH to the folder that has it, or start edgedeblur in that folder"
        raise UserError(f"cannot import {module_name}: {error}", fix) from error
    except Exception as error:  # a user's own code
        raise UserError(f"importing {module_name} fails: {first_line(error)}") from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UserError(f"{module_name} has no callable {name!r}", exit_code=2)
    try:
        network = factory()
    except Exception as error:  # a user's own code
        fix = "name a callable that needs no arguments"
        raise UserError(f"{module_callable}() fails: {first_line(error)}", fix) from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{module_callable}() gives a {type(network).__name__}, not a torch.nn.Module")
    return network


def first_line(error: Exception) -> str:
    """An exception of somebody else's code in one line: its type and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    """`python -m` puts the current folder on the import path; a console script does not."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove("")

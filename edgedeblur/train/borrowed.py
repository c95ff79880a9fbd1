"""Weights of ImageNet networks in files of the user's: read without executing anything, checked, never downloaded."""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.layouts import strip_wrappers
from edgedeblur.generators.weight_file import read_tensors


def read_borrowed(path: Path, what: str, fix: str) -> dict[str, Tensor]:
    """Every tensor in a file, by name, without a wrapper's prefix.

    Args:
        what: whose weights they should be, for messages. fix: which file to give.

    Raises:
        UserError: no such file, or not a file of tensors.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no {what} weights {path}: no such file", fix)
    try:
        dicts = read_tensors(path)
    except UserError as error:
        raise UserError(f"{what} weights: {error.message}", fix) from error
    return strip_wrappers({name: tensor for found in dicts for name, tensor in found.tensors.items()})


def take_weights(network: nn.Module, tensors: dict[str, Tensor], path: Path, what: str, fix: str) -> None:
    """Give a network those of the tensors that it has by the same names; others are left over.

    Raises:
        UserError: one is missing, has another shape, or is not finite.
    """
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise UserError(f"{path} has no {name}: not {what}'s weights", fix)
        if tensors[name].shape != tensor.shape:
            found, expected = list(tensors[name].shape), list(tensor.shape)
            raise UserError(f"{path}: {name} is {found}, in {what} {expected}", fix)
        if not torch.isfinite(tensors[name]).all():
            raise UserError(f"{path}: {name} has weights that are NaN or infinite", fix)
    network.load_state_dict({name: tensors[name].float() for name in wanted})

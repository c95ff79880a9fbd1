"""Tensors in torch's and safetensors' files, on the CPU: nothing in them is executed."""

import pickle
import warnings
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin

FIX_COPY = "copy or download the file again"
FIX_SAVE = "save the weights alone: torch.save(netG.state_dict(), 'weights.pth')"


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor in a safetensors file, as stored.

    Raises:
        UserError: not a whole safetensors file.
    """
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise UserError(f"{path} is not a whole safetensors file: {first_line(error)}", FIX_COPY) from error


def load_torch(stream: BinaryIO, origin: Origin) -> object:
    """What torch.save wrote, tensors and plain values only. The stream, not a path: by its path torch would take any
    *.safetensors for one.

    Raises:
        UserError: truncated, damaged, or holding anything that would have to be executed. `origin.fix` is for damage.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on old storage types say nothing to a user
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        fix = FIX_SAVE if origin.fix == FIX_COPY else origin.fix
        raise UserError(f"{origin.name} {_refusal(error)}", fix, origin.exit_code) from error
    except Exception as error:  # a damaged pickle can raise whatever its bytes spell
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{origin.name} is truncated or damaged: {reason}", origin.fix, origin.exit_code) from error


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _refusal(error: pickle.UnpicklingError) -> str:
    """What torch's weights-only reader objected to, in words; its own text advises loading the file unsafely."""
    text = str(error)
    for opening in ("Unsupported global: GLOBAL ", "Trying to load unsupported GLOBAL "):
        if opening in text:
            name = text.split(opening)[1].split()[0].rstrip(".,")
            return f"asks to call {name} while loading; only tensors are loaded, so nothing was executed"
    reason = text.split("WeightsUnpickler error:")[-1].strip().splitlines() or ["not readable"]
    return f"is not a plain file of tensors, or damaged ({reason[0][:200]}); nothing was executed"

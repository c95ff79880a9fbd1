"""What the self-test of the float16 form compares with: the tile restored in float32 by torch, and how far from it a
GPU may be.

How far float16 in memory takes the picture is computed here too, by the same network in torch with every stored tensor
rounded; a GPU adds in another order, so it may be somewhat farther.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.compile.gpu.half.network import LARGEST, pixel_factor
from edgedeblur.errors import UserError
from edgedeblur.student import IMAGE, Student

MOST_LEVELS = 8  # by which float16 may change the tile's restoration; more is no rounding error
_SPARE_LEVELS = 2


@dataclass(frozen=True)
class HalfReference:
    """restored: uint8 [H, W, 3], the image full of the tile, in float32. levels: the most by which a byte differs with
    float16 in memory. tolerance: by which it may differ on a GPU."""

    restored: np.ndarray
    levels: int

    @property
    def tolerance(self) -> int:
        return self.levels + _SPARE_LEVELS


def make_reference(student: Student, height: int, width: int) -> HalfReference:
    """The reference of a student compiled for height x width.

    Raises:
        UserError: float16 changes the picture by more than MOST_LEVELS.
    """
    image = fill_image(make_tile(), height, width)
    restored = restore_in_float32(student, image)
    levels = int(np.abs(restore_in_float16(student, image).astype(int) - restored).max())
    if levels > MOST_LEVELS:
        raise UserError(
            f"float16 changes the self-test's picture by {levels} of 255 levels; at most {MOST_LEVELS} are rounding",
            "compile without --precision fp16: the int8 kernels are exact",
        )
    return HalfReference(restored, levels)


@torch.no_grad()
def restore_in_float32(student: Student, image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] to the same."""
    return _to_image(student(_to_real(image)))


@torch.no_grad()
def restore_in_float16(student: Student, image: np.ndarray) -> np.ndarray:
    """The same with weights and every tensor between layers rounded to float16, and sums in float32."""
    rounded = copy.deepcopy(student)
    for layer in student.spec.convolutions:
        weight, factor = rounded.conv(layer.name).weight, pixel_factor(layer)
        weight.copy_((weight * factor).half().float() / factor)
    tensors = {IMAGE: _to_real(image)}
    for layer in student.spec.layers:
        made = rounded.layer_output(layer, tensors)
        last = layer is student.spec.layers[-1]
        tensors[layer.name] = made if last else made.clamp(-LARGEST, LARGEST).half().float()
    return _to_image(made)


def _to_real(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def _to_image(real: Tensor) -> np.ndarray:
    return (real[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()

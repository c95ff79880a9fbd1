"""PSNR of a network on validation pictures, beside that of the blurred pictures themselves."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.data.pairs import PairInMemory
from edgedeblur.metrics import psnr

Restore = Callable[[Tensor], Tensor]
"""[1, 3, H, W] in [0, 1], H and W in the network's multiples -> the same shape."""
RestoreImage = Callable[[np.ndarray], np.ndarray]
"""uint8 HxWx3 RGB -> the same shape."""


def to_tensor(image: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 HxWx3 -> float32 [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(image.copy()).to(device).permute(2, 0, 1)[None].float().div(255)


def to_image(tensor: Tensor) -> np.ndarray:
    """float [1, 3, H, W] in [0, 1] -> uint8 HxWx3, clamped and rounded to nearest."""
    return tensor[0].float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def restore_image(restore: Restore, image: np.ndarray, multiple: int, device: torch.device | str = "cpu") -> np.ndarray:
    """A uint8 picture of any size through a network: its border is repeated up to the multiple, and cut off again."""
    height, width = image.shape[:2]
    padding = (0, -width % multiple, 0, -height % multiple)
    with torch.inference_mode():
        restored = restore(F.pad(to_tensor(image, device), padding, mode="replicate"))
    return to_image(restored)[:height, :width]


def mean_psnr(pairs: Sequence[PairInMemory], restore: RestoreImage) -> dict[str, float]:
    """Mean PSNR in dB per group and over all (`mean`), after `restore` of each blurred uint8 picture."""
    by_group: dict[str, list[float]] = {}
    for pair in pairs:
        by_group.setdefault(pair.group, []).append(min(100.0, psnr(restore(pair.blur), pair.sharp)))
    groups = {group: float(np.mean(values)) for group, values in by_group.items()}
    every = [value for values in by_group.values() for value in values]
    return groups | {"mean": float(np.mean(every))}

"""Images as Python programs hold them: NumPy arrays and torch tensors, one or a batch; the same kind comes back.

torch is not loaded for this: a tensor can only be given where the caller has loaded it.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from edgedeblur.errors import UserError

ALLOWED = (
    "allowed are uint8 [H, W, 3] or [N, H, W, 3], NumPy or torch, and torch floats [3, H, W] or [N, 3, H, W] in [0, 1]"
)


def restore_in_kind(image: Any, restore: Callable[[np.ndarray], np.ndarray]) -> Any:
    """An image or a batch, restored, as the kind that it is.

    Args:
        image: NumPy or torch uint8 [H, W, 3] or [N, H, W, 3]; torch float [3, H, W] or [N, 3, H, W] in [0, 1].
        restore: uint8 [H, W, 3] RGB to the same shape.

    Returns:
        The same type, dtype, shape and torch device as `image`. Floats are rounded to 8 bits before and after.

    Raises:
        UserError: another type, dtype or shape, no pixels, or floats outside [0, 1].
    """
    if isinstance(image, np.ndarray):
        return _restore_array(image, restore)
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(image, torch.Tensor):
        raise UserError(f"an image cannot be of type {type(image).__name__}", ALLOWED)
    if not image.is_floating_point():
        restored = _restore_array(_to_numpy(image), restore)
        return torch.from_numpy(restored).to(image.device)
    pixels = _float_pixels(image)
    restored = torch.from_numpy(_restore_array(pixels, restore)).to(image.device)
    return (restored.movedim(-1, -3).float() / 255).to(image.dtype).contiguous()


def _restore_array(image: np.ndarray, restore: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
        raise _not_an_image(image.dtype, image.shape)
    return restore(image) if image.ndim == 3 else np.stack([restore(one) for one in image])


def _float_pixels(tensor: Any) -> np.ndarray:
    """uint8 [..., H, W, 3] of a float tensor [..., 3, H, W]."""
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4) or shape[-3] != 3 or 0 in shape:
        raise _not_an_image(tensor.dtype, shape)
    values = _to_numpy(tensor.float())
    if not (values.min() >= 0 and values.max() <= 1):  # not: "outside", which NaN is not
        raise UserError(
            f"a float image has values from {values.min():g} to {values.max():g}; allowed are 0 to 1",
            "divide by 255, or use image.clamp(0, 1)",
        )
    return np.rint(np.moveaxis(values, -3, -1) * 255).astype(np.uint8)


def _to_numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _not_an_image(dtype: Any, shape: tuple[int, ...]) -> UserError:
    return UserError(f"an image cannot be {str(dtype).removeprefix('torch.')} {list(shape)}", ALLOWED)

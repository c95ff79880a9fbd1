"""The golden set: outputs of the original DeblurGAN code, and the made-up weights that they were computed with.

It lies outside the repository: in the folder that EDGEDEBLUR_SHARED names, else in `shared` beside the repository.
"""

import json
import math
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("EDGEDEBLUR_SHARED", REPOSITORY.parent / "shared")) / "golden"
V1 = ("v1_resnet9_dropout", "v1_resnet9_nodropout", "v1_head_dropout", "v1_head_nodropout")
V2 = ("v2_fpn_mobilenet", "v2_fpn_inception")


def is_there() -> bool:
    return (FOLDER / f"{V1[0]}.keys.json").is_file()


def weights(variant: str) -> dict[str, Tensor]:
    """All tensors by official name, aliases sharing memory, by the formula in the set's README."""
    document = json.loads((FOLDER / f"{variant}.keys.json").read_text())
    tensors: dict[str, Tensor] = {}
    for (key, shape, dtype, canonical), crc in zip(document["keys"], document["crc32"], strict=True):
        name = canonical or key
        if name not in tensors:
            value = np.asarray(_value(name, shape, document["gains"]), dtype)
            assert zlib.crc32(value.tobytes()) == crc, name
            tensors[name] = torch.from_numpy(value)
        tensors[key] = tensors[name]
    return {key: tensors[key] for key, *_ in document["keys"]}


def arrays(variant: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{variant}.npz") as file:
        return dict(file)


def canonical_names(variant: str) -> list[str]:
    document = json.loads((FOLDER / f"{variant}.keys.json").read_text())
    return [key for key, _, _, canonical in document["keys"] if canonical is None]


def _value(name: str, shape: list[int], gains: list) -> np.ndarray:
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape)
    if name.endswith("running_mean"):
        return 0.1 * noise
    if name.endswith("running_var"):
        return np.abs(1 + 0.2 * noise) + 0.1
    if name.endswith("bias"):
        return 0.05 * noise
    if len(shape) == 1:
        return 1 + 0.1 * noise
    gain = next(gain for prefix, gain in gains if name.startswith(prefix))
    return noise * (gain * math.sqrt(2.0 / math.prod(shape[1:])))

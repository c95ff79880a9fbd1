"""Small model files and images of every kind, for tests of what opens them."""

import json
from pathlib import Path

import numpy as np
import torch
from networks import random_network, tiny_spec
from photographs import photo
from PIL import Image

from edgedeblur.generators.networks.unet import UNetConfig, build_unet
from edgedeblur.quantize.edq import save_edq
from edgedeblur.student import Student
from edgedeblur.student.model_file import UNET, save_model, save_student


def write_teacher(path: Path) -> Path:
    config = UNetConfig(widths=(8, 8, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1))
    network = build_unet(config)
    torch.nn.init.normal_(network.head.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    return save_model(path, UNET, network.state_dict(), config.to_json(), {"trained_on": "nothing"})


def write_student(path: Path) -> Path:
    torch.manual_seed(0)
    student = Student(tiny_spec())
    torch.nn.init.normal_(student.conv("head").weight, std=0.01)
    return save_student(path, student, {"seed": 0})


def write_quantised(path: Path) -> Path:
    save_edq(random_network(tiny_spec()), path)
    return path


def write_odd_images(folder: Path) -> dict[str, Path]:
    """A grey, an RGBA, a 16-bit, a palette and a 1x1-pixel PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb = photo()
    images = {
        "grey": Image.fromarray(rgb[..., 0]),
        "rgba": Image.fromarray(np.dstack([rgb, rgb[..., :1]])),
        "sixteen-bit": Image.fromarray(rgb[..., 0].astype(np.uint16) * 257),
        "palette": Image.fromarray(rgb).convert("P"),
        "one-pixel": Image.fromarray(rgb[:1, :1]),
    }
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in images}


def write_bad_models(folder: Path) -> dict[str, Path]:
    """What users give by mistake where a model is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = {name: folder / name for name in ("text.txt", "empty.pth", "photo.png", "json.safetensors", "cut.edq")}
    bad["text.txt"].write_text("this is not a model\n")
    bad["empty.pth"].write_bytes(b"")
    Image.fromarray(photo()).save(bad["photo.png"])
    bad["json.safetensors"].write_text(json.dumps({"a": 1}))
    whole = write_quantised(folder / "whole.edq").read_bytes()
    bad["cut.edq"].write_bytes(whole[: len(whole) // 2])
    bad["empty-folder"] = folder / "empty-folder"
    bad["empty-folder"].mkdir()
    bad["missing"] = folder / "missing.edq"
    return bad

"""The ImageNet weights that DeblurGAN-v2's encoders start from, in the forms in which they are handed around."""

import re
from pathlib import Path

from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.networks.deblurgan_v2 import PyramidGenerator
from edgedeblur.train.borrowed import read_borrowed, take_weights

_NAMES = {"features": "MobileNetV2", "inception": "Inception-ResNet-v2"}
_FIXES = {
    "features": "give torchvision's mobilenet_v2 weights (mobilenet_v2-*.pth), or the file that upstream starts from",
    "inception": "give the inceptionresnetv2 weights of pretrainedmodels or timm (keys conv2d_1a.conv.weight ...)",
}
# torchvision nests convolution and BatchNorm in a block of their own: conv.1.0 for upstream's conv.3
_NESTED = re.compile(r"^(\d+\.conv)\.(\d)\.(\d)\.")
_LAST_OF_BLOCK = re.compile(r"^(\d+\.conv)\.(\d)\.(?=[a-z])")


def load_encoder(network: nn.Module, path: Path) -> None:
    """Give a DeblurGAN-v2 generator's encoder the ImageNet weights in a file.

    Raises:
        UserError: another generator; no such file; weights of another network.
    """
    if not isinstance(network, PyramidGenerator):
        raise UserError(f"{path}: only fpn_mobilenet and fpn_inception take an encoder's weights", exit_code=2)
    backbone = network.config.backbone
    what, fix = _NAMES[backbone], _FIXES[backbone]
    tensors = read_borrowed(path, what, fix)
    take_weights(encoder_of(network), _own_names(backbone, tensors), path, what, fix)


def encoder_of(network: nn.Module) -> nn.Module:
    """A DeblurGAN-v2 generator's encoder."""
    return network.fpn.get_submodule(network.fpn.backbone)


def _own_names(backbone: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if backbone == "inception":
        return tensors
    names = {name: name.removeprefix("features.") for name in tensors if name.startswith("features.")}
    nested = any(_NESTED.match(name) for name in names.values())
    return {_flat(name) if nested else name: tensors[full] for full, name in names.items()}


def _flat(name: str) -> str:
    """torchvision's name of a MobileNetV2 tensor as upstream has it, where a block is conv, norm, ReLU6 in a row."""
    if found := _NESTED.match(name):
        return f"{found[1]}.{3 * int(found[2]) + int(found[3])}.{name[found.end() :]}"
    if found := _LAST_OF_BLOCK.match(name):
        blocks = 1 if name.startswith("1.") else 2  # block 1 does not expand
        return f"{found[1]}.{int(found[2]) + 2 * blocks}.{name[found.end() :]}"
    return name

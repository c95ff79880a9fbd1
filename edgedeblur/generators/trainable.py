"""The generators that `train` can train: their configurations by the name upstream gives them, fresh weights, files."""

import dataclasses
import json
from pathlib import Path

import torch
from torch import nn

from edgedeblur.errors import UserError
from edgedeblur.generators.layouts import variant
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.deblurgan_v1 import PUBLISHED_DROPOUT, ResnetGenerator, V1Config, set_dropout
from edgedeblur.generators.networks.deblurgan_v2 import PyramidGenerator, V2Config
from edgedeblur.generators.networks.unet import UNetConfig, build_unet
from edgedeblur.student.model_file import UNET, save_model, write_tensors

NetworkConfig = UNetConfig | V1Config | V2Config
NETWORKS: dict[str, NetworkConfig] = {
    "unet": UNetConfig(),
    "resnet_9blocks": V1Config(blocks=9),
    "resnet_6blocks": V1Config(blocks=6),
    "fpn_mobilenet": V2Config("features", filters=64),
    "fpn_inception": V2Config("inception", filters=128),
}
NAMED_FIELDS = ("blocks", "backbone")  # what the name says already
_MAX_WIDTH = 1024
_INITIAL_SPREAD = 0.02


def network_name(config: NetworkConfig) -> str:
    return "unet" if isinstance(config, UNetConfig) else variant(config)


def configured(name: str, changed: dict[str, object]) -> NetworkConfig:
    """A network's configuration with some fields changed.

    Raises:
        ValueError: a width that is no width, or what the configuration itself refuses.
    """
    for field in ("ngf", "filters"):
        if field in changed and not 2 <= changed[field] <= _MAX_WIDTH:
            raise ValueError(f"network.{field} is {changed[field]}; it must be 2 to {_MAX_WIDTH}")
    if changed.get("upsample_kernel", 3) not in (3, 4):
        raise ValueError(f"network.upsample_kernel is {changed['upsample_kernel']}; it must be 3 or 4")
    return dataclasses.replace(NETWORKS[name], **changed)


def build_network(config: NetworkConfig, seed: int) -> nn.Module:
    """A generator with fresh weights, the same for the same seed: [N, 3, H, W] in [-1, 1] -> the same.

    DeblurGAN v1 starts from normal weights of spread 0.02 as upstream, DeblurGAN-v2 from torch's own initialisation (as
    upstream, but for the encoder, which upstream takes from ImageNet), the U-Net as the identity.
    """
    if isinstance(config, UNetConfig):
        return build_unet(config, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(config, V2Config):
            return PyramidGenerator(config)
        network = _training_resnet(config)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, _INITIAL_SPREAD)
                nn.init.zeros_(module.bias)
        return network


def initial_network(path: Path, config: NetworkConfig) -> nn.Module:
    """The generator in a file, to continue from; its own widths and depth count, not the recipe's.

    Raises:
        UserError: not a generator's file, or one of another family than `config`'s.
    """
    generator = load_generator(path, accept_half=True)  # training goes on from rounded weights as well
    network = generator.network
    if type(getattr(network, "config", None)) is not type(config):
        raise UserError(
            f"{path} holds {generator.info.family} {generator.info.variant}; the recipe trains {network_name(config)}",
            f"choose its network with --network, one of {', '.join(NETWORKS)}",
            exit_code=2,
        )
    if isinstance(config, V1Config):  # what a file does not tell is as the recipe says
        told = dataclasses.replace(network.config, learn_residual=config.learn_residual, head_relu=config.head_relu)
        weights, network = network.state_dict(), _training_resnet(told)
        network.load_state_dict(weights)
    return network.requires_grad_(True)


def _training_resnet(config: V1Config) -> ResnetGenerator:
    network = ResnetGenerator(config)
    set_dropout(network, PUBLISHED_DROPOUT)
    return network


def save_network(path: Path, network: nn.Module, config: NetworkConfig, facts: dict) -> Path:
    """Write a trained generator: the U-Net as edgedeblur's model file (float16 weights), DeblurGAN's as safetensors
    with upstream's names (float32), which whatever takes a teacher recognises.

    Args:
        facts: of the run, JSON values; kept in the file's metadata.

    Raises:
        UserError: the file cannot be written, or a weight is NaN or infinite.
    """
    if isinstance(config, UNetConfig):
        return save_model(path, UNET, network.state_dict(), config.to_json(), facts, half=True)
    tensors = {
        name: tensor.detach().float().cpu().contiguous() for name, tensor in sorted(network.state_dict().items())
    }
    return write_tensors(path, tensors, {"training": json.dumps(facts, sort_keys=True)})

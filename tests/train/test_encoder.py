"""ImageNet weights for DeblurGAN-v2's encoder: torchvision's and upstream's MobileNetV2 files give the same maps."""

import pytest
import torch
from torch import nn

from edgedeblur.errors import UserError
from edgedeblur.generators.networks.deblurgan_v2 import V2Config
from edgedeblur.generators.networks.mobilenet_v2 import LEVEL_ENDS
from edgedeblur.generators.networks.normalisation import set_bn
from edgedeblur.generators.trainable import NETWORKS, build_network
from edgedeblur.train.encoder import encoder_of, load_encoder
from edgedeblur.train.generator import TrainOptions, train_generator
from edgedeblur.training.progress import Reporter

# Sandler et al., CVPR 2018, table 2: expansion, channels, repeats, stride
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _conv_norm_relu6(cin, cout, kernel, stride=1, groups=1) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU6())


class _TorchvisionBlock(nn.Module):
    """Named as in torchvision: conv.0.0 ... and, after the nested blocks, a bare convolution and norm."""

    def __init__(self, cin, cout, stride, expansion):
        super().__init__()
        width = cin * expansion
        expand = [_conv_norm_relu6(cin, width, 1)] if expansion > 1 else []
        project = [nn.Conv2d(width, cout, 1, bias=False), nn.BatchNorm2d(cout)]
        self.conv = nn.Sequential(*expand, _conv_norm_relu6(width, width, 3, stride, width), *project)
        self.adds = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


def torchvision_mobilenet() -> nn.Sequential:
    blocks, width = [_conv_norm_relu6(3, 32, 3, 2)], 32
    for expansion, channels, repeats, stride in GROUPS:
        for index in range(repeats):
            blocks.append(_TorchvisionBlock(width, channels, stride if index == 0 else 1, expansion))
            width = channels
    return nn.Sequential(*blocks, _conv_norm_relu6(320, 1280, 1)).eval()


@pytest.fixture(scope="module")
def imagenet():
    torch.manual_seed(0)
    network = torchvision_mobilenet()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network


def upstream_name(name: str, places: dict[str, int]) -> str:
    """upstream's file numbers the leaf modules of a block in a row, ReLU6 too."""
    block, _, rest = name.partition(".conv.")
    module, _, tensor = rest.rpartition(".")
    return f"features.{block}.conv.{places[f'{block}.{module}']}.{tensor}" if rest else f"features.{name}"


@pytest.mark.parametrize("form", ["torchvision", "upstream", "upstream in DataParallel"])
def test_the_encoder_computes_what_the_imagenet_network_does(tmp_path, imagenet, form):
    state = {f"features.{name}": tensor for name, tensor in imagenet.state_dict().items()}
    if form != "torchvision":
        places = {}
        for number, block in imagenet.named_children():
            leaves = [
                name
                for name, module in block.named_modules()
                if name.startswith("conv.") and not list(module.children())
            ]
            places |= {f"{number}.{name.removeprefix('conv.')}": place for place, name in enumerate(leaves)}
        state = {upstream_name(name, places): tensor for name, tensor in imagenet.state_dict().items()}
    if form.endswith("DataParallel"):
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "mobilenet.pth")
    network = build_network(V2Config(filters=8), seed=1).eval()
    load_encoder(network, tmp_path / "mobilenet.pth")
    set_bn(network, "running")
    image, expected = torch.randn(1, 3, 64, 64), []
    with torch.no_grad():
        x = image
        for index, block in enumerate(imagenet):
            x = block(x)
            if index in LEVEL_ENDS:
                expected.append(x)
        for got, wanted in zip(encoder_of(network)(image), expected, strict=True):
            assert torch.allclose(got, wanted, atol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path, imagenet):
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3), "fc.weight": torch.zeros(2)}, tmp_path / "resnet.pth")
    for name, message in (
        ("resnet.pth", "has no 0.1.weight: not MobileNetV2's"),
        ("none.pth", "no MobileNetV2 weights"),
    ):
        with pytest.raises(UserError, match=message):
            load_encoder(build_network(V2Config(filters=8), seed=1), tmp_path / name)
    with pytest.raises(UserError, match="only fpn_mobilenet and fpn_inception"):
        load_encoder(build_network(NETWORKS["unet"], seed=1), tmp_path / "resnet.pth")


def test_the_encoder_stays_frozen_for_its_part_of_the_run(tmp_path, photos, pairs, imagenet, monkeypatch):
    torch.save({f"features.{name}": tensor for name, tensor in imagenet.state_dict().items()}, tmp_path / "m.pth")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        "frozen_fraction = 0.5\n[network]\nname = 'fpn_mobilenet'\nfilters = 8\n"
        "[fitting]\ncrop = 64\nbatch = 1\nwarm_up = 0\nweight_decay = 0.0\n[adversary]\nkind = 'none'\n"
    )
    seen, original = [], Reporter.step

    def noted(reporter, state, budget, losses):
        seen.append((encoder_of(state.main)[1].conv[0].weight.clone(), state.main.final.weight.clone()))
        original(reporter, state, budget, losses)

    monkeypatch.setattr(Reporter, "step", noted)
    fixed = {"steps": 4, "device": "cpu", "precision": "float32", "tensorboard": False}
    options = TrainOptions(
        output=tmp_path / "t.safetensors",
        data=(photos,),
        validation=(pairs,),
        recipe=str(recipe),
        encoder=tmp_path / "m.pth",
        **fixed,
    )
    train_generator(options)
    start = imagenet[1].conv[0][0].weight
    assert [torch.equal(encoder, start) for encoder, _ in seen] == [True, True, False, False]
    assert not torch.equal(seen[0][1], seen[1][1])

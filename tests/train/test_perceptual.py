"""The perceptual loss: VGG19's conv3_3 written out by hand, and which files are taken for VGG19's weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from edgedeblur.errors import UserError
from edgedeblur.train.perceptual import load_vgg, perceptual_loss


def conv3_3(weights, image):
    """[N, 3, H, W] in [-1, 1] -> the features, layer by layer as in Simonyan and Zisserman (ICLR 2015)."""
    red, green, blue = ((image + 1) / 2).unbind(1)
    x = torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], 1)

    def conv(x, number):
        return F.conv2d(x, weights[f"features.{number}.weight"], weights[f"features.{number}.bias"], padding=1)

    for block in ((0, 2), (5, 7)):
        for number in block:
            x = F.relu(conv(x, number))
        x = F.max_pool2d(x, 2)
    return conv(F.relu(conv(F.relu(conv(x, 10)), 12)), 14)


@pytest.mark.parametrize("form", ["torch", "legacy", "safetensors", "state_dict"])
def test_the_features_are_conv3_3_before_its_relu(tmp_path, vgg_weights, form):
    path = tmp_path / "vgg19.pth"
    if form == "safetensors":
        save_file(vgg_weights, path)
    else:
        content = {"state_dict": vgg_weights} if form == "state_dict" else vgg_weights
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    image = torch.rand(2, 3, 20, 24) * 2 - 1
    features = load_vgg(path)(image)
    assert features.shape == (2, 256, 5, 6) and features.min() < 0
    assert torch.allclose(features, conv3_3(vgg_weights, image), atol=1e-4)


def test_the_loss_is_the_mean_squared_difference_and_moves_the_restored_image_alone(tmp_path, vgg_weights):
    torch.save(vgg_weights, tmp_path / "vgg19.pth")
    network = load_vgg(tmp_path / "vgg19.pth")
    restored, sharp = (torch.rand(1, 3, 16, 16).mul(2).sub(1).requires_grad_(True) for _ in range(2))
    loss = perceptual_loss(network, restored, sharp)
    expected = (conv3_3(vgg_weights, restored) - conv3_3(vgg_weights, sharp)).square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    loss.backward()
    assert restored.grad.abs().sum() > 0 and sharp.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_missing_file_is_a_message():
    with pytest.raises(UserError, match="no VGG19 weights nowhere.pth: no such file"):
        load_vgg("nowhere.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.17.weight": torch.zeros(512, 256, 3, 3)}, "has features.17, which VGG19 does not have"),  # VGG16
        ({"features.1.weight": torch.zeros(64)}, "has features.1, which VGG19 does not have"),  # VGG19 with BatchNorm
        ({"features.5.weight": torch.zeros(128, 64, 1, 1)}, r"features.5.weight is \[128, 64, 1, 1\], in VGG19"),
        ({"features.14.bias": None}, "has no features.14.bias"),
        ({"features.0.bias": torch.full((64,), float("nan"))}, "NaN or infinite"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, vgg_weights, change, message):
    changed = {name: tensor for name, tensor in (vgg_weights | change).items() if tensor is not None}
    torch.save(changed, tmp_path / "vgg19.pth")
    with pytest.raises(UserError, match=message) as caught:
        load_vgg(tmp_path / "vgg19.pth")
    assert "torchvision" in caught.value.fix


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    class Exploit:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"features.0.weight": Exploit()}, tmp_path / "vgg19.pth")
    with pytest.raises(UserError, match="VGG19 weights: .* nothing was executed"):
        load_vgg(tmp_path / "vgg19.pth")
    assert "executed" not in capsys.readouterr().out


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "vgg19.pth").write_text("not weights")
    with pytest.raises(UserError, match="VGG19 weights: .* is a text file"):
        load_vgg(tmp_path / "vgg19.pth")

"""The U-Net and the discriminator: their shapes, ranges and published properties."""

import pytest
import torch
from torch import nn

from edgedeblur.errors import UserError
from edgedeblur.generators.networks.double_scale import build_double_scale
from edgedeblur.generators.networks.patchgan import PatchGan, build_patchgan
from edgedeblur.generators.networks.tiles import in_tiles
from edgedeblur.generators.networks.unet import UNet, UNetConfig, build_unet
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.records import read_record

TINY = UNetConfig(widths=(8, 8, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1))


def test_a_fresh_unet_is_the_identity():
    image = torch.rand(2, 3, 48, 32) * 2 - 1
    assert torch.equal(build_unet(TINY).eval()(image), image)


def test_a_unet_stays_within_its_range_and_its_size():
    network = build_unet(TINY).eval()
    nn.init.normal_(network.head.weight, std=1.0)
    image = torch.rand(1, 3, 64, 48) * 2 - 1
    with torch.no_grad():
        restored = network(image)
    assert restored.shape == image.shape and restored.abs().max() <= 1
    assert (restored - image).abs().max() <= 1 + 1e-6  # the difference comes out of a tanh
    assert not torch.equal(restored, image)


def test_while_training_the_output_is_not_clamped():
    network = build_unet(TINY).train()
    nn.init.constant_(network.head.bias, 1.0)
    restored = network(torch.ones(1, 3, 32, 32))
    assert restored.min() > 1 and restored.requires_grad


def test_images_of_a_batch_are_independent():
    """Instance statistics, not batch statistics."""
    network = build_unet(TINY).eval()
    nn.init.normal_(network.head.weight, std=0.1)
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        together, alone = network(images), network(images[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_tiles_of_a_network_that_treats_all_pixels_alike_show_no_seam():
    def blur(x):  # 3x3, so tiles differ from the whole at their borders only
        return nn.functional.avg_pool2d(nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)

    image = torch.rand(2, 3, 100, 75)
    tiled = in_tiles(blur, image, 40, 16)
    assert (tiled - blur(image)).abs().max() < 0.02  # a tile's border pixel weighs 1/32 where another's is inside
    assert torch.allclose(in_tiles(lambda x: x * 0.5, image, 40, 16), image * 0.5, atol=1e-6)


def test_an_image_larger_than_the_tile_is_restored_in_tiles_of_that_size():
    sizes = []
    network = build_unet(TINY).eval()
    network.stem.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(inputs[0].shape[-2:])))
    network(torch.zeros(1, 3, 200, 176))
    assert sizes == [(160, 160)] * 4
    sizes.clear()
    network.train()(torch.zeros(1, 3, 200, 176))
    assert sizes == [(200, 176)]


def test_the_size_of_a_unet_follows_from_its_widths():
    def conv(inputs, outputs, kernel=3):
        return inputs * outputs * kernel**2 + outputs

    stem_and_head = conv(3, 16) + conv(16, 3)
    down = conv(16, 32) + conv(32, 64) + conv(64, 128) + conv(128, 192)
    up = conv(32, 4 * 16, 1) + conv(64, 4 * 32, 1) + conv(128, 4 * 64, 1) + conv(192, 4 * 128, 1)
    blocks = sum(count * (2 * conv(width, width) + 2 * width) for width, count in ((64, 2), (128, 2), (192, 2)))
    assert sum(parameter.numel() for parameter in UNet().parameters()) == stem_and_head + down + up + blocks


def test_fresh_weights_are_a_function_of_the_seed():
    first, again, other = (build_unet(TINY, seed).stem.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "values",
    [{"widths": [8, 8]}, {"widths": [1, 8, 8, 8, 8]}, {"depth": [1]}, {"encoder_blocks": [1, 1, -1]}, {"widths": 5}],
)
def test_configurations_that_are_none_are_refused(values):
    with pytest.raises(UserError, match="not a U-Net configuration|unknown key depth|widths = 5; a list is needed"):
        read_record(UNetConfig, values, Origin("a file"))


def test_a_configuration_survives_json():
    assert read_record(UNetConfig, TINY.to_json(), Origin("a file")) == TINY


@pytest.mark.parametrize("layers, side", [(3, 70), (5, 286)])
def test_a_patchgan_score_sees_the_published_number_of_pixels(layers, side):
    """The receptive field of one score, measured by which pixels have a gradient; without normalisation, whose
    statistics are of the whole image."""
    network = PatchGan(width=4, layers=layers)
    seen = nn.Sequential(*(layer for layer in network.layers if not isinstance(layer, nn.InstanceNorm2d)))
    image = torch.rand(1, 3, 512, 512, requires_grad=True)
    scores = seen(image)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    touched = image.grad[0].abs().sum(0).nonzero()
    assert (touched.max(0).values - touched.min(0).values + 1).tolist() == [side, side]


def test_a_patchgan_has_the_published_size():
    """2,764,737 with C64-C128-C256-C512 on RGB, as pix2pix's NLayerDiscriminator with instance normalisation."""
    assert sum(parameter.numel() for parameter in build_patchgan().parameters()) == 2_764_737
    assert build_patchgan(8)(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 35, 35)


def test_the_double_scale_discriminator_is_two_patchgans_of_three_and_five_layers():
    """Parameters by the formula of a convolution with bias; scores of a 256x256 image as in DeblurGAN-v2's code."""

    def conv(cin, cout):
        return cin * cout * 16 + cout

    patch, whole = build_double_scale().scales
    common = conv(3, 64) + conv(64, 128) + conv(128, 256) + conv(256, 512) + conv(512, 1)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (patch, whole)]
    assert counts == [common, common + 2 * conv(512, 512)]
    shapes = [scale(torch.zeros(1, 3, 256, 256)).shape[-2:] for scale in build_double_scale(2).scales]
    assert shapes == [(35, 35), (11, 11)]


@pytest.mark.parametrize("side", [32, 64])
def test_discriminators_take_small_crops(side):
    for scale in build_double_scale(2).scales:
        assert scale(torch.rand(1, 3, side, side)).numel() > 1

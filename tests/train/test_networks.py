"""The U-Net and the discriminator: their shapes, ranges and published properties."""

import pytest
import torch
from torch import nn

from edgedeblur.generators.patchgan import (
    PatchGan,
    build_patchgan,
    gradient_penalty,
    lsgan_discriminator_loss,
    wgan_discriminator_loss,
)
from edgedeblur.generators.tiles import in_tiles
from edgedeblur.generators.unet import UNet, UNetConfig, build_unet

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
    with pytest.raises(ValueError, match="not a U-Net configuration"):
        UNetConfig.from_json(values)


def test_a_configuration_survives_json():
    assert UNetConfig.from_json(TINY.to_json()) == TINY


def test_a_patchgan_score_sees_70x70_pixels():
    """The receptive field of one score, measured by which pixels have a gradient; without normalisation, whose
    statistics are of the whole image."""
    network = PatchGan(width=4)
    layers = nn.Sequential(*(layer for layer in network.layers if not isinstance(layer, nn.InstanceNorm2d)))
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    layers(image)[0, 0, 15, 15].backward()
    touched = image.grad[0].abs().sum(0).nonzero()
    assert (touched.max(0).values - touched.min(0).values + 1).tolist() == [70, 70]


def test_a_patchgan_has_the_published_size():
    """2,764,737 with C64-C128-C256-C512 on RGB, as pix2pix's NLayerDiscriminator with instance normalisation."""
    assert sum(parameter.numel() for parameter in build_patchgan().parameters()) == 2_764_737
    assert build_patchgan(8)(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 6, 6)


def test_the_gradient_penalty_of_a_linear_critic_is_known():
    """score = sum(w * x): the gradient is w everywhere, so the penalty is (|w| - 1)^2."""

    class Linear(nn.Module):
        def forward(self, x):
            return (3.0 / x[0].numel() ** 0.5 * x).sum(dim=(1, 2, 3))

    real, fake = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert gradient_penalty(Linear(), real, fake).item() == pytest.approx(4.0, rel=1e-4)


@pytest.mark.parametrize("loss", [lsgan_discriminator_loss, wgan_discriminator_loss])
def test_a_discriminator_learns_to_tell_real_from_fake(loss):
    discriminator = build_patchgan(8)
    optimiser = torch.optim.Adam(discriminator.parameters(), 2e-3, betas=(0.5, 0.999))
    torch.manual_seed(0)
    for _ in range(120):
        optimiser.zero_grad()
        loss(discriminator, *_noise_and_blocks(4)).backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = _noise_and_blocks(32)
        assert discriminator(real).mean() > discriminator(fake).mean()


def _noise_and_blocks(count):
    """Pixel noise as real images, noise in blocks of 8x8 as fake ones."""
    fake = torch.rand(count, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return torch.rand(count, 3, 32, 32) * 2 - 1, fake * 2 - 1

"""DeblurGAN-v2: normalisation modes against torch's own layers, files that lack or contradict something, sizes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.deblurgan_v2 import PyramidGenerator, V2Config
from edgedeblur.generators.networks.normalisation import Normalisation


@pytest.fixture(scope="module")
def narrow_state():
    """A MobileNet generator with narrow heads: cheap, and a width that upstream's configuration allows."""
    torch.manual_seed(0)
    return PyramidGenerator(V2Config("features", filters=6)).state_dict()


@pytest.fixture
def narrow(narrow_state, tmp_path):
    path = tmp_path / "narrow.h5"
    torch.save({"model": {f"module.{name}": tensor for name, tensor in narrow_state.items()}}, path)
    return path


@pytest.mark.parametrize(("affine", "reference"), [(True, nn.BatchNorm2d), (False, nn.InstanceNorm2d)])
@pytest.mark.parametrize("statistics", ["image", "running"])
def test_normalisation_is_torchs_layer_in_training_and_in_evaluation_mode(affine, reference, statistics):
    torch.manual_seed(2)
    layer = reference(4, affine=affine, track_running_stats=True, eps=1e-3)
    for name, tensor in layer.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(4) + (0.5 if name.endswith("var") else 0))
    ours = Normalisation(4, affine=affine, stored=True, eps=1e-3)
    ours.load_state_dict({name: t for name, t in layer.state_dict().items() if "tracked" not in name})
    ours.statistics = statistics
    x = torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        assert torch.allclose(ours(x), layer.train(statistics == "image")(x), atol=1e-6)


def test_images_of_a_batch_do_not_influence_one_another(narrow):
    generator = load_generator(narrow).double()  # random weights amplify float32's rounding
    images = torch.rand(2, 3, 40, 70, dtype=torch.float64)
    together = generator(images)
    apart = torch.cat([generator(image) for image in images.split(1)])
    assert torch.allclose(together, apart, atol=1e-5)


def test_images_do_not_change_the_generator(narrow):
    generator = load_generator(narrow)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(generator(image), generator(image))


def test_every_mode_says_what_it_means_and_an_unknown_one_lists_them(narrow):
    notes = {mode: load_generator(narrow, bn=mode).info.notes for mode in ("batch", "running", "mixed")}
    assert all(note[0].startswith(f"bn={mode}: ") for mode, note in notes.items())
    with pytest.raises(UserError, match="batch: .*\n.*running: .*\n.*mixed: ") as refused:
        load_generator(narrow, bn="eval")
    assert refused.value.exit_code == 2


def test_head_width_is_told_from_the_file(narrow):
    assert load_generator(narrow).info.options == {"bn": "batch", "filters": 6}


def test_stored_statistics_are_needed_only_where_they_are_used(narrow_state, tmp_path):
    state = {name: tensor for name, tensor in narrow_state.items() if not name.startswith("smooth.1.running")}
    torch.save(state, tmp_path / "a.pth")
    assert load_generator(tmp_path / "a.pth", bn="mixed").info.options["bn"] == "mixed"
    with pytest.raises(UserError, match="no smooth.1.running_mean, which bn=running needs"):
        load_generator(tmp_path / "a.pth", bn="running")


def test_two_different_copies_of_an_encoder_layer_are_refused(narrow_state, tmp_path):
    alias = {"fpn.enc0.0.0.weight": narrow_state["fpn.features.0.0.weight"] + 1}
    torch.save(narrow_state | alias, tmp_path / "a.pth")
    with pytest.raises(UserError, match="fpn.enc0.0.0.weight and fpn.features.0.0.weight are one layer"):
        load_generator(tmp_path / "a.pth")


@pytest.mark.parametrize(("height", "width"), [(33, 70), (64, 64), (95, 96), (20, 40), (160, 31)])
def test_padding_is_upstreams_one_block_more_than_whole_blocks(narrow, height, width):
    expected = tuple((side // 32 + 1) * 32 for side in (height, width))
    assert load_generator(narrow).padded_size(height, width) == expected


@pytest.mark.parametrize("bn", ["batch", "running", "mixed"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 3), (31, 31), (32, 32), (33, 65)])
def test_any_size_comes_back_in_its_own_size(narrow, bn, height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert load_generator(narrow, bn=bn).restore(image).shape == image.shape


def test_inception_takes_images_below_128(golden):
    generator = golden.generator("v2_fpn_inception")
    assert generator.padded_size(40, 96) == (128, 128)
    assert generator.info.min_size == 128
    with torch.inference_mode():
        output = generator(torch.rand(1, 3, 40, 96))
    assert output.shape == (1, 3, 40, 96)
    assert math.isfinite(output.sum())


def test_the_bottleneck_is_the_encoders_last_map(golden):
    for variant, channels, side in (("v2_fpn_mobilenet", 160, 4), ("v2_fpn_inception", 2080, 2)):
        generator, seen = golden.generator(variant), []
        hook = generator.bottleneck.register_forward_hook(lambda m, i, output, seen=seen: seen.append(output.shape))
        with torch.inference_mode():
            generator.network(torch.rand(1, 3, 128, 128))
        hook.remove()
        assert seen == [(1, channels, side, side)]

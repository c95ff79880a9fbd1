"""What every generator keeps to: any size in, the same size out, in [0, 1]; ONNX with the same result. The U-Net."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgedeblur.errors import UserError
from edgedeblur.generators.cost import gmac
from edgedeblur.generators.export_onnx import export_onnx
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.unet import UNetConfig, build_unet
from edgedeblur.generators.padding import Padding
from edgedeblur.student import build_student
from edgedeblur.student.model_file import UNET, save_model, save_student

SMALL = UNetConfig(widths=(8, 12, 16), encoder_blocks=(1, 1, 2), decoder_blocks=(1, 1))


@pytest.fixture
def unet_file(tmp_path):
    network = build_unet(SMALL, seed=5)
    network.head.weight.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    return save_model(tmp_path / "unet.safetensors", UNET, network.state_dict(), SMALL.to_json(), {})


def test_a_unet_file_gives_the_network_that_was_saved(unet_file):
    generator = load_generator(unet_file)
    assert (generator.info.family, generator.info.multiple, generator.info.min_size) == ("unet", 4, 8)
    network = build_unet(SMALL, seed=5).eval()
    network.load_state_dict(generator.network.state_dict())
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(generator(image), ((network(image * 2 - 1) + 1) / 2).clamp(0, 1))
    seen = []
    generator.bottleneck.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    generator(image)
    assert seen == [(1, 16, 8, 12)]


def test_a_students_file_gives_a_generator_that_can_teach(tmp_path):
    student = build_student("nano", seed=3).eval()
    student.conv("head").weight.data.normal_(0, 0.01, generator=torch.Generator().manual_seed(1))
    generator = load_generator(save_student(tmp_path / "nano.safetensors", student, {}))
    info = generator.info
    assert (info.family, info.variant, info.multiple, info.truncates) == ("student", "nano", 16, False)
    assert info.parameters == student.spec.parameters
    image = torch.rand(1, 3, 32, 48)
    seen = []
    generator.bottleneck.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    with torch.no_grad():
        assert torch.equal(generator(image), student(image).clamp(0, 1))
        assert generator(image[..., :30, :41]).shape == (1, 3, 30, 41)
    assert seen[0] == (1, 96, 2, 3)


def test_a_unets_cost_is_the_sum_over_its_convolutions(unet_file):
    pixels = {1: 64 * 48, 2: 32 * 24, 4: 16 * 12}  # positions at full size, 1/2 and 1/4
    stem_and_head = pixels[1] * 9 * (3 * 8 + 8 * 3)
    down = pixels[2] * 9 * 8 * 12 + pixels[4] * 9 * 12 * 16
    up = pixels[4] * 16 * 48 + pixels[2] * 12 * 32
    blocks = 9 * 2 * (2 * pixels[1] * 8**2 + 2 * pixels[2] * 12**2 + 2 * pixels[4] * 16**2)
    assert gmac(load_generator(unet_file), 64, 48) * 1e9 == stem_and_head + down + up + blocks


def test_options_of_other_families_are_refused_for_a_unet(unet_file):
    with pytest.raises(UserError, match="option bn does not apply to an edgedeblur model file"):
        load_generator(unet_file, bn="running")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (7, 13), (16, 16), (17, 32), (33, 50)])
def test_any_size_comes_back_in_its_own_size_and_in_range(unet_file, small_v1, height, width):
    for path in (unet_file, small_v1):
        output = load_generator(path)(torch.rand(2, 3, height, width))
        assert output.shape == (2, 3, height, width)
        assert output.min() >= 0 and output.max() <= 1


def test_padding_does_not_touch_what_fits(small_v1):
    generator = load_generator(small_v1)
    image = torch.rand(1, 3, 12, 16)
    with torch.no_grad():
        assert torch.equal(generator(image), (generator.network(image * 2 - 1) + 1) / 2)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)]
)
def test_what_is_no_rgb_image_is_refused(small_v1, image):
    with pytest.raises(UserError, match="uint8 HxWx3"):
        load_generator(small_v1).restore(image)


def test_an_image_without_pixels_is_refused(small_v1):
    with pytest.raises(UserError, match="an image of 0x8 has no pixels"):
        load_generator(small_v1).restore(np.zeros((0, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("rule", "size", "padded"),
    [
        (Padding(4, min_side=8), (9, 1), (12, 8)),
        (Padding(32, extra_block=True), (31, 32), (32, 64)),
        (Padding(16, single_block=False), (16, 9), (32, 32)),
        (Padding(16, single_block=False), (16, 17), (16, 32)),
        (Padding(32, min_side=128, extra_block=True), (127, 128), (128, 160)),
        (Padding(fixed=(64, 48)), (3, 48), (64, 48)),
    ],
)
def test_padded_sizes(rule, size, padded):
    assert rule.padded_size(*size) == padded


def test_onnx_gives_the_same_image(unet_file, small_v1, tmp_path):
    for path in (unet_file, small_v1):
        check_onnx(load_generator(path), tmp_path / "net.onnx", 30, 41, limit=2e-5)


@pytest.mark.parametrize("bn", ["batch", "running", "mixed"])
def test_onnx_gives_the_same_image_in_every_mode_of_v2(golden, tmp_path, bn):
    generator = load_generator(golden.file("v2_fpn_mobilenet"), bn=bn)
    check_onnx(generator, tmp_path / "net.onnx", 60, 90, limit=2e-4)


def check_onnx(generator, path, height: int, width: int, limit: float) -> None:
    export_onnx(generator, path, height, width)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(4))
    (restored,) = session.run(["restored"], {"image": image.numpy()})
    with torch.no_grad():
        assert np.abs(restored - generator(image).numpy()).max() <= limit


def test_onnx_that_computes_something_else_gets_no_name(small_v1, tmp_path, monkeypatch):
    generator, export = load_generator(small_v1), torch.onnx.export

    def corrupt(model, arguments, path, **options):
        export(model, arguments, path, **options)
        file = onnx.load(path)
        for weight in file.graph.initializer:
            weight.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weight), weight.name))
        onnx.save(file, path)

    monkeypatch.setattr(torch.onnx, "export", corrupt)
    with pytest.raises(UserError, match="net.onnx was not written: ONNX Runtime's result differs by"):
        export_onnx(generator, tmp_path / "net.onnx", 16, 16, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small.pth"]


def test_onnx_of_an_impossible_size_is_refused(small_v1, tmp_path):
    with pytest.raises(UserError, match="cannot export for 0x64"):
        export_onnx(load_generator(small_v1), tmp_path / "net.onnx", 0, 64)

"""Users' networks as students: equal to the network, and to the bytes of an artefact; or refused with every reason."""

from dataclasses import replace

import numpy as np
import own_networks
import paper_networks
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.pipeline import quantise_student
from edgedeblur.runtime.session import Session
from edgedeblur.student import ConvSpec, StudentSpec, build_student, student_spec
from edgedeblur.student.importing.importer import import_module
from edgedeblur.student.importing.onnx_graph import import_onnx


def difference(student: nn.Module, network: nn.Module, clamp: bool = False) -> float:
    image = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours, theirs = student(image), network(image)
    return float(((ours.clamp(0, 1) if clamp else ours) - theirs).abs().max())


def renamed(spec: StudentSpec, names: list[str]) -> tuple[list[ConvSpec], str]:
    """The layers under other names, in order, and the bottleneck."""
    new = dict(zip([layer.name for layer in spec.layers], names, strict=True)) | {"image": "image", None: None}
    fields = ("name", "source", "residual", "gate")
    layers = [replace(layer, **{field: new[getattr(layer, field)] for field in fields}) for layer in spec.layers]
    return layers, new[spec.bottleneck]


@pytest.mark.parametrize("gates", [False, True])
def test_a_tier_s_own_module_comes_back_as_its_layers_and_weights(gates):
    student = build_student("nano", gates=gates)
    for parameter in student.parameters():
        nn.init.normal_(parameter, std=0.05)
    imported = import_module(student, "tiers:nano")
    wanted = student_spec("nano", gates)
    assert renamed(imported.spec, [layer.name for layer in wanted.layers]) == (list(wanted.layers), wanted.bottleneck)
    assert (imported.spec.name, imported.spec.multiple) == ("nano", wanted.multiple)
    pairs = zip(imported.state_dict().values(), student.state_dict().values(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.fixture(scope="module")
def everything() -> tuple[nn.Module, nn.Module]:
    network = own_networks.everything()
    return import_module(network, "own_networks:everything"), network


def test_a_network_with_every_operator_is_the_same_network_as_a_student(everything):
    student, network = everything
    assert difference(student, network, clamp=True) < 1e-5
    found = {layer.name: layer for layer in student.spec.layers}
    assert list(found) == ["stem", "fine", "coarse", "inner", "outer", "up", "head"]
    assert found["fine"].kernel == 3 and found["fine"].residual is None  # three branches in one convolution
    assert found["inner"].gate == "fine" and found["outer"].residual == "coarse"
    assert found["up"].depth_to_space == 2 and found["up"].residual == "fine" and found["head"].residual == "image"
    assert student.spec.multiple == 4 and student.spec.bottleneck == "outer"


def test_an_artefact_of_an_imported_network_gives_the_interpreter_s_bytes(everything, tmp_path):
    images = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8) for seed in range(2)]
    network = quantise_student(everything[0], images)
    info = compile_network(network, load_target("host"), 64, 96, tmp_path / "artefact")
    image = np.random.default_rng(9).integers(0, 256, (64, 96, 3), np.uint8)
    with Session(info) as session:
        assert np.array_equal(session.run(image), interpreter.run(network, image))


def test_a_float_onnx_file_of_a_network_is_the_same_student(everything, tmp_path):
    _, network = everything
    path = tmp_path / "everything.onnx"
    axes = {"image": {2: "height", 3: "width"}}
    image = torch.rand(1, 3, 32, 32)
    torch.onnx.export(
        network, (image,), str(path), dynamo=False, opset_version=17, input_names=["image"], dynamic_axes=axes
    )
    student = import_onnx(path)
    assert difference(student, network, clamp=True) < 1e-5
    assert [replace(layer, name="") for layer in student.spec.layers][-1].residual == "image"


def test_a_network_of_depthwise_grouped_and_dilated_layers_is_the_same_network_as_a_student():
    network = own_networks.mobile()
    student = import_module(network, "own_networks:mobile")
    assert difference(student, network) < 1e-5
    found = {layer.name: layer for layer in student.spec.layers}
    assert (found["deep"].groups, found["deep"].limit, found["stem"].limit) == (24, 4.0, 6.0)
    assert (found["down"].groups, found["down"].prelu) == (4, True)
    assert (found["dilated"].dilation, found["dilated"].limit) == (2, 3.0)
    assert found["multiplied"].groups == 1  # PixelShuffle brings the channels of two groups together
    assert found["multiplied"].prelu and found["head"].residual == "image"


@pytest.mark.parametrize("name", paper_networks.NETWORKS)
def test_networks_from_papers_are_the_same_networks_as_students(name):
    """DeblurGAN-v2 has the 10.8 GMAC that its paper says."""
    network = paper_networks.paper_network(name)
    student = import_module(network, f"papers:{name}")  # which compares the two
    assert student.spec.macs() / 1e9 == pytest.approx(
        {"xlsr": 3.59, "ecbsr": 2.64, "nafnet": 5.21, "mimo-unet": 113.4, "deblurgan-v2": 10.84}[name], abs=0.05
    )
    ops = {layer.op for layer in student.spec.operations}
    assert (
        ops
        == {
            "xlsr": {"concatenate"},
            "ecbsr": set(),
            "nafnet": {"multiply", "global_average"},
            "mimo-unet": {"multiply", "concatenate", "average_pool2", "max_pool2", "nearest2"},
            "deblurgan-v2": {"nearest2", "concatenate", "tanh"},
        }[name]
    )


class Pieces(nn.Module):
    """What the papers' networks do not have: squeeze and excitation, activations by tables, parts, resizing."""

    def __init__(self):
        super().__init__()
        self.stem, self.acts = nn.Conv2d(12, 16, 3, padding=1), nn.Sequential(nn.Hardswish(), nn.MaxPool2d(3, 2, 1))
        self.inner = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 16, 1), nn.SiLU())
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        )
        self.factors, self.two = nn.Linear(16, 16), nn.ConvTranspose2d(16, 16, 2, 2)
        self.three = nn.ConvTranspose2d(16, 16, 3, 2, 1, output_padding=1)
        self.elu, self.normal, self.head = nn.ELU(0.5), nn.BatchNorm2d(16), nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        fine = self.stem(F.pixel_unshuffle(image, 2))
        x = self.inner(self.acts(fine))
        x = F.leaky_relu(x * self.excite(x) + 0.5 * x, 0.1)
        x = x * (2 * torch.sigmoid(self.factors(x.mean((2, 3)))))[:, :, None, None]
        up = F.interpolate(x, scale_factor=2, mode="bilinear") + self.two(x) + self.three(x)
        up = F.relu6(self.normal(self.elu(up)) + fine) - F.softplus(fine)
        first, rest = up[:, :4], up.split([6, 10], 1)[1]
        return image + F.pixel_shuffle(self.head(torch.cat([rest[:, 2:], F.tanh(first)], 1)), 2)


def test_a_network_of_everything_that_has_no_weights_is_the_same_network_as_a_student(tmp_path):
    torch.manual_seed(3)
    network = own_networks.with_random_statistics(Pieces())
    student = import_module(network, "mine:pieces")
    assert difference(student, network) < 1e-4
    ops = {layer.op for layer in student.spec.operations}
    assert {"hardswish", "hardsigmoid", "sigmoid", "bilinear2", "part", "leaky_relu", "elu", "softplus"} <= ops
    path, axes = tmp_path / "pieces.onnx", {"image": {2: "height", 3: "width"}}
    torch.onnx.export(
        network, (torch.rand(1, 3, 32, 32),), str(path), dynamo=False, opset_version=20, input_names=["image"],
        dynamic_axes=axes,
    )  # fmt: skip
    assert difference(import_onnx(path), network) < 1e-4


class Rearranged(nn.Module):
    """Folds by views, twice; a sum before the shuffle; normalised tensors that exist already."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(48, 24, 1), nn.Conv2d(24, 24, 3, padding=1)
        self.normal, self.last = nn.BatchNorm2d(24), nn.Conv2d(24, 48, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        n, c, h, w = image.shape
        halves = image.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)
        x = F.relu(self.first(F.pixel_unshuffle(halves, 2)))
        x = F.relu(self.second(x) + self.normal(x))
        return F.pixel_shuffle(self.last(x) + F.pixel_unshuffle(image, 4), 4)


def test_pixels_may_be_folded_in_any_way_and_channels_in_any_order():
    torch.manual_seed(1)
    network = own_networks.with_random_statistics(Rearranged())
    student = import_module(network, "mine:rearranged")
    assert difference(student, network) < 1e-5
    assert [layer.space_to_depth for layer in student.spec.layers] == [4, 1, 1]
    assert student.spec.layers[-1].residual == "image"


def test_every_operator_that_is_not_taken_has_a_row_with_a_reason_and_what_to_use():
    with pytest.raises(UserError) as refused:
        import_module(own_networks.untaken(), "own_networks:untaken")
    assert refused.value.exit_code == 2
    heading, columns, *rows = refused.value.message.splitlines()
    assert "3 operators are not taken" in heading and columns.split()[:4] == ["node", "operator", "shape", "why"]
    assert [row.split()[:2] for row in rows] == [
        ["act:", "softmax"],
        ["upsample_bicubic2d", "upsample_bicubic2d"],
        ["norm", "group_norm"],
    ]
    assert "1x8x64x128" in rows[0] and "nn.BatchNorm2d" in rows[2]


class One(nn.Module):
    """A convolution, and one operation between it and the image."""

    def __init__(self, operation, **options):
        super().__init__()
        self.conv, self.operation = nn.Conv2d(3, 3, **{"kernel_size": 3, "padding": 1} | options), operation

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.operation(self.conv(image), image)


@pytest.mark.parametrize(
    "why, network",
    {
        "padding of (0, 0)": One(lambda y, image: F.pad(y, (1, 1, 1, 1)) + image, padding=0),
        "a dilation of (3, 3)": One(lambda y, image: y + image, padding=3, dilation=3),
        "a clamp to -1.0, 1.0": One(lambda y, image: y.clamp(-1, 1) + image),
        "a clamp to 2 of a tensor that exists": One(lambda y, image: y + image.clamp(0, 2)),
        "pooling of (3, 3)": One(lambda y, image: y + F.avg_pool2d(image, 3, 1, 1)),
        "resizing from (32, 64) to (64, 128) with align_corners": One(
            lambda y, image: (
                y + F.interpolate(F.max_pool2d(image, 2), scale_factor=2, mode="bilinear", align_corners=True)
            )
        ),
        "a transposed convolution of (5, 5)": One(
            lambda y, image: y + F.conv_transpose2d(image, torch.ones(3, 3, 5, 5), padding=2)
        ),
        "concatenation along dimension 2": One(lambda y, image: y + torch.cat([image, image], 2)[:, :, :64]),
        "a product of (3, 64, 128) and (1, 64, 128)": One(lambda y, image: y * image[:, :1]),
        "rearranges a tensor": One(lambda y, image: y.transpose(2, 3).reshape(image.shape)),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_use_that_is_not_taken_says_which(why, network):
    with pytest.raises(UserError) as refused:
        import_module(network, "mine:one")
    assert why in refused.value.message
    assert refused.value.exit_code == 2


def test_a_student_has_fewer_than_five_million_parameters():
    with pytest.raises(UserError, match=r"20,\d+,\d+ parameters; a student has fewer than 5,000,000"):
        import_module(own_networks.too_large(), "own_networks:too_large")


@pytest.mark.parametrize(
    "message, forward",
    {
        "cannot be traced": lambda self, x: x if x.mean() > 0 else -x,
        "it must give one of that shape": lambda self, x: (self.conv(x), x),
        "no convolution of its own": lambda self, x: x,
    }.items(),
)
def test_what_is_no_restoring_network_is_refused_in_a_line(message, forward):
    network = type("Own", (nn.Module,), {"forward": forward})()
    network.conv = nn.Conv2d(3, 3, 1)
    with pytest.raises(UserError, match=message):
        import_module(network, "mine:own")


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07" * 40])
def test_what_is_no_onnx_model_is_refused(content, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match="broken.onnx"):
        import_onnx(path)

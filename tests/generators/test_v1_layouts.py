"""DeblurGAN v1 files of any width, depth, block layout and upsampling kernel, against the network written out."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.deblurgan_v1 import ResnetGenerator, V1Config

CONVOLUTIONS = {"dropout": (1, 6), "no dropout": (1, 5), "one convolution": (1,)}


def written_out(state: dict[str, Tensor], x: Tensor, config: V1Config) -> Tensor:
    """The generator as plain arithmetic on its tensors, from the structure in the paper's figure 3."""

    def conv(name: str, source: Tensor, pad: int = 0, **options) -> Tensor:
        padded = F.pad(source, (pad,) * 4, mode="reflect") if pad else source
        return F.conv2d(padded, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def norm(source: Tensor) -> Tensor:
        mean = source.mean((2, 3), keepdim=True)
        return (source - mean) / (((source - mean) ** 2).mean((2, 3), keepdim=True) + 1e-5).sqrt()

    y = norm(conv("model.1", x, pad=3)).relu()
    y = norm(conv("model.4", y, stride=2, padding=1)).relu()
    y = norm(conv("model.7", y, stride=2, padding=1)).relu()
    for block in range(10, 10 + config.blocks):
        inner = y
        for index in CONVOLUTIONS[config.block_layout]:
            inner = norm(conv(f"model.{block}.conv_block.{index}", inner, pad=1))
            if index == 1 and (config.block_layout != "one convolution" or config.head_relu):
                inner = inner.relu()
        y = y + inner
    for name in (f"model.{10 + config.blocks}", f"model.{13 + config.blocks}"):
        doubled = 2 * y.shape[2], 2 * y.shape[3]
        extra = 1 if config.upsample_kernel == 3 else 0
        y = F.conv_transpose2d(y, state[f"{name}.weight"], state[f"{name}.bias"], 2, 1, extra)
        assert tuple(y.shape[2:]) == doubled
        y = norm(y).relu()
    y = torch.tanh(conv(f"model.{17 + config.blocks}", y, pad=3))
    return (x + y).clamp(-1, 1) if config.learn_residual else y


CASES = [
    V1Config(blocks, layout, ngf, kernel, residual, relu)
    for (blocks, ngf), layout, kernel, residual, relu in itertools.product(
        [(6, 5), (9, 8)], CONVOLUTIONS, [3, 4], [True, False], [True, False]
    )
    if relu or layout == "one convolution"
]


@pytest.mark.parametrize("config", CASES, ids=lambda config: "-".join(map(str, vars(config).values())))
def test_any_layout_is_told_from_the_file_and_computes_the_written_out_network(config, tmp_path):
    torch.manual_seed(1)
    state = ResnetGenerator(config).state_dict()
    torch.save(state, tmp_path / "a.pth")
    relu = config.head_relu if config.block_layout == "one convolution" else None
    generator = load_generator(tmp_path / "a.pth", learn_residual=config.learn_residual, head_relu=relu)
    assert generator.info.variant == f"resnet_{config.blocks}blocks"
    assert generator.info.options["ngf"] == config.ngf
    assert generator.info.options["upsample_kernel"] == config.upsample_kernel
    assert generator.info.options["block_layout"] == config.block_layout
    image = torch.rand(2, 3, 16, 20) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(generator.network(image), written_out(state, image, config), atol=2e-5)


def test_stored_instance_statistics_are_not_used(small_v1, small_v1_state, tmp_path):
    bare = {name: t for name, t in small_v1_state.items() if "running" not in name and "tracked" not in name}
    torch.save(bare, tmp_path / "bare.pth")
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(load_generator(small_v1)(image), load_generator(tmp_path / "bare.pth")(image))


def test_dropout_stays_off_in_training_mode(small_v1):
    generator = load_generator(small_v1)
    image = torch.rand(1, 3, 16, 16)
    expected = generator(image)
    assert torch.equal(generator.train()(image), expected)


def test_what_a_file_cannot_tell_is_said_in_the_notes(small_v1):
    assert any("learn_residual=True is assumed" in note for note in load_generator(small_v1).info.notes)
    assert load_generator(small_v1, learn_residual=False).info.notes == ()


@pytest.mark.parametrize("options", [{"bn": "batch"}, {"head_relu": True}])
def test_an_option_of_another_layout_is_refused(small_v1, options):
    with pytest.raises(UserError, match=f"option {next(iter(options))} does not apply.*that do: learn_residual"):
        load_generator(small_v1, **options)


def test_the_bottleneck_is_the_last_residual_block_at_a_quarter(small_v1):
    generator = load_generator(small_v1)
    seen = []
    generator.bottleneck.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    generator(torch.rand(1, 3, 32, 48))
    assert seen == [(1, 20, 8, 12)]


def test_loading_leaves_the_random_state_alone_and_the_weights_frozen(small_v1):
    before = torch.random.get_rng_state()
    generator = load_generator(small_v1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in generator.parameters())

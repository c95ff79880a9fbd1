"""Initial weights from pictures: every layer of every tier starts centred and with the spread that was wanted."""

import pytest
import torch

from edgedeblur.data.default_set import default_photos
from edgedeblur.distill.initial import initialise_from, widened
from edgedeblur.student import TIERS, build_student, student_spec


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    crops = [photo[:128, :128] for photo in default_photos()]
    return torch.stack([torch.from_numpy(crop.copy()).permute(2, 0, 1) for crop in crops]).float() / 255


@pytest.mark.parametrize("tier", TIERS)
def test_every_layer_starts_centred_and_scaled_and_the_network_as_the_identity(pictures, tier):
    student = build_student(tier)
    initialise_from(student, pictures)
    with torch.no_grad():
        tensors = student.activations(pictures)
    assert torch.equal(tensors["head"], pictures)
    for layer in student.spec.layers[:-1]:
        if not layer.relu:
            value = tensors[layer.name]
            assert value.mean().abs() < 0.1 and 0.3 < value.std() < 2, layer.name


def test_the_stem_tells_its_channels_apart(pictures):
    """Whitened: neighbouring pixels are nearly equal, the stem's first channels are not."""
    student = build_student("small")
    initialise_from(student, pictures)
    with torch.no_grad():
        stem = student.activations(pictures)["stem"]
        plain = build_student("small").activations(pictures)["stem"]

    def mean_correlation(features: torch.Tensor) -> float:
        rows = features[:, :12].transpose(0, 1).flatten(1)
        return (torch.corrcoef(rows) - torch.eye(12)).abs().mean().item()

    assert mean_correlation(stem) < 0.5 * mean_correlation(plain)


def test_a_black_picture_gives_finite_weights():
    student = build_student("nano")
    initialise_from(student, torch.zeros(1, 3, 64, 64))
    assert all(parameter.isfinite().all() for parameter in student.parameters())


def test_a_widened_student_computes_the_same_and_learns_with_what_it_has_more(pictures):
    small = build_student("small", 1)
    torch.nn.init.normal_(small.conv("head").weight, std=0.01)
    large = widened(small, student_spec("large"), 2)
    assert large.spec == build_student("large").spec
    restored = large(pictures)
    assert torch.allclose(restored, small(pictures), atol=1e-5) and not torch.equal(restored, pictures)
    restored.square().mean().backward()
    for layer in large.spec.layers:
        read = large.conv(layer.name).weight.grad.abs().amax((0, 2, 3)) > 0  # by input channel
        assert read.float().mean() > 0.9, layer.name  # a fresh ReLU may happen to be silent on four pictures


@pytest.mark.parametrize("tier, other", [("nano", "small"), ("nano", "large"), ("large", "small")])
def test_students_of_other_layers_or_fewer_channels_are_not_widened(tier, other):
    assert widened(build_student(tier), student_spec(other)) is None

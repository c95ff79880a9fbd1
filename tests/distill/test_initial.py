"""Initial weights from pictures: every layer of every tier starts centred and with the spread that was wanted."""

import pytest
import torch

from edgedeblur.data.default_set import default_photos
from edgedeblur.distill.initial import initialise_from
from edgedeblur.student import TIERS, build_student


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

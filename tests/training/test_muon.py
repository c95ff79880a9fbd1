"""Muon against the singular value decomposition that it approximates, and torch's AdamW."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgedeblur.training.muon import Muon, orthogonalised
from edgedeblur.training.recipe import Fitting
from edgedeblur.training.session import new_optimiser


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 99))
def test_the_iteration_gives_the_matrix_s_directions_with_singular_values_of_about_one(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    left, spread, right = torch.linalg.svd(matrix, full_matrices=False)
    well = spread > 0.1 * spread[0]  # five rounds do not lift what is far below the largest
    got = torch.diagonal(left.T @ orthogonalised([matrix])[0] @ right.T)[well]
    assert got.min() > 0.5 and got.max() < 1.3


def test_a_stack_of_matrices_gives_what_each_gives_alone():
    matrices = torch.randn(3, 12, 30, generator=torch.Generator().manual_seed(0))
    together = orthogonalised([matrices])[0]
    for matrix, got in zip(matrices, together, strict=True):
        alone, tall = orthogonalised([matrix, matrix.T.contiguous()])
        assert torch.allclose(got, alone, atol=1e-5)
        assert torch.allclose(got.T, tall, atol=1e-5)


def test_layers_of_one_shape_are_updated_each_by_its_own_gradient():
    torch.manual_seed(0)
    layers = [nn.Linear(6, 5, bias=False) for _ in range(3)]
    alone = [nn.Linear(6, 5, bias=False) for _ in range(3)]
    for layer, copy in zip(layers, alone, strict=True):
        copy.load_state_dict(layer.state_dict())
    optimisers = [Muon([layer.weight for layer in layers], [], 1e-2, [])]
    optimisers += [Muon([layer.weight], [], 1e-2, []) for layer in alone]
    for _ in range(3):
        x = torch.randn(4, 6)
        for place, layer in [*enumerate(layers), *enumerate(alone)]:
            layer.zero_grad()
            (layer(x) - place).square().mean().backward()
        for optimiser in optimisers:
            optimiser.step()
    for layer, copy in zip(layers, alone, strict=True):
        assert torch.allclose(layer.weight, copy.weight, atol=1e-5)


def test_biases_and_slow_weights_are_updated_as_by_torchs_adamw():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    fitting = Fitting(rate=1e-2, weight_decay=0.1, optimiser="muon")
    mine = new_optimiser([ours.bias], fitting, [ours.weight], 0.5)
    groups = [{"params": [theirs.bias]}, {"params": [theirs.weight], "lr": 5e-3}]
    reference = torch.optim.AdamW(groups, 1e-2, weight_decay=0.1)
    for _ in range(20):
        x = torch.randn(8, 4)
        for layer, optimiser in ((ours, mine), (theirs, reference)):
            optimiser.zero_grad()
            layer(x).square().mean().backward()
            optimiser.step()
    for name, tensor in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], tensor, atol=1e-6), name


@pytest.mark.parametrize("channels", [(24, 16), (96, 128)])
def test_an_update_changes_a_layers_output_by_the_same_share_of_its_input_whatever_its_width(channels):
    torch.manual_seed(0)
    conv = nn.Conv2d(*channels, 3)
    before = conv.weight.detach().clone()
    optimiser = Muon([conv.weight], [], 1e-3, [])
    conv(torch.randn(4, channels[0], 33, 33)).square().mean().backward()
    optimiser.step()
    change = (conv.weight - before).detach().flatten(1)
    outputs, inputs = change.shape
    spread = torch.linalg.svdvals(change) / (outputs / inputs) ** 0.5
    assert spread.median().item() == pytest.approx(7e-3, rel=0.3) and spread.max().item() < 7e-3 * 1.3

"""The generators compute what the original code computed, from files in every wrapping, within float32's rounding."""

import golden_set
import numpy as np
import pytest
import torch
from wrappings import WRAPPINGS

from edgedeblur.generators.cost import gmac
from edgedeblur.generators.layouts import V2_INCEPTION, V2_MOBILENET, fit
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.normalisation import set_bn

V1_OPTIONS = {"v1_head_dropout": {"head_relu": True}, "v1_head_nodropout": {"head_relu": False}}
V2_ARRAYS = {"batch": "out_train", "running": "out_eval", "mixed": "out_mixed"}
# largest and mean absolute difference that the set's README suggests
V2_LIMITS = {"batch": (2e-4, 2e-5), "running": (1e-5, 1e-5), "mixed": (3e-5, 3e-5)}
# GMAC at 256x256, parameters, parameters that run: the table in the set's README
COSTS = {
    "v1_resnet9_dropout": (49.551507456, 11_378_179, 11_378_179),
    "v1_resnet9_nodropout": (49.551507456, 11_378_179, 11_378_179),
    "v1_head_dropout": (27.80823552, 6_067_459, 6_067_459),
    "v1_head_nodropout": (27.80823552, 6_067_459, 6_067_459),
    "v2_fpn_mobilenet": (2.70860288, 3_312_707, 2_106_627),
    "v2_fpn_inception": (17.517801312, 60_929_291, 35_840_099),
}


def network_output(generator, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return generator.network(torch.from_numpy(image)).numpy()


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("variant", golden_set.V1)
def test_v1_computes_what_the_original_code_computes(golden, variant, residual):
    arrays = golden.arrays(variant)
    generator = load_generator(golden.file(variant), learn_residual=residual, **V1_OPTIONS.get(variant, {}))
    difference = network_output(generator, arrays["input"]) - arrays[f"out_residual_{str(residual).lower()}"]
    assert np.abs(difference).max() <= 2e-5


@pytest.mark.parametrize("bn", V2_ARRAYS)
@pytest.mark.parametrize("variant", golden_set.V2)
def test_v2_computes_what_the_original_code_computes_in_each_mode(golden, variant, bn):
    arrays = golden.arrays(variant)
    generator = golden.generator(variant)
    set_bn(generator.network, bn)
    difference = np.abs(network_output(generator, arrays["input"]) - arrays[V2_ARRAYS[bn]])
    set_bn(generator.network, "batch")
    assert difference.max() <= V2_LIMITS[bn][0]
    assert difference.mean() <= V2_LIMITS[bn][1]


@pytest.mark.parametrize("variant", golden_set.V2)
def test_v2_restores_an_image_as_upstreams_predictor(golden, variant):
    arrays = golden.arrays(variant)
    restored = golden.generator(variant).restore(arrays["e2e_in"])
    difference = np.abs(restored.astype(int) - arrays["e2e_out"])
    assert restored.shape == arrays["e2e_in"].shape and restored.dtype == np.uint8
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("variant", golden_set.V1)
def test_v1_restores_by_truncation_and_not_by_rounding(golden, variant):
    arrays = golden.arrays(variant)
    pixels = np.rint((arrays["input"][0].transpose(1, 2, 0) * 0.5 + 0.5) * 255).astype(np.uint8)
    upstream = ((arrays["out_residual_true"][0].transpose(1, 2, 0) + 1) / 2 * 255).astype(np.uint8)
    restored = load_generator(golden.file(variant), **V1_OPTIONS.get(variant, {})).restore(pixels)
    difference = np.abs(restored.astype(int) - upstream)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("variant", COSTS)
def test_cost_and_parameters_are_those_of_the_original_modules(golden, variant):
    cost, parameters, live = COSTS[variant]
    generator = golden.generator(variant)
    assert gmac(generator, 256, 256) == pytest.approx(cost, rel=1e-12)
    assert (generator.info.parameters, generator.info.live_parameters) == (parameters, live)


@pytest.mark.parametrize("wrap", WRAPPINGS, ids=lambda wrap: wrap.__name__)
@pytest.mark.parametrize("variant", golden_set.V1 + golden_set.V2)
def test_every_wrapping_gives_the_same_network(golden, tmp_path, variant, wrap):
    official, path = golden.generator(variant), tmp_path / "weights.bin"
    wrap(golden.weights(variant), path)
    wrapped = load_generator(path)
    path.unlink()  # Inception's has 240 MB, and pytest keeps the folder
    assert wrapped.info.options == official.info.options
    assert_same_weights(wrapped, official)


@pytest.mark.parametrize(
    ("variant", "layout"), [("v2_fpn_mobilenet", V2_MOBILENET), ("v2_fpn_inception", V2_INCEPTION)]
)
def test_the_encoders_second_names_alone_are_enough(golden, variant, layout):
    weights = golden.weights(variant)
    found = fit(layout, {k: v for k, v in weights.items() if not k.startswith(("fpn.features.", "fpn.inception."))})
    assert found.exact and found.parameters == COSTS[variant][2]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found.tensors.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_converted_where_it_is_accepted(golden, tmp_path, dtype):
    halves = {name: tensor.to(dtype) for name, tensor in golden.weights("v2_fpn_mobilenet").items()}
    torch.save({"model": halves}, tmp_path / "half.h5")
    loaded = load_generator(tmp_path / "half.h5", accept_half=True).network.state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in loaded.values())
    assert all(torch.equal(tensor, halves[name].float()) for name, tensor in loaded.items())


def assert_same_weights(one, other):
    first, second = one.network.state_dict(), other.network.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)

"""Calibration statistics and the three observers, against values computed by hand or by brute force."""

import numpy as np
import pytest
import torch
from students import drawn_pair, trained_student

from edgedeblur.errors import UserError
from edgedeblur.quantize.decide import (
    Range,
    decide_tensors,
    min_max_range,
    mse_range,
    percentile_range,
    tensor_scale,
    with_room,
)
from edgedeblur.quantize.network import TensorScale, image_scale
from edgedeblur.quantize.observe import (
    BINS,
    TensorStatistics,
    _Histogram,
    collect_statistics,
    crop_images,
)
from edgedeblur.student import build_student


def seen(*batches: np.ndarray) -> TensorStatistics:
    histogram = _Histogram()
    for batch in batches:
        histogram.add(np.asarray(batch, np.float32))
    return histogram.result()


def test_the_histogram_is_numpys_over_the_final_range_whatever_the_order():
    rng = np.random.default_rng(0)
    batches = [rng.normal(0, width, 1000).astype(np.float32) for width in (0.01, 5.0, 0.3)]
    found = seen(*batches)
    everything = np.concatenate(batches)
    expected, _ = np.histogram(everything, BINS, (-found.half_range, found.half_range))
    used = np.flatnonzero(expected)
    assert found.first_bin == used[0]
    np.testing.assert_array_equal(found.counts, expected[used[0] : used[-1] + 1])
    assert (found.minimum, found.maximum) == (everything.min(), everything.max())
    assert found.half_range / 2 <= np.abs(everything).max() < found.half_range
    np.testing.assert_array_equal(seen(*batches[::-1]).counts, found.counts)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 2.55, TensorScale(0.01, -128)),  # ReLU
        (-1.28, 1.27, TensorScale(0.01, 0)),
        (-2.55, 0.0, TensorScale(0.01, 127)),
        (-0.55, 2.0, TensorScale(0.01, -73)),
        (0.0, 0.0, TensorScale(1e-4 / 255, -128)),  # never used
    ],
)
def test_a_range_gives_the_scale_and_zero_point_of_asymmetric_int8(low, high, expected):
    found = tensor_scale(Range(low, high))
    assert found.scale == pytest.approx(expected.scale, rel=1e-12)
    assert found.zero_point == expected.zero_point


def test_min_max_spans_everything_and_zero():
    assert min_max_range(seen([0.5, 3.0], [1.0])) == Range(0.0, 3.0)
    assert min_max_range(seen([-0.5], [-0.25])) == Range(-0.5, 0.0)
    assert min_max_range(seen([-0.5, 4.0])) == Range(-0.5, 4.0)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9, 100.0])
def test_percentile_cuts_the_same_share_at_both_ends(percentile):
    values = np.random.default_rng(1).normal(0.1, 1, 100_000).astype(np.float32)
    found = percentile_range(seen(values), percentile)
    width = seen(values).bin_width
    low, high = np.percentile(values.astype(float), [100 - percentile, percentile])
    assert found.low == pytest.approx(low, abs=2 * width)
    assert found.high == pytest.approx(high, abs=2 * width)


def rounding_error(values: np.ndarray, scale: TensorScale) -> float:
    q = np.clip(np.round(values / scale.scale) + scale.zero_point, -128, 127)
    return float(np.mean((scale.scale * (q - scale.zero_point) - values) ** 2))


@pytest.mark.parametrize("outlier", [3.0, 8.0, 30.0])
def test_mse_finds_the_range_of_an_exhaustive_search(outlier):
    values = np.abs(np.random.default_rng(2).normal(0, 1, 50_000))
    values[0] = outlier
    found = rounding_error(values, tensor_scale(mse_range(seen(values))))
    exhaustive = min(rounding_error(values, tensor_scale(Range(0, high))) for high in np.linspace(1, outlier, 300))
    assert found <= exhaustive * 1.05
    assert found <= rounding_error(values, tensor_scale(min_max_range(seen(values)))) * 1.001


def test_mse_cuts_a_lone_outlier_and_keeps_a_uniform_range():
    uniform = np.linspace(-1, 1, 10_001)
    assert mse_range(seen(uniform)) == Range(-1.0, 1.0)
    # clipping 3 to 1 costs 4 once in a million; a range of 4 in place of 2 costs (3 / 255)^2 / 4 at every value
    assert mse_range(seen(*[uniform] * 100, [3.0])).high < 1.5


def test_room_for_exports_can_be_left_out():
    student = trained_student()
    seen = collect_statistics(student, [drawn_pair(seed)[0] for seed in range(3)])
    plain = decide_tensors(student.spec, seen, "min-max", export_room=False)
    for layer in student.spec.layers[:-1]:
        low, high = min(seen[layer.name].minimum, 0), max(seen[layer.name].maximum, 0)
        assert plain[layer.name].scale == pytest.approx((high - low) / 255)
    roomy = decide_tensors(student.spec, seen, "min-max")
    assert all(roomy[layer.name].scale >= plain[layer.name].scale for layer in student.spec.layers)


@pytest.mark.parametrize("conv_maximum", [0.1, 1.27, 3.0])
def test_room_for_the_convolution_is_made_only_where_it_is_needed(conv_maximum):
    span = Range(-0.5, 2.05)  # steps of 0.01
    found = tensor_scale(with_room(span, conv_maximum))
    assert found.scale == pytest.approx(max(0.01, conv_maximum / 127))
    assert found.zero_point == tensor_scale(span).zero_point


def test_statistics_are_those_of_the_students_own_tensors():
    student = trained_student()
    images = [drawn_pair(seed, 16, 24)[0] for seed in range(3)]
    found = collect_statistics(student, images)
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = {name: tensor.numpy() for name, tensor in student.activations(batch).items()}
        convolved = student.conv("down1")(torch.from_numpy(expected["enc0.0.b"]))
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].counts.sum() == tensor.size
        assert found[name].minimum == pytest.approx(tensor.min(), abs=1e-5)
        assert found[name].maximum == pytest.approx(tensor.max(), abs=1e-5)
    np.testing.assert_allclose(found["down1"].conv_mean, convolved.mean(dim=(0, 2, 3)).numpy(), atol=1e-5)
    assert found["down1"].conv_maximum == pytest.approx(float(convolved.abs().max()), rel=1e-5)


def test_images_are_fixed_and_relu_outputs_start_at_zero():
    student = trained_student()
    tensors = decide_tensors(student.spec, collect_statistics(student, [drawn_pair(0)[0]]), "mse")
    assert tensors["image"] == tensors["head"] == image_scale()
    assert tensors["enc0.0.a"].zero_point == tensors["enc1.0.a"].zero_point == -128


def test_an_unknown_observer_or_percentile_is_bad_use():
    student = trained_student()
    for arguments in (("median",), ("percentile", 50.0), ("percentile", 101.0), ("percentile", float("nan"))):
        with pytest.raises(UserError) as raised:
            decide_tensors(student.spec, {}, *arguments)
        assert raised.value.exit_code == 2


def test_calibration_images_are_cropped_at_the_centre_to_the_multiple():
    image = np.arange(40 * 30 * 3, dtype=np.int64).reshape(40, 30, 3).astype(np.uint8)
    (found,) = crop_images([image], 16)
    np.testing.assert_array_equal(found, image[4:36, 7:23])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no calibration images"),
        ([np.zeros((15, 40, 3), np.uint8)], "at least 16x16"),
        ([np.zeros((16, 16, 3), np.float32)], "must be uint8"),
        ([np.zeros((16, 16), np.uint8)], "must be uint8"),
    ],
)
def test_bad_calibration_images_are_the_users_error(images, message):
    with pytest.raises(UserError, match=message):
        collect_statistics(build_student("nano"), images)


def test_a_student_that_is_not_finite_is_named():
    student = build_student("nano")
    with torch.no_grad():
        student.conv("down1").bias[3] = float("nan")
    with pytest.raises(UserError, match="'down1' holds NaN"):
        collect_statistics(student, [np.zeros((16, 16, 3), np.uint8)])

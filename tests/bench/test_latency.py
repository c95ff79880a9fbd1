"""Percentiles and the rest of the latency summary against the standard library's own formulas."""

import random
import statistics

import pytest

from edgedeblur.bench.latency import percentile, summarise
from edgedeblur.errors import UserError


@pytest.mark.parametrize("count", [50, 51, 99, 100, 1000])
def test_percentiles_are_the_inclusive_quantiles_of_the_samples(count):
    samples = [random.Random(count).lognormvariate(3, 0.2) for _ in range(count)]
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    for percent in (50, 90, 99):
        assert percentile(samples, percent) == pytest.approx(cuts[percent - 1], rel=1e-12)


def test_a_summary_holds_every_sample_in_order_and_its_moments():
    samples = [random.Random(1).uniform(10, 20) for _ in range(60)]
    latency = summarise(samples, first=25.0, load=3.0)
    assert latency.samples == pytest.approx(samples, abs=1e-6)
    assert latency.mean == pytest.approx(sum(samples) / 60, abs=1e-6)
    assert latency.std == pytest.approx(statistics.stdev(samples), abs=1e-6)
    assert (latency.first, latency.load) == (25.0, 3.0)
    assert latency.min <= latency.p50 <= latency.p90 <= latency.p99 <= latency.max


def test_fewer_than_fifty_runs_are_refused():
    with pytest.raises(UserError, match="49 timed runs; at least 50"):
        summarise([1.0] * 49)

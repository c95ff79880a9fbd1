"""The gate is p90 against the latency budget and peak memory against the memory budget."""

import pytest
from reports import example_report

from edgedeblur.report.verdict import exit_code, sentence

NINE_SLOW = [30.0] * 46 + [50.0] * 4  # p90 interpolates below the slow tail: rank 44.1 of 0..49
MANY_SLOW = [30.0] * 40 + [50.0] * 10


@pytest.mark.parametrize(
    ("samples", "peak", "verdict", "code"),
    [
        (NINE_SLOW, 80.0, "pass", 0),
        (MANY_SLOW, 80.0, "fail", 3),
        (NINE_SLOW, 150.0, "pass", 0),
        (NINE_SLOW, 150.1, "fail", 3),
        (None, 80.0, "unknown", 0),
        (None, 200.0, "fail", 3),
        ([35.0] * 50, 80.0, "pass", 0),
    ],
)
def test_the_verdict_and_the_exit_code(samples, peak, verdict, code):
    budget = example_report(samples, peak).budget
    assert (budget.verdict, exit_code(budget)) == (verdict, code)


def test_an_unknown_latency_is_said_in_words_and_never_as_a_number():
    report = example_report(None, provenance="simulated")
    text = sentence(report.budget, report.latency_ms, report.memory_mb, report.provenance)
    assert text == (
        "verdict: unknown (latency unknown (simulated: no time can be taken); peak 80.0 MB of 150 MB; simulated)"
    )

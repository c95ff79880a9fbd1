"""Nearly sharp inputs are a group of their own: how many, the mean and the worst gain, and equal inputs apart."""

from dataclasses import dataclass

import pytest

from edgedeblur.restore.evaluation.nearly_sharp import nearly_sharp, nearly_sharp_lines


@dataclass(frozen=True)
class Scored:
    psnr_db: float


@dataclass(frozen=True)
class Pair:
    group: str
    name: str
    blurred: Scored
    models: tuple[Scored, ...]


def pair(name, blurred, *models):
    return Pair("g", name, Scored(blurred), tuple(map(Scored, models)))


PAIRS = [
    pair("blurred", 25.0, 30.0, 28.0),
    pair("at the limit", 36.0, 20.0, 20.0),
    pair("near", 37.0, 36.5, 37.5),
    pair("nearer", 40.0, 38.0, 40.2),
    pair("equal", float("inf"), 47.0, float("inf")),
]


def test_only_inputs_above_36_db_count_and_equal_ones_are_apart():
    found = nearly_sharp(PAIRS)
    assert (found.above_db, found.pairs, found.equal) == (36.0, 2, 1)
    first, second = found.models
    assert (first.mean_gain_db, first.worst_gain_db, first.worst_pair) == (-1.25, -2.0, "g/nearer")
    assert second.mean_gain_db == pytest.approx(0.35) and second.worst_pair == "g/nearer"
    assert (first.equal_mean_db, first.equal_worst_db, second.equal_mean_db) == (47.0, 47.0, 100.0)


def test_the_lines_say_it():
    lines = nearly_sharp_lines(nearly_sharp(PAIRS), ["one", "two"])
    assert lines[0] == "nearly sharp inputs (above 36 dB to their sharp image): 2"
    assert lines[1].startswith("  one: mean -1.25 dB, worst -2.00 dB (g/nearer); 1 more identical to their sharp image")
    assert nearly_sharp_lines(nearly_sharp(PAIRS[:1]), ["one", "two"])[0].endswith("none")

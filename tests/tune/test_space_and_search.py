"""The space of schedules, and that a search in it finds what is best, keeps to its budget, and does not trust noise."""

import dataclasses
import itertools
import math
import time

import numpy as np
import pytest
from networks import random_network

from edgedeblur.compile.kernels import INSTRUCTION_SETS
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.choose import check_fit
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import takes_winograd, tile_columns, tile_widths
from edgedeblur.errors import UserError
from edgedeblur.student import student_spec
from edgedeblur.tune.search import SearchOptions, search
from edgedeblur.tune.space import CHOICES, neighbours, schedule_space, starts

LAYERS = {layer.name: layer for layer in conv_layers(random_network(student_spec("nano")), 256, 256)}
NAMES = ["stem", "down1", "enc2.0.a", "up0", "head"]
CASES = list(itertools.product(NAMES, INSTRUCTION_SETS.values()))


def distance(schedule, planted) -> float:
    """How unlike two schedules are, in factors of two."""
    pairs = zip(vars(schedule).values(), vars(planted).values(), strict=True)
    return sum(a != b if isinstance(a, str) else abs(math.log2(a / b)) for a, b in pairs)


def fake(planted, calls=None, noise=0.0, wrong=lambda schedule: False):
    """Times that grow with the distance from the planted schedule."""
    random = np.random.default_rng(0)

    def measure(schedules, rounds):
        if calls is not None:
            calls.append((list(schedules), rounds))
        return [
            None
            if wrong(s)
            else tuple((1 + 0.1 * distance(s, planted)) * (1 + noise * random.exponential(size=rounds)))
            for s in schedules
        ]

    return measure


@pytest.mark.parametrize(("name", "isa"), CASES)
def test_the_space_begins_with_the_rule_and_every_schedule_in_it_fits(name, isa):
    layer = LAYERS[name]
    space = schedule_space(layer, isa, threads=4)
    assert space[0] == default_schedule(layer, isa, 4) and len(set(space)) == len(space) > 50
    for schedule in space[:: max(1, len(space) // 100)]:
        check_fit(layer, isa, schedule)
    others = {"winograd": takes_winograd(layer, isa), "matrix": isa.name == "amx"}
    assert {schedule.method for schedule in space} == {"direct", *(name for name, fits in others.items() if fits)}


def test_schedules_that_cut_a_row_alike_are_in_the_space_once():
    layer, isa = LAYERS["stem"], INSTRUCTION_SETS["vnni"]
    cuts = [
        (
            tile_widths(tile_columns(layer, isa, s.method, s.strip_rows), s.tile_width),
            dataclasses.replace(s, tile_width=1),
        )
        for s in schedule_space(layer, isa, 2)
    ]
    assert len(cuts) - len(set(cuts)) <= 1  # the default tile width may be another one of the same cut


@pytest.mark.parametrize(("name", "isa"), CASES)
def test_neighbours_differ_in_one_choice(name, isa):
    space = schedule_space(LAYERS[name], isa, 4)
    for schedule in neighbours(LAYERS[name], isa, space, space[0]):
        differing = {field for field, value in vars(schedule).items() if value != getattr(space[0], field)}
        assert any(differing and differing <= set(choice) for choice in CHOICES)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "isa"), CASES)
def test_the_planted_best_schedule_is_found(name, isa, seed):
    layer = LAYERS[name]
    space = schedule_space(layer, isa, 4)
    planted = space[len(space) * (2 + seed) // 5]
    found = search(layer, isa, 4, fake(planted), SearchOptions(trials=len(space), seed=seed))
    assert found.schedule == planted
    assert found.tuned_ms == pytest.approx(1) and found.default_ms > 1 and found.wrong == ()


@pytest.mark.parametrize("trials", [1, 5, 30])
def test_no_more_schedules_are_tried_than_asked_for_and_the_rule_is_measured_with_each_batch(trials):
    layer, isa, calls = LAYERS["enc2.0.a"], INSTRUCTION_SETS["avx2"], []
    space = schedule_space(layer, isa, 4)
    found = search(layer, isa, 4, fake(space[-1], calls), SearchOptions(trials, rounds=4))
    tried = {schedule for schedules, _ in calls for schedule in schedules} - {space[0]}
    assert len(tried) == found.trials <= trials
    assert all(schedules[0] == space[0] and len(set(schedules)) == len(schedules) for schedules, _ in calls)
    assert calls[-1][1] == 8, "the last comparison has twice the rounds"


def test_the_same_seed_tries_the_same_schedules_and_another_one_others():
    layer, isa = LAYERS["enc2.0.a"], INSTRUCTION_SETS["sdot"]
    space = schedule_space(layer, isa, 4)
    planted = space[len(space) // 2]
    tried = []
    for seed in (0, 0, 1):
        calls = []
        search(layer, isa, 4, fake(planted, calls), SearchOptions(seed=seed))
        tried.append([schedules for schedules, _ in calls])
    assert tried[0] == tried[1] != tried[2]


def test_the_rule_stays_where_nothing_is_faster_however_noisy_the_machine():
    layer, isa = LAYERS["up0"], INSTRUCTION_SETS["vnni"]
    rule = default_schedule(layer, isa, 4)
    for noise in (0.0, 2.0):
        found = search(layer, isa, 4, fake(rule, noise=noise), SearchOptions())
        assert found.schedule == rule and found.default_ms == found.tuned_ms


def test_a_schedule_whose_output_is_wrong_is_never_kept_but_told():
    layer, isa = LAYERS["stem"], INSTRUCTION_SETS["vnni"]
    space = schedule_space(layer, isa, 4)
    planted = neighbours(layer, isa, space, space[0])[0]
    found = search(layer, isa, 4, fake(planted, wrong=lambda s: s == planted), SearchOptions())
    assert planted in found.wrong and found.schedule != planted


def test_a_wrong_output_of_the_rule_itself_is_an_error():
    with pytest.raises(UserError, match="stem.*not the integer interpreter's"):
        search(LAYERS["stem"], INSTRUCTION_SETS["vnni"], 4, fake(None, wrong=lambda s: True), SearchOptions())


def test_when_the_time_is_over_what_was_found_is_decided_on():
    layer, isa, calls = LAYERS["stem"], INSTRUCTION_SETS["vnni"], []
    rule = default_schedule(layer, isa, 4)
    found = search(layer, isa, 4, fake(rule, calls), SearchOptions(deadline=time.monotonic()))
    assert found.schedule == rule and found.trials == 0 and len(calls) == 1


def test_a_search_begins_with_every_method():
    layer, isa = LAYERS["enc2.0.a"], INSTRUCTION_SETS["avx2"]
    assert {s.method for s in starts(layer, isa, schedule_space(layer, isa, 2))} == {"direct", "winograd"}

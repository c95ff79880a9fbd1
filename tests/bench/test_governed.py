"""What the report says of a governed run, from runs and readings that were made up."""

import pytest

from edgedeblur.bench.governed import default_levels, judge_governed, levels_text, parse_levels
from edgedeblur.bench.throttling import judge_sustained
from edgedeblur.device.errors import PhoneGone
from edgedeblur.device.program import ChosenLevel, RemoteRun, TimedRun
from edgedeblur.device.watch import Reading
from edgedeblur.errors import UserError
from edgedeblur.report.phone_schema import Level
from edgedeblur.report.phone_tables import governed_sentence, minute_rows

BOOT = 700.0
LEVELS = parse_levels("4,gpu:1@20,2@7.5")


def runs(*spans):
    """Each (from, to, ms): runs at every 0.1 s."""
    return tuple(
        TimedRun(BOOT + tenth / 10, ms) for low, high, ms in spans for tenth in range(10 * low + 1, 10 * high + 1)
    )


def test_levels_are_read_as_the_program_reads_them():
    assert list(LEVELS) == [Level(None, 4, None), Level("gpu", 1, 20.0), Level(None, 2, 7.5)]
    assert levels_text(LEVELS) == "4,gpu:1@20,2@7.5"
    assert levels_text(default_levels(4, 35.0)) == "4,4@20,4@12.9,4@7.1"


def test_levels_of_lighter_networks_are_numbered_in_their_order():
    names = ["nano", "tiny"]
    levels = parse_levels("4,2:cpu:3@10,3:1", names)
    assert [(level.network, level.threads) for level in levels] == [(None, 4), ("nano", 3), ("tiny", 1)]
    assert levels_text(levels, names) == "4,2:cpu:3@10,3:1"
    for text, told in (("4,2:4", "has no level with 3:"), ("4,4:4", "4,4@20,2:4@20"), ("4,0:4", "at most 16 levels")):
        with pytest.raises(UserError) as refused:
            parse_levels(text, names)
        assert told in f"{refused.value.message} {refused.value.fix}"


def test_of_lighter_networks_the_own_levels_are_those_that_heat_ever_less():
    """At 0.7, 0.45 and 0.25 of 28.6 frames a second; `small` at 0.25 is left out, for `nano` at 0.45 heats less."""
    levels = default_levels(4, 35.0, 478, [("nano", 190)])
    assert levels_text(levels, ["nano"]) == "4,4@20,4@12.9,2:4@20,2:4@12.9,2:4@7.1"
    levels = default_levels(4, 35.0, 478, [("nearly", 470), ("nano", 190)])
    assert levels_text(levels, ["nearly", "nano"]) == "4,4@20,4@12.9,2:4@12.9,3:4@20,3:4@12.9,3:4@7.1"


def test_each_minute_has_its_own_percentiles_heat_and_levels():
    free = judge_sustained(2.5, runs((0, 60, 30.0), (60, 150, 50.0)), [], (4,), None)
    chosen = [ChosenLevel(BOOT + at, level, headroom) for at, level, headroom in ((30, 1, 0.96), (90, 2, None))]
    readings = [Reading(BOOT + at, {4: 2000.0}, {"cpu": 40.0 + at / 10}) for at in range(0, 150, 10)]
    governed = RemoteRun(None, runs((0, 60, 30.0), (60, 150, 34.0)), PhoneGone("A1", "unplugged"), tuple(chosen))
    found = judge_governed(2.5, 35.0, LEVELS, governed, readings, (4,), free)
    assert [(minute.p50_ms, minute.levels) for minute in found.by_minute] == [(30.0, [1]), (34.0, [2]), (34.0, [])]
    assert [minute.p99_ms for minute in found.by_minute_without] == [30.0, 50.0, 50.0]
    assert [minute.temperature_c for minute in found.by_minute] == pytest.approx([46.0, 52.0, 54.0])
    assert found.level_seconds == pytest.approx([29.93, 60.0, 60.0], abs=0.01) and found.changes == 2
    assert (found.late, found.late_without) == (0.0, pytest.approx(0.6))
    assert "A1" in found.partial and found.chosen[1].headroom is None
    assert "0.0% of 1,500 runs above 35 ms (without: 60.0%); 2 changes of level" in governed_sentence(found)
    rows = minute_rows(found)
    assert [row[0] for row in rows] == ["1", "2", "3"] and rows[1][1] == "50.0" and rows[2][-1] == "-"


def test_no_runs_are_no_figures():
    nothing = RemoteRun(None, (), PhoneGone("A1", "unplugged"))
    free = judge_sustained(1, runs((0, 60, 30.0)), [], (4,), None)
    found = judge_governed(1, 35.0, LEVELS, nothing, [], (4,), free)
    assert (found.runs, found.late, found.by_minute) == (0, None, []) and governed_sentence(found) == "no runs"

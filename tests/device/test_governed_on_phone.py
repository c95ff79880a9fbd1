"""`bench --adb --sustained --governor` from end to end, on a phone that heats up as its programs run.

That latency is kept is shown in tests/runtime/test_governor.py; here the times are qemu's, and the budget is one that
they always keep. What is checked is that the program on the phone reads the heat, leaves a level because of it, and
that the report has both runs.
"""

import json
import shutil

import pytest
from artefacts import compiled
from click.testing import CliRunner
from heat import CALM_C, TRIP_C
from PIL import Image

from edgedeblur.cli.main import cli
from edgedeblur.report.schema import read_report

pytestmark = pytest.mark.usefixtures("arm")
QUICK = ["--runs", "50", "--warmup", "0", "--min-seconds", "0", "--threads", "1", "--no-profile"]


BUDGET_MS = 20_000.0


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    folder = shutil.copytree(compiled("android").path, tmp_path_factory.mktemp("governed") / "artefact")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["target"]["budget"]["latency_ms"] = BUDGET_MS
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def bench(artefact, *words):
    return CliRunner().invoke(cli, ["bench", str(artefact), *QUICK, *words])


def test_the_governed_run_leaves_a_level_that_heats_and_stays_cooler(artefact, fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    played = fake()
    played.heats(speed=60)
    done = bench(artefact, "--adb", "--sustained", "0.1", "--governor", "1,1@2")
    assert done.exit_code == 0, done.output
    work = tmp_path / "edgedeblur-work"
    report = read_report(work / "report.json")
    free, held = report.sustained, report.governed
    assert max(each.temperature_c for each in free.readings) > CALM_C
    assert min(each.clock_mhz for each in free.readings) < 2841.6, "the phone lowered its clocks"
    assert any("--govern 20000.0 --levels 1,1@2 --zones" in service for service in played.services)
    assert [(each.threads, each.frames_per_second) for each in held.levels] == [(1, None), (1, 2.0)]
    assert held.changes == 1 and held.chosen[-1].level == 1 and held.seconds > 5.9
    assert max(each.headroom for each in held.chosen) >= 0.95 and held.late == held.late_without == 0
    assert held.level_seconds[1] > 1 and sum(held.level_seconds) == pytest.approx(held.seconds, abs=0.1)
    assert held.readings[-1].temperature_c < TRIP_C - 10, "it has cooled down meanwhile"
    assert held.runs == len(held.samples_ms) < free.runs
    assert held.by_minute[0].levels[-1] == 1 and held.by_minute_without[0].runs <= free.runs
    assert Image.open(work / held.plot).width > 500
    assert "minute by minute" in done.stdout and "with the governor" in done.stdout
    assert "begins with the heat of the one before" in done.stderr
    assert CliRunner().invoke(cli, ["report"]).exit_code == 0
    assert (work / "report.html").read_text().count("<svg") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--governor"], "add --sustained MINUTES"),
        (["--sustained", "1", "--governor", "4@20,99"], "--governor 4@20,99"),
        (["--sustained", "1", "--governor", "4;2"], "give at most 16 levels"),
    ],
)
def test_a_governor_that_cannot_be_is_bad_use(artefact, fake, words, told):
    fake()
    done = bench(artefact, "--adb", *words)
    assert done.exit_code == 2 and told in done.output

"""`bench --adb --sustained --governor` from end to end, on a phone that heats up as its programs run.

That latency is kept is shown in tests/runtime/test_governor.py; here the times are qemu's, and the budget is one that
they always keep. What is checked is that the program on the phone reads the heat, leaves a level because of it, and
that the report has both runs.
"""

import json
import shutil
from dataclasses import replace

import pytest
from artefacts import HEIGHT, WIDTH, compiled
from click.testing import CliRunner
from heat import CALM_C, TRIP_C
from networks import random_network, single_layer_spec
from once import made_once
from PIL import Image

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.artefact.target import load_target
from edgedeblur.bench.phone_options import load_lighter
from edgedeblur.cli.main import cli
from edgedeblur.compile.artefact import compile_network
from edgedeblur.errors import UserError
from edgedeblur.report.phone_tables import governed_sentence
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


@pytest.fixture(scope="module")
def lighter():
    """One layer."""

    def make(folder):
        network = random_network(single_layer_spec(kernel=1, fold=4))
        compile_network(network, load_target("android"), HEIGHT, WIDTH, folder)

    return made_once("android-lighter", make)


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
    assert held.changes == 1 and held.chosen[-1].level == 1 and held.seconds > 5
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


def test_the_governor_goes_over_to_a_smaller_network(artefact, lighter, fake, tmp_path, monkeypatch):
    """The air is too hot for any level, so after a second the governor leaves the larger network."""
    monkeypatch.chdir(tmp_path)
    played = fake()
    body = played.heats(speed=60).body
    body.air_c = body.temperature_c = TRIP_C
    words = ["--lighter", str(lighter), "--governor", "1,2:1@4"]
    done = bench(artefact, "--adb", "--sustained", "0.03", *words)
    assert done.exit_code == 0, done.output
    held = read_report(tmp_path / "edgedeblur-work" / "report.json").governed
    name = load_artefact(lighter).name
    assert [level.network for level in held.levels] == [None, name]
    assert held.chosen[0].level == 1 and held.level_seconds[1] > 0.5
    assert f"{name} 1 threads, 4 a second for" in governed_sentence(held)
    asked = next(service for service in played.services if "--govern" in service)
    program = f"/data/local/tmp/edgedeblur/{name}-android/edgedeblur-bench"
    assert f"--network {program} --levels 1,2:1@4" in asked
    checked = [service for service in played.services if f"exec {program}" in service]
    assert len(checked) == 1 and "--output" in checked[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sustained", "1"], "add --governor"),
        (["--sustained", "1", "--governor", "1"], "--governor 1 has no level with 2:"),
        (["--sustained", "1", "--governor"], "for smaller networks"),
    ],
)
def test_lighter_networks_that_cannot_be_are_bad_use_before_a_phone_is_asked_for(artefact, words, told):
    done = bench(artefact, "--adb", *words, "--lighter", str(artefact))
    assert done.exit_code == 2 and told in " ".join(done.output.split())


def test_a_lighter_network_of_another_size_is_told_as_compile_takes_sizes(artefact, lighter):
    with pytest.raises(UserError) as refused:
        load_lighter(replace(load_artefact(artefact), height=48, width=80), [lighter])
    assert f"images of {HEIGHT}x{WIDTH} (height x width), not 48x80" in refused.value.message
    assert refused.value.fix == "compile it with --size 48x80"


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

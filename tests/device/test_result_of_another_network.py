"""What a phone's program says of its network must be what the manifest says, in every report, a partial one too."""

import json

import pytest
from adbd.hostile import says
from artefacts import compiled, copy_of
from click.testing import CliRunner

from edgedeblur.cli.main import cli

pytestmark = pytest.mark.usefixtures("arm")


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "edgedeblur-work"


def bench(artefact):
    words = ["--adb", "--runs", "50", "--warmup", "0", "--min-seconds", "0", "--threads", "1", "--no-profile"]
    return CliRunner().invoke(cli, ["bench", str(artefact), *words])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other-64x96"}, "it says name = 'other-64x96', but what was compiled says 'tiny-64x96'"),
        ({"arena_bytes": 1}, "it says arena_bytes = 1, but what was compiled says"),
        ({"weights_bytes": 1}, "it says weights_bytes = 1, but what was compiled says"),
    ],
)
def test_a_manifest_that_differs_from_the_pushed_program_is_damaged(fake, tmp_path, work, changes, message):
    fake()
    folder = copy_of(compiled("android"), tmp_path)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    result = bench(folder)
    assert result.exit_code == 1 and message in " ".join(result.stderr.split()), result.output
    assert not work.exists()


def test_a_phone_that_answers_with_another_networks_result_is_refused(fake, work):
    played, artefact = fake(), compiled("android")
    height, width = artefact.height, artefact.width
    layers = [{"name": layer["name"], "macs": 1, "ms": None, "samples_ms": []} for layer in artefact.manifest["layers"]]
    sizes = {key: artefact.manifest[key] for key in ("arena_bytes", "workspace_bytes", "weights_bytes")}
    told = {"schema_version": 1, "model": artefact.manifest["name"], "isa": "neon", "height": height, "width": width}
    told |= {"threads": 1, "interrupted": False, "load_ms": 1.0, "first_ms": 1.0, "samples_ms": [1.0] * 50, **sizes}
    told |= {"peak_rss_kb": 4000, "peak_rss_source": "VmHWM", "layers": layers}
    played.faults.shell["exec /"] = says(json.dumps(told).encode())
    result = bench(artefact.path)
    assert result.exit_code == 1 and "it says layers = " in " ".join(result.stderr.split()), result.output
    assert not work.exists()

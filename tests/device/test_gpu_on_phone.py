"""`bench --adb` of an artefact for a phone's GPU: the report is the GPU's. The driver is a double."""

import numpy as np
import pytest
from adbd import shell
from artefacts import HEIGHT, WIDTH, compiled
from click.testing import CliRunner
from ndk import build_double
from networks import random_network, tiny_spec

from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.bench.gpu import patches_and_noise
from edgedeblur.cli.main import cli
from edgedeblur.quantize import interpreter
from edgedeblur.report.schema import read_report


@pytest.mark.usefixtures("arm")
def test_the_report_names_the_gpu_and_the_output_is_the_interpreters(fake, tmp_path, monkeypatch):
    info, network = compiled("adreno"), random_network(tiny_spec())
    double = build_double(tmp_path, info.path, info.bench, gpu=True)
    images = [fill_image(make_tile(), HEIGHT, WIDTH), patches_and_noise(HEIGHT, WIDTH)]
    np.concatenate([interpreter.run(network, image) for image in images]).tofile(tmp_path / "answers.rgb")
    answers = f"ED_DOUBLE_ANSWER={tmp_path / 'answers.rgb'}"
    monkeypatch.setattr(shell, "QEMU", ("env", answers, *shell.QEMU, str(double), "--program"))
    monkeypatch.chdir(tmp_path)
    played = fake()
    result = CliRunner().invoke(cli, ["bench", str(info.path), "--adb", "--runs", "50", "--min-seconds", "0"])
    assert result.exit_code in (0, 3), result.output
    report = read_report(tmp_path / "edgedeblur-work/report.json")
    assert report.provenance == "measured" and len(report.latency_ms.samples) == 50
    assert (report.gpu.name, report.gpu.is_gpu, report.target.threads) == ("a double", True, 1)
    assert report.device.output_identical is True
    assert [layer.name for layer in report.layers] == [layer["name"] for layer in info.manifest["layers"]]
    assert all(layer.mac_per_cycle is None for layer in report.layers)
    assert any("--unit gpu" in service for service in played.services)


def test_without_a_phone_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["bench", str(compiled("adreno").path)])
    report = read_report(tmp_path / "edgedeblur-work/report.json")
    assert result.exit_code == 0 and report.latency_ms.p90 is None and report.estimate is None
    assert any("bench --adb" in reason for reason in report.unknown)

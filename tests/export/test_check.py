"""`export --check`: an exported file against the interpreter, in other runtimes."""

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result
from networks import random_network, tiny_spec
from test_onnx_export import random_image, run_onnx, saturating_network

from edgedeblur.cli.main import cli
from edgedeblur.export.check import check_export, to_size
from edgedeblur.export.onnx import export_onnx, onnx_model
from edgedeblur.export.tables import saturation_sentence
from edgedeblur.export.tflite import export_tflite
from edgedeblur.quantize.edq import save_edq
from edgedeblur.quantize.interpreter import run

pytest.importorskip("onnxruntime")


def run_cli(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_it_counts_the_bytes_that_differ(tmp_path):
    network, pictures = saturating_network(), [random_image(16, 24, seed) for seed in range(2)]
    export_onnx(network, tmp_path / "a.onnx", 16, 24)
    checked = check_export(network, tmp_path / "a.onnx", "onnx", pictures)
    found = [run_onnx(onnx_model(network, 16, 24), picture).astype(int) for picture in pictures]
    differences = np.abs(np.stack(found) - np.stack([run(network, picture) for picture in pictures]))
    (agreement,) = checked.agreements
    assert agreement.differing == (differences > 0).mean() > 0
    assert agreement.largest == differences.max()
    assert agreement.psnr_db == pytest.approx(10 * np.log10(255**2 / (differences.astype(float) ** 2).mean()))


def test_it_says_where_sums_leave_8_bits(tmp_path):
    network, picture = saturating_network(), random_image(16, 24)
    for form, said in (("qdq", True), ("integer", False)):
        export_onnx(network, tmp_path / "a.onnx", 16, 24, form)
        checked = check_export(network, tmp_path / "a.onnx", "onnx", [picture])
        assert checked.saturating["b"][0] > 0
        assert (saturation_sentence(checked) is not None) == said, "nothing to explain where all bytes are equal"


def test_tflite_is_run_with_both_kinds_of_kernels(tmp_path):
    pytest.importorskip("ai_edge_litert.interpreter")
    network = random_network(tiny_spec())
    export_tflite(network, tmp_path / "a.tflite", 16, 24)
    checked = check_export(network, tmp_path / "a.tflite", "tflite", [random_image(16, 24)])
    assert [one.runtime for one in checked.agreements] == ["litert, XNNPACK", "litert, own kernels"]
    assert checked.agreements[0].differing < 0.01


@pytest.mark.parametrize("size", [(4, 6), (9, 30), (20, 7)])
def test_pictures_are_cut_or_mirrored_to_the_size(size):
    picture = random_image(9, 7)
    fitted = to_size(picture, *size)
    assert fitted.shape == (*size, 3)
    middle = fitted[size[0] // 2 - 2 : size[0] // 2 + 2, size[1] // 2 - 1 : size[1] // 2 + 2]
    assert any(
        np.array_equal(middle, picture[y : y + 4, x : x + 3])
        for y in range(picture.shape[0] - 3)
        for x in range(picture.shape[1] - 2)
    ), "the middle is the picture's own"


def test_the_command_prints_a_table_and_json(tmp_path):
    save_edq(random_network(tiny_spec()), tmp_path / "tiny.edq")
    arguments = [tmp_path / "tiny.edq", "--format", "onnx", "--form", "integer", "--size", "64x64", "--check"]
    result = run_cli("export", *arguments, "--json", tmp_path / "check.json")
    assert "equal" in result.stdout and "8 pictures" in result.stdout
    said = json.loads((tmp_path / "check.json").read_text())
    assert said["check"]["agreements"][0]["differing"] == 0
    assert said["file"] == str(tmp_path / "tiny.onnx")


def test_pictures_without_check_are_bad_use(tmp_path):
    save_edq(random_network(tiny_spec()), tmp_path / "tiny.edq")
    result = run_cli("export", tmp_path / "tiny.edq", "--format", "onnx", "--pictures", tmp_path)
    assert result.exit_code == 2
    assert "--check" in result.stderr

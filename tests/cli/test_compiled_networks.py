"""`evaluate` and `deblur` run an .edq file in the artefact compiled from it, and in the interpreter on request."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from artefacts import GATED_SIZES, compiled, compiled_gated, gated_network
from click.testing import CliRunner
from model_files import photo, write_student

from edgedeblur.artefact.names import MANIFEST
from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import save_edq
from edgedeblur.runtime.engine import NUMPY

PROGRAM = "import sys\nfrom edgedeblur.cli.main import cli\n{}\nprint('torch' in sys.modules)"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A network with its artefact and another one's in the work directory, and pairs of the artefact's sizes."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "edgedeblur-work"
    save_edq(gated_network(), folder / "quantised.edq")
    (folder / "artefact-host").symlink_to(compiled_gated().path)
    shutil.copytree(compiled("host").path, folder / "artefact-other")
    (folder / "artefact-other" / MANIFEST).touch()  # the one compiled last is asked first
    for index, size in enumerate(GATED_SIZES):
        for kind in ("blur", "sharp"):
            write_image(tmp_path / "pairs" / kind / f"{index}.png", photo(*size, seed=index + 2 * (kind == "blur")))
    return folder


def run(*words, code=0):
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == code, result.output
    return result


def test_an_evaluation_whose_images_all_run_compiled_loads_no_torch_and_measures_the_same(work):
    words = ["evaluate", "pairs", "-m", str(work / "quantised.edq")]
    program = PROGRAM.format(f"cli({[*words, '-v', '--json', 'compiled.json']!r}, standalone_mode=False)")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.endswith("\nFalse\n") and "not the compiled network's" not in done.stdout
    assert f"{work.name}/artefact-other is not used: it was compiled from another network" in done.stderr
    said = run(*words, "--interpreter", "--json", "interpreter.json")
    assert "is not used" not in said.stderr and "not the compiled network's" in said.stdout
    first, second = (json.loads((work.parent / f"{how}.json").read_text()) for how in ("compiled", "interpreter"))
    assert first["models"][0]["runs_in"].startswith("compiled for 64x96 and 40x200, ")
    assert second["models"][0]["runs_in"] == NUMPY
    for one, other in zip(first["pairs"], second["pairs"], strict=True):
        assert [one["models"][0][key] for key in ("psnr_db", "ssim")] == [
            other["models"][0][key] for key in ("psnr_db", "ssim")
        ]


def test_deblur_takes_the_compiled_network_or_the_interpreter_and_writes_the_same(work):
    model = ["-m", str(work / "quantised.edq")]
    for words in (model, [*model, "--interpreter"], ["--interpreter"]):
        said = run("deblur", "pairs/blur/1.png", "out.png", *words)
        image = photo(*GATED_SIZES[1], seed=3)
        np.testing.assert_array_equal(read_image("out.png"), interpreter.run(gated_network(), image))
        assert said.stderr.count(NUMPY if "--interpreter" in words else "compiled for 64x96 and 40x200") == 2


def test_the_interpreter_is_for_edq_files(work):
    write_student(work / "student.safetensors")
    said = run("deblur", "pairs/blur/0.png", "-m", str(work / "student.safetensors"), "--interpreter", code=2)
    assert "is a student; the interpreter runs .edq files" in said.stderr

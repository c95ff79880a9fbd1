"""Whatever a manifest says, a session reads and writes no more than the library's image, and says what differs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artefacts import compiled, copy_of, expected, noise

from edgedeblur.errors import UserError
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session


def edit(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_no_field_of_a_manifest_corrupts_memory_or_changes_the_image(tmp_path):
    folder = copy_of(compiled("host"), tmp_path)
    np.save(tmp_path / "image.npy", noise())
    np.save(tmp_path / "expected.npy", expected())
    program = Path(__file__).parents[1] / "support" / "hostile_manifests.py"
    done = subprocess.run([sys.executable, program, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    keys = json.loads((compiled("host").path / "manifest.json").read_text())
    assert {line.split()[0] for line in lines} == set(keys) and len(lines) > 60
    assert not [line for line in lines if line.split()[1] not in ("right", "refused")]
    for key in ("input_shape", "name", "layers", "arena_bytes", "edgedeblur_version", "files", "network_sha256"):
        assert not [line for line in lines if line.split()[:2] == [key, "right"]], key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": [16, 16, 3]}, r"input_shape = \[16, 16, 3\], but what was compiled says \[64, 96, 3\]"),
        ({"input_shape": [96, 64, 3]}, r"input_shape = \[96, 64, 3\], but what was compiled says \[64, 96, 3\]"),
        ({"name": "other-64x96"}, "name = 'other-64x96', but what was compiled says 'tiny-64x96'"),
        ({"arena_bytes": 1}, "arena_bytes = 1, but what was compiled says"),
    ],
)
def test_a_manifest_that_differs_from_its_library_is_damaged(tmp_path, changes, message):
    folder = copy_of(compiled("host"), tmp_path)
    edit(folder, **changes)
    with pytest.raises(UserError, match=f"manifest.json is damaged: it says {message}"):
        Session(folder)


def test_a_manifest_that_differs_from_its_program_is_damaged(tmp_path):
    folder = copy_of(compiled("host"), tmp_path)
    edit(folder, input_shape=[96, 64, 3])
    with pytest.raises(UserError, match=r"it says input_shape = \[96, 64, 3\], but what was compiled says"):
        run_program(folder, np.zeros((96, 64, 3), np.uint8), runs=1, warmup=0)


def test_a_digest_of_another_network_is_damaged(tmp_path):
    folder = copy_of(compiled("host"), tmp_path)
    edit(folder, network_sha256="0" * 64)
    with pytest.raises(UserError, match="network_sha256 is not that of network.edq"):
        Session(folder)


def test_running_an_artefact_loads_neither_torch_nor_tvm():
    program = (
        "import sys; from edgedeblur.runtime.session import Session; "
        f"Session({str(compiled('host').path)!r}).close(); sys.exit(sum(m in sys.modules for m in ('torch', 'tvm')))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0

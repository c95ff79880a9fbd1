"""A short `make sanitize`: one small network under AddressSanitizer and UBSan, and that they find what is wrong."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sanitize"))
import sanitizers

from edgedeblur.artefact.names import MODEL_C
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.build import build_plan


@pytest.fixture(scope="module")
def address() -> sanitizers.Mode:
    found = [mode for mode in sanitizers.modes() if mode.name == "address"]
    if not found:
        pytest.skip("needs a C compiler with AddressSanitizer")
    return found[0]


def test_a_small_network_is_clean_and_one_that_reads_past_its_image_is_found_out(tmp_path, address):
    case, target = sanitizers.cases()[-1], load_target("host")
    compiled = build_plan(case.network, case.height, case.width, target)
    sanitizers.build(case, compiled, address, target, tmp_path)
    checks, failures, report = sanitizers.run(tmp_path)
    assert checks > 150 and failures == 0, report

    (tmp_path / "due.rgb").write_bytes(bytes(case.height * case.width * 3))
    assert "an image is restored" in sanitizers.run(tmp_path)[2]

    text = (tmp_path / MODEL_C).read_text()
    assert f".width = {case.width}," in text
    (tmp_path / MODEL_C).write_text(text.replace(f".width = {case.width},", f".width = {case.width - 1},"))
    sanitizers.link_programs(address, tmp_path)
    assert "heap-buffer-overflow" in sanitizers.run(tmp_path)[2]

"""What docs/own-student.md shows is what edgedeblur takes."""

import re
import sys
from pathlib import Path

import pytest
import torch

from edgedeblur.distill.named_student import named_network, trained_student
from edgedeblur.student.check import ALLOWED
from edgedeblur.student.importing.operators import OPERATORS
from edgedeblur.student.importing.refusals import ADVICE

PAGE = (Path(__file__).parents[2] / "docs" / "own-student.md").read_text()


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """The page's files in the current folder."""
    found = re.findall(r"<!-- (mine\.\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in found] == ["mine.toml", "mine.py"]
    for name, text in found:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_the_toml_file_is_a_student(files):
    spec = named_network("mine.toml", "small").spec
    assert (spec.name, spec.multiple, len(spec.layers)) == ("mine", 2, 4)


def test_the_module_is_a_student_with_the_weights_in_a_file(files):
    import importlib

    network = importlib.import_module("mine").net()
    torch.save(network.state_dict(), files / "trained.pth")
    student = trained_student("mine:net", files / "trained.pth").student
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.allclose(student(image).clamp(0, 1), network.eval()(image), atol=1e-5)
    assert len(student.spec.layers) == 8 and student.spec.bottleneck == "blocks.1.last.0"


def test_the_page_names_what_is_allowed():
    assert all(f"{', '.join(map(str, values[:-1]))} or {values[-1]}" in PAGE for values in ALLOWED.values())
    assert not set(OPERATORS) & set(ADVICE) - {"instance_norm"}  # what is taken needs no advice on what to use instead

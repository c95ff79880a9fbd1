"""`import edgedeblur as ed`: light to import, and every example of a docstring and of docs/python.md runs."""

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
from artefacts import compiled, noise
from json_schemas import validator
from model_files import write_quantised, write_student, write_teacher
from students import drawn_pair

import edgedeblur as ed
from edgedeblur.data.images import write_image
from edgedeblur.workflow.shipped import shipped_network

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
NAMES = sorted(set(ed.__all__) - {"__version__", "UserError"})
HEAVY = ("torch", "tvm", "cv2", "PIL", "skimage", "scipy", "matplotlib", "rich", "click", "onnx", "safetensors")
MEASURE = """
import json, resource, sys, time
{before}
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
seconds, megabytes = time.process_time(), peak()
{work}
seconds, megabytes = time.process_time() - seconds, peak() - megabytes
json.dump([seconds, megabytes, sorted(sys.modules)], sys.stdout)
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current folder with the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    write_quantised(Path("student.edq"))
    write_student(Path("student.safetensors"))
    write_teacher(Path("teacher.safetensors"))
    shutil.copytree(compiled("host").path, "artefact")
    for number in range(2):
        blurred, sharp = drawn_pair(number, 48, 48)
        write_image(Path("photos", f"{number}.png"), sharp)
        write_image(Path("pairs", "sharp", f"{number}.png"), sharp)
        write_image(Path("pairs", "blur", f"{number}.png"), blurred)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_docstring_gives_what_it_says(here, name):
    thing = getattr(ed, name)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    test = parser.get_doctest(thing.__doc__, {"ed": ed, "np": np}, name, name, 0)
    assert test.examples
    said = []
    assert runner.run(test, out=said.append).failed == 0, "".join(said)
    assert "Args:" in thing.__doc__ and "Raises:\n" in thing.__doc__


QUICK = """
name = "quick"
[[layers]]
name = "stem"
out_channels = 8
space_to_depth = 4
[[layers]]
name = "head"
out_channels = 48
depth_to_space = 4
residual = "image"
"""  # compiled in seconds


def test_the_blocks_of_the_page_run_in_order(here):
    Path("quick.toml").write_text(QUICK)
    page = PAGE.read_text()
    assert 'tier="nano"' in page
    page = page.replace('tier="nano"', 'student="quick.toml"')
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S)
    assert len(blocks) >= 5
    namespace = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    validator("report").validate(json.loads(Path("work/report-host.json").read_text()))
    validator("manifest").validate(json.loads(Path("work/artefact-host/manifest.json").read_text()))
    with zipfile.ZipFile("work/quantised.edq") as archive:
        validator("network").validate(json.loads(archive.read("network.json")))


def test_every_name_is_on_the_page_and_in_dir_and_no_other_is_had():
    page = PAGE.read_text()
    assert all(f"`ed.{name}" in page and name in dir(ed) for name in [*NAMES, "UserError"])
    with pytest.raises(AttributeError, match="no attribute 'sharpen'"):
        ed.sharpen  # noqa: B018


def test_type_checkers_are_told_the_same_names_as_programs():
    """The imports under TYPE_CHECKING, run, give the objects that the lazy attributes are."""
    source = Path(ed.__file__).read_text()
    imports = source.partition("if TYPE_CHECKING:\n")[2].partition("\n\n")[0]
    told = {}
    exec(textwrap.dedent(imports), told)
    assert {name: told[name] for name in ed.__all__ if name != "__version__"} == {
        name: getattr(ed, name) for name in ed.__all__ if name != "__version__"
    }


def test_types_are_shipped_with_the_package():
    assert (Path(ed.__file__).parent / "py.typed").is_file()
    assert re.search(r"edgedeblur =\n\s+py\.typed\n", (PAGE.parents[1] / "setup.cfg").read_text())


def measured(work: str, before: str = "") -> tuple[float, float, list[str]]:
    """CPU seconds, megabytes more at the peak and the modules at the end, in a Python of its own."""
    program = MEASURE.format(before=before, work=work)
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return tuple(json.loads(done.stdout))


def test_the_import_alone_loads_nothing_and_takes_no_time():
    seconds, megabytes, modules = measured("import edgedeblur as ed; ed.__version__")
    own = [name for name in modules if name.startswith("edgedeblur.")]
    assert not own and "numpy" not in modules and not set(HEAVY) & set(modules)
    assert seconds < 0.1 and megabytes < 5


@pytest.mark.parametrize("kind", ["edq", "artefact", "session"])
def test_running_a_model_loads_neither_torch_nor_tvm(tmp_path, kind):
    """0.25 s and 60 MB are allowed up to the first image; four times the time, for machines that are busy."""
    path = shipped_network("nano") if kind == "edq" else compiled("host").path
    opened = f"ed.Session({str(path)!r})" if kind == "session" else f"ed.open_model({str(path)!r})"
    seconds, megabytes, modules = measured(f"import edgedeblur as ed; model = {opened}")
    assert not set(HEAVY) & set(modules)
    assert seconds < 1 and megabytes < 60
    run = "run" if kind == "session" else "restore"
    image = f"np.zeros({noise().shape}, np.uint8)"
    _, _, modules = measured(f"model.{run}({image})", f"import numpy as np, edgedeblur as ed; model = {opened}")
    assert not set(HEAVY) & set(modules)


def test_the_old_names_of_the_student_are_where_they_were():
    _, _, modules = measured("from edgedeblur.student import TIERS, ConvSpec, student_spec; student_spec('nano')")
    assert "torch" not in modules
    from edgedeblur.student import Student, build_student, depth_to_space, space_to_depth

    assert isinstance(build_student("nano"), Student) and depth_to_space and space_to_depth

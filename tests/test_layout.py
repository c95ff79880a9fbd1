"""The rooms of the package: what may import what, how full one may be. docs/architecture.md says what each is for."""

import ast
from pathlib import Path

import pytest

import edgedeblur

ROOT = Path(edgedeblur.__file__).parent
# Data flows down this list: a package imports only what stands above it, and itself.
ORDER = (
    "storage",
    "student",
    "data",
    "generators",
    "training",
    "train",
    "distill",
    "quantize",
    "artefact",
    "report",
    "compile",
    "runtime",
    "estimate",
    "restore",
    "export",
    "device",
    "tune",
    "bench",
    "workflow",
    "cli",
)
COMMON = {
    "command_line",
    "errors",
    "metrics",
    "processes",
    "progress",
    "sizes",
    "tiles",
}  # modules that any package may use
OPEN = {"api", "__init__"}  # what users import; may use everything
PER_COMMAND = {"cli", "workflow"}  # a file per command
MOST_FILES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 16, 300, 50

MODULES = {path.relative_to(ROOT): path for path in sorted(ROOT.rglob("*.py"))}


def room(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Top-level packages and modules of edgedeblur that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{path} has a relative import")
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("edgedeblur.")}
    return found - {"__version__"}


def test_every_package_has_its_place():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert packages == set(ORDER)
    assert {path.stem for path in ROOT.glob("*.py")} == COMMON | OPEN


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_one_way(module):
    own = room(module)
    if own in OPEN:
        return
    allowed = COMMON | (set(ORDER[: ORDER.index(own) + 1]) if own in ORDER else set())
    beyond = imported_rooms(MODULES[module]) - allowed
    assert not beyond, f"edgedeblur/{module} imports {', '.join(sorted(beyond))}, which stand below {own}"


@pytest.mark.parametrize("package", sorted({path.parent for path in ROOT.rglob("*.*")}), ids=str)
def test_no_package_is_crowded(package):
    files = [path for path in package.iterdir() if path.is_file()]
    if package.name in {"targets", "calibration", "weights", "__pycache__", *PER_COMMAND} or package.is_symlink():
        return
    assert len(files) <= MOST_FILES, f"{package} has {len(files)} files: {sorted(path.name for path in files)}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_files_and_functions_are_short(module):
    text = MODULES[module].read_text()
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1
            documented = ast.get_docstring(node)
            lines -= len(documented.splitlines()) + 1 if documented else 0
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"

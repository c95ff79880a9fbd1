"""Runs an artefact with one wrong field of its manifest after the other; a process of its own, for it may crash."""

import json
import sys
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.errors import UserError
from edgedeblur.runtime.session import Session

STRANGE = {
    int: [0, -1, 2**31, 10**30],
    str: ["", "x" * 5000],
    list: [[], [16, 16, 3], [96, 64, 3], [2**20, 2**20, 3], [None, {}], [{"name": [], "macs": -1}]],
    dict: [{}, {"": None}],
}


def run_in_session(folder: Path, image: np.ndarray, expected: np.ndarray) -> str:
    """What happens to a caller who trusts the manifest's size."""
    try:
        info = load_artefact(folder)
        size = min(info.height, 4096), min(info.width, 4096), 3
        with Session(info) as session:
            restored = session.run(image if size == image.shape else np.zeros(size, np.uint8))
            return "right" if np.array_equal(restored, expected) else "wrong"
    except UserError as error:
        return "refused " + error.message[:80].replace("\n", " ")


def main(folder: Path) -> None:
    image, expected = (np.load(folder.parent / f"{name}.npy") for name in ("image", "expected"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for key, value in manifest.items():
        for strange in STRANGE[type(value)]:
            (folder / "manifest.json").write_text(json.dumps(manifest | {key: strange}))
            print(key, run_in_session(folder, image, expected), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

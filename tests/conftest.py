"""Makes tests/support importable: networks and references that tests of several packages share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

from once import shared_folder

shared_folder()  # before pytest-xdist starts processes, which use it too

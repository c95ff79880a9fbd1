"""For tests that need llvm-mca."""

import pytest

from edgedeblur.estimate.mca import PACKAGE, find_mca

needs_mca = pytest.mark.skipif(find_mca() is None, reason=f"needs llvm-mca: apt-get install {PACKAGE}")

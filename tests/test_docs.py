"""Links of the documentation lead somewhere, so that `make docs`, where a warning is an error, builds its site."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_links_only_to_files_of_the_documentation(page):
    linked = set(_LINK.findall(page.read_text(encoding="utf-8")))
    assert not {name for name in linked if "/" in name or not (DOCS / name).is_file()}

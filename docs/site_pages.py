"""A hook of MkDocs: README.md and CHANGELOG.md, which lie beside docs/, become pages of the site."""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {"index.md": "README.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config) -> Files:
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=as_page((ROOT / source).read_text())))
    return files


def as_page(text: str) -> str:
    """The text with links as they are inside docs/; what is not in docs/ is named without a link."""
    text = text.replace("](docs/", "](").replace("](CHANGELOG.md", "](changelog.md")
    return re.sub(r"\[([^\]]+)\]\(edgedeblur/[^)]*\)", r"\1", text)

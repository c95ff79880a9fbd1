"""The header of a safetensors file: what it says of itself, without its tensors and without torch.

Format: 8 bytes, the header's length, little-endian; the header, a JSON object whose entry `__metadata__` maps strings
to strings; the tensors.
"""

from pathlib import Path

from edgedeblur.storage.contents import Origin, read_start, require_regular
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.records import Rules, read_value

MAX_HEADER = 16 << 20


def is_safetensors(start: bytes) -> bool:
    """Whether a file that starts with these 9 bytes or more is one: the upper half of the length is 0."""
    return start[4:9] == b"\0\0\0\0{"


def read_metadata(path: Path, origin: Origin) -> dict[str, str]:
    """What a file's header has under `__metadata__`; an empty dict where it has no such entry.

    Raises:
        UserError: it cannot be read, or is not a safetensors file.
    """
    size = require_regular(path, origin)
    start = read_start(path, 9, origin)
    length = int.from_bytes(start[:8], "little")
    if not is_safetensors(start) or length > min(size - 8, MAX_HEADER):
        raise origin.error("it does not begin with a safetensors header")
    header = parse_json(read_start(path, 8 + length, origin)[8:], origin)
    return read_value(dict[str, str], header.get("__metadata__", {}), Rules(origin), "__metadata__")

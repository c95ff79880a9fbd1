"""Subtitles as text from MP4's kind (mov_text) to Matroska's (SubRip) and back; other kinds are copied or left out.

A packet of mov_text (3GPP TS 26.245, timed text) is the length of its text in two bytes, the text in UTF-8, and boxes
with styles, which are dropped. One of SubRip is the text alone, with tags like <i>, which MP4 does not know.
"""

import re
import struct

_MARKUP = re.compile(rb"</?[biu]>|</?font[^>]*>|\{\\[^}]*\}", re.IGNORECASE)
_LONGEST = 65535

OTHER_KIND = {"mov_text": "subrip", "subrip": "mov_text", "srt": "mov_text"}
"""By FFmpeg's name of the codec."""


def converted(data: bytes, wanted: str) -> bytes:
    """The packet of the other kind.

    Args:
        data: of mov_text where `wanted` is subrip, and the other way round.
    """
    if wanted == "subrip":
        length = struct.unpack_from(">H", data)[0] if len(data) >= 2 else 0
        return data[2 : 2 + length]
    text = _MARKUP.sub(b"", data)[:_LONGEST]
    return struct.pack(">H", len(text)) + text

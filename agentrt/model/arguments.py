"""The text of a call's arguments, judged without being read."""

from __future__ import annotations

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_object(text: str) -> bool:
    """Whether the text is exactly one JSON object; too deep to be read counts as no."""
    try:
        _OBJECT.decode(text)
    except (ValueError, RecursionError):
        return False
    return True

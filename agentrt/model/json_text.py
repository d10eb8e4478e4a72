"""The members of one JSON object, told while its text still comes. Pure, and indifferent to where the text is cut.

The reader stands in one of a few places - before the object, at a key, behind one, in a string, in another value - and
each is a method that takes what it can of the text ahead. Where a cut leaves half an escape, or half a key, it waits
for the rest. Text that cannot be JSON, and all text behind the object, is left in `rest`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

import msgspec

from agentrt.surrogates import mended_text

_LONGEST_KEY: Final = 200
"""Characters. Keys are waited for until they are whole; ours are short."""

_LONGEST_ESCAPE: Final = 12
"""Characters of an escape that is waited for: two halves of one character."""

_SPACE = re.compile(r"[ \t\r\n]*+")
_BETWEEN = re.compile(r"[ \t\r\n,]*+")
_KEY = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_OTHER = r"\\(?:[^u]|u(?![dD][89abAB])[0-9a-fA-F]{4})"
_UNITS = re.compile(rf'(?:[^"\\]++|{_OTHER}|{_HIGH}(?=[^\\]|\\[^u]|\\u[0-9a-fA-F]{{4}}))*+')
"""Whole characters of a string; of a character that is written in two halves, both."""
_QUOTED = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_MARK = re.compile(r'["{}\[\],]')


class Part(msgspec.Struct, frozen=True):
    """A part of one member's value: decoded if it is a string, else as it is written. `ended` with its last part."""

    key: str
    text: str
    ended: bool


class ObjectReader:
    """Reads one object.

    Attributes:
        ended: The object came to its end.
        broken: What came is no JSON object.
        rest: Text that came behind its end, or from where it broke.
    """

    def __init__(self) -> None:
        self.ended = False
        self.broken = False
        self.rest = ""
        self._text = ""
        self._at = 0
        self._key = ""
        self._depth = 0
        self._quoted = False
        self._parts: list[Part] = []
        self._place: Callable[[], bool] = self._before

    def feed(self, text: str) -> list[Part]:
        """What this text adds, in order."""
        self._text, self._at = self._text[self._at :] + text, 0
        while not (self.ended or self.broken) and self._at < len(self._text) and self._place():
            pass
        if self.ended or self.broken:
            self.rest += self._text[self._at :]
            self._text, self._at = "", 0
        parts, self._parts = self._parts, []
        return parts

    # The places. Each says whether it got on; where it did not, more text is needed.

    def _before(self) -> bool:
        if not self._skip(_SPACE):
            return False
        if self._text[self._at] != "{":
            return self._break()
        return self._on(self._at_key, 1)

    def _at_key(self) -> bool:
        if not self._skip(_BETWEEN):
            return False
        if self._text[self._at] == "}":
            self.ended = True
            self._at += 1
            return True
        key = _KEY.match(self._text, self._at)
        length = len(self._text) - self._at if key is None else len(key[0])
        if self._text[self._at] != '"' or length > _LONGEST_KEY:
            return self._break()
        if key is None:
            return False
        try:
            self._key = _decoded(key[1])
        except ValueError:
            return self._break()
        return self._on(self._behind_key, length)

    def _behind_key(self) -> bool:
        if not self._skip(_SPACE):
            return False
        return self._on(self._at_value, 1) if self._text[self._at] == ":" else self._break()

    def _at_value(self) -> bool:
        if not self._skip(_SPACE):
            return False
        if self._text[self._at] == '"':
            return self._on(self._in_string, 1)
        if self._text[self._at] in ",]}":
            return self._break()
        self._depth, self._quoted = 0, False
        return self._on(self._in_value, 0)

    def _in_string(self) -> bool:
        units = _UNITS.match(self._text, self._at)
        assert units is not None  # it may be empty, but matches
        end = units.end()
        ended = self._text[end : end + 1] == '"'
        try:
            text = _decoded(units[0])
        except ValueError:
            return self._break()
        if text or ended:
            self._parts.append(Part(self._key, text, ended))
        self._at = end
        if ended:
            return self._on(self._at_key, 1)
        return self._break() if len(self._text) - end >= _LONGEST_ESCAPE else False

    def _in_value(self) -> bool:
        start, ended = self._at, False
        while not ended and self._at < len(self._text):
            if self._quoted:
                ahead = _QUOTED.match(self._text, self._at)
                assert ahead is not None
                self._at = ahead.end()
                if self._text[self._at : self._at + 1] != '"':
                    break  # the end of what there is, or half an escape
                self._quoted = False
                self._at += 1
            else:
                ended = self._at_mark()
        if self._at > start or ended:
            self._parts.append(Part(self._key, self._text[start : self._at], ended))
        return self._on(self._at_key, 0) if ended else False

    def _at_mark(self) -> bool:
        """On to the next mark and, if it is part of the value, behind it; whether the value ends there."""
        mark = _MARK.search(self._text, self._at)
        if mark is None:
            self._at = len(self._text)
            return False
        self._at = mark.start()
        match mark[0]:
            case '"':
                self._quoted = True
            case "{" | "[":
                self._depth += 1
            case ",":
                if self._depth == 0:
                    return True
            case _:
                if self._depth == 0:
                    return True
                self._depth -= 1
                self._at += 1
                return self._depth == 0
        self._at += 1
        return False

    # What the places do.

    def _skip(self, what: re.Pattern[str]) -> bool:
        """Go behind what does not matter; whether there is more."""
        skipped = what.match(self._text, self._at)
        if skipped is not None:
            self._at = skipped.end()
        return self._at < len(self._text)

    def _on(self, place: Callable[[], bool], taken: int) -> bool:
        self._place = place
        self._at += taken
        return True

    def _break(self) -> bool:
        self.broken = True
        return False


def _decoded(inside: str) -> str:
    """What stands between the quotes of a string means.

    Raises:
        ValueError: It has an escape that there is not.
    """
    return mended_text(json.loads(f'"{inside}"', strict=False))

"""In which order the items of a reply came, kept beside the message that they became.

Reasoning must go back in its place: right before the message or the call that came of it. So where there is any, the
layout of the reply is kept in the message's `extra`, as `{"items": [...]}`: reasoning as it came, a message by the
length of its text, a call by its place alone, for the message has both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from agentrt.messages import AssistantMessage


class Reasoned(msgspec.Struct, frozen=True, tag_field="type", tag="reasoned"):
    """Reasoning, as the provider's own item."""

    item: dict[str, Any]


class Spoken(msgspec.Struct, frozen=True, tag_field="type", tag="spoken", omit_defaults=True):
    """So many characters of the text. `phase` is what the provider says of their purpose, and wants to hear again."""

    length: int
    phase: str | None = None


class Called(msgspec.Struct, frozen=True, tag_field="type", tag="called"):
    """The next call."""


Place = Reasoned | Spoken | Called


class _Layout(msgspec.Struct):
    items: tuple[Place, ...] = ()


_DECODER = msgspec.json.Decoder(_Layout)


def as_extra(layout: Sequence[Place]) -> str | None:
    """What is to be kept of it: nothing where the message alone says as much."""
    if all(isinstance(place, Called) or (isinstance(place, Spoken) and place.phase is None) for place in layout):
        return None
    return json.dumps(msgspec.to_builtins(_Layout(tuple(layout))), ensure_ascii=False, separators=(",", ":"))


def read_layout(message: AssistantMessage) -> tuple[Place, ...]:
    """The layout of a message; none where it has none, or was changed since."""
    if message.extra is None:
        return ()
    try:
        layout = _DECODER.decode(message.extra).items
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return ()
    spoken = sum(place.length for place in layout if isinstance(place, Spoken))
    called = sum(isinstance(place, Called) for place in layout)
    return layout if (spoken, called) == (len(message.content), len(message.tool_calls)) else ()

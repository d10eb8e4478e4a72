"""Long results: the model sees the beginning and asks for more, a piece at a time.

A result above its tool's `max_result` is cut, and its last line says by which call the model gets the rest. Nobody
runs that call: the text is kept with the result, and the run answers from what it kept. Sizes and offsets are bytes of
UTF-8; a cut never falls into a character.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentrt.errors import ToolError
from agentrt.messages import Message, ToolMessage, ToolSpec

KEPT = 1_000_000
"""Bytes that are kept of a result that was cut; a line at the end says so if there was more."""

READ_RESULT = ToolSpec(
    "read_result",
    "Read on in a result that was cut. The cut's last line says with which arguments.",
    msgspec.Raw(
        msgspec.json.encode(
            {
                "type": "object",
                "properties": {
                    "call_id": {"type": "string", "description": "The call whose result was cut."},
                    "offset": {
                        "type": "integer",
                        "minimum": 0,
                        "default": 0,
                        "description": "Bytes of the result to leave out.",
                    },
                },
                "required": ["call_id"],
                "additionalProperties": False,
            }
        )
    ),
)
"""The tool by which the model reads on. It is offered where no tool of the user's has its name."""


class ReadResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of `read_result`."""

    call_id: str
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


def asked_for(arguments: str) -> ReadResult:
    """What a call of `read_result` asks for, from the JSON text that the model wrote.

    Raises:
        ToolError: `arguments_invalid`; its text tells the model the first mistake.
    """
    try:
        return msgspec.json.decode(arguments or "{}", type=ReadResult)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        text = f'the arguments of "{READ_RESULT.name}" do not fit: {error}'
        raise ToolError(text, code="arguments_invalid") from None


def fit(text: str, limit: int, call_id: str = "") -> str:
    """The text's first `limit` bytes, in whole characters; if that is not all, a last line says so.

    With `call_id` it says by which call of `read_result` the model gets more.
    """
    return text if len(text) * 4 <= limit else excerpt(text, 0, limit, call_id)


def excerpt(whole: str, offset: int, limit: int, call_id: str = "") -> str:
    """`limit` bytes of the text from `offset` on, 4 at least, so that any character fits; the last line is `fit`'s.

    Whoever goes on where the last line says gets every character once.
    """
    data = whole.encode()
    if offset >= len(data) > 0:
        return f"[nothing here: the result has {len(data):,} bytes]"
    begin = _between_characters(data, offset)
    end = _between_characters(data, begin + max(limit, 4))
    text = data[begin:end].decode()
    if end == len(data):
        return text
    more = call_id and f"; {_of(call_id)}, offset={end}) has more"
    return f"{text}\n[cut here: {len(data) - end:,} of {len(data):,} bytes are left out{more}]"


def renamed(text: str, was: str, call_id: str) -> str:
    """A text that was cut for the call `was`, as another call that shares its result shows it."""
    kept, cut, line = text.rpartition("\n[cut here: ")
    return kept + cut + line.replace(_of(was), _of(call_id), 1) if cut else text


def is_cut(message: Message) -> bool:
    """Whether it is a result of which there is more, by `read_result`."""
    if not isinstance(message, ToolMessage) or not message.content.endswith(" has more]"):
        return False
    return "\n[cut here: " in message.content[-200:] and READ_RESULT.name in message.content[-200:]


def _of(call_id: str) -> str:
    return f"{READ_RESULT.name}(call_id={msgspec.json.encode(call_id).decode()}"


def _between_characters(data: bytes, place: int) -> int:
    """The last place up to this one at which no character is cut in two."""
    place = min(place, len(data))
    while 0 < place < len(data) and data[place] & 0xC0 == 0x80:
        place -= 1
    return place

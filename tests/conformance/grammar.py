"""Replies that are valid, and every way we know to break them: a grammar that is told its chance.

A reply is composed as a list of events, each a name and a value, then broken as such, then written down as bytes and
broken again. One composer stands here for each dialect; the breaking is the same for all. The `chance` is hypothesis'
own in tests, which lets it shrink what it finds, and a seeded one in `bench/soak.py`, which has a million to try.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event of a stream. A `value` of type bytes stands as it is."""

    value: Any
    name: str | None = None


Events = list[Event]
Break = Callable[[Events, Random], None]

TEXTS = ("", "Hel", "lo", " ", "\n\n", "ü😀", "\x00", "data: [DONE]\n\n", "\ud83d", "\ude00", '"}', "[DONE]", "x" * 50)
NAMES = (None, "", "look", "find", "lo", "ok")
IDS = (None, "", "a", "b", "call_0", "call_1", "a_2", 7)
INDICES = (None, 0, 0, 1, 2, -1, 10**30, "0", 1.0)
ARGUMENTS: tuple[Any, ...] = (
    None,
    "",
    "{",
    "}",
    "{}",
    '{"q":1}',
    '{"q":',
    "1}",
    '"x"',
    "null",
    "[" * 70,
    {},
    {"q": 1},
    [1],
    0,
)
FINISHES = (
    None,
    "",
    "stop",
    "stop",
    "tool_calls",
    "length",
    "content_filter",
    "error",
    "EOS",
    "content_filter: SAFETY",
    7,
)
STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "error",
    "\ud800",
    [],
    {},
    [None],
    [{}],
    {"a": []},
    [[1]],
    "[DONE]",
)
ERRORS: tuple[Any, ...] = (
    "boom",
    {"message": "boom"},
    {"code": 429, "message": "slow"},
    {"type": "insufficient_quota"},
    {"message": "maximum context length"},
    [{"error": {"status": "INTERNAL"}}],
    {"code": {}, "message": []},
    True,
    1.5,
)
CULPRITS = (
    b"{",
    b"[",
    b"}",
    b'"',
    b"\r",
    b"\n",
    b"\n\n",
    b"\r\n\r\n",
    b":",
    b": ping\n\n",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"\\ud83d",
    b"\\",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x00",
    b"data: ",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b"error: ",
    b"[" * 70,
)


# ---- Chat Completions ------------------------------------------------------------------------------------


def chat(chance: Random) -> Events:
    """A reply of Chat Completions in chunks, with most of what providers vary."""
    events = [_chunk({"role": "assistant", "content": chance.choice((None, ""))})] if chance.random() < 0.7 else []
    parts = (chance.choice((_text, _reasoning, _call_part, _call_part)) for _ in range(chance.randint(0, 6)))
    events += [_chunk(part(chance)) for part in parts]
    events.append(_chunk({}, chance.choice(FINISHES)))
    if chance.random() < 0.5:
        events.append(Event({"object": "chat.completion.chunk", "choices": [], "usage": _usage(chance)}))
    if chance.random() < 0.8:
        events.append(Event(b"[DONE]"))
    return events


def chat_whole(chance: Random) -> bytes:
    """The same kind of reply as one JSON body, broken in its values."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for _ in range(chance.randint(0, 3)):
        part = chance.choice((_text, _reasoning, _call_part))(chance)
        message["tool_calls"] = message.get("tool_calls", []) + part.pop("tool_calls", [])
        message |= part
    choice = {"index": 0, "message": message, "finish_reason": chance.choice(FINISHES)}
    events = [Event({"object": "chat.completion", "model": "m", "choices": [choice], "usage": _usage(chance)})]
    for _ in range(chance.randint(0, 2)):
        confuse(events, chance)
    ends = (b"", b"", b"\n", b"data: [DONE]\n\n", b"0\r\n\r\n", b"{}")
    return chance.choice((b"", b"", b"\n", b"\xef\xbb\xbf")) + _json(events[0].value) + chance.choice(ends)


def _chunk(delta: dict[str, Any], finish: Any = None) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def _text(chance: Random) -> dict[str, Any]:
    field = chance.choice(("content", "content", "content", "refusal"))
    return {field: chance.choice(TEXTS)}


def _reasoning(chance: Random) -> dict[str, Any]:
    return {chance.choice(("reasoning_content", "reasoning", "signature")): chance.choice(TEXTS)}


def _call_part(chance: Random) -> dict[str, Any]:
    function = {"name": chance.choice(NAMES), "arguments": chance.choice(ARGUMENTS)}
    part = {"index": chance.choice(INDICES), "id": chance.choice(IDS), "type": "function", "function": function}
    return {"tool_calls": [{key: value for key, value in part.items() if chance.random() < 0.9}]}


def _usage(chance: Random) -> Any:
    counts = {"prompt_tokens": chance.choice((0, 7, 7, *STRANGE)), "completion_tokens": chance.choice((0, 3, 3))}
    return chance.choice((None, {}, counts, counts))


# ---- what breaks events ----------------------------------------------------------------------------------


def drop(events: Events, chance: Random) -> None:
    del events[_place(events, chance)]


def double(events: Events, chance: Random) -> None:
    place = _place(events, chance)
    events.insert(place, events[place])


def swap(events: Events, chance: Random) -> None:
    one, other = _place(events, chance), _place(events, chance)
    events[one], events[other] = events[other], events[one]


def move(events: Events, chance: Random) -> None:
    events.insert(_place(events, chance), events.pop(_place(events, chance)))


def confuse(events: Events, chance: Random) -> None:
    """One value somewhere within becomes something else, or goes."""
    place = _place(events, chance)
    value = events[place].value
    if not isinstance(value, dict):
        return
    value = json.loads(json.dumps(value))
    at: Any = value
    while at:
        key = chance.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list) or not at[key] or chance.random() < 0.2:
            at[key] = chance.choice(STRANGE)
            break
        at = at[key]
    events[place] = events[place]._replace(value=value)


def fail(events: Events, chance: Random) -> None:
    """An error inside the reply, marked in one of the ways there are."""
    error = chance.choice(ERRORS)
    said = chance.choice(({"error": error}, {"object": "error", "message": error}, {"type": "error", "error": error}))
    events.insert(_place(events, chance), Event(said, chance.choice((None, "error", "ping"))))


def intrude(events: Events, chance: Random) -> None:
    """Something that is no event of this dialect."""
    said = chance.choice((*STRANGE, b"", b"{", b'{"choices":[{"del', b"[DONE]", b"upstream died", b"[" * 300))
    events.insert(_place(events, chance), Event(said))


ORDERLY: tuple[Break, ...] = (drop, double, swap, move)
"""Break the order of events, and bring in nothing new."""

BREAKS: tuple[Break, ...] = (*ORDERLY, confuse, confuse, confuse, fail, intrude)


def _place(events: Events, chance: Random) -> int:
    if not events:
        events.append(Event({}))
    return chance.randrange(len(events))


def broken(events: Events, chance: Random, breaks: Sequence[Break] = BREAKS) -> Events:
    """The events, broken up to four times."""
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        chance.choice(breaks)(events, chance)
    return events


# ---- bytes -----------------------------------------------------------------------------------------------


def written(events: Events, chance: Random) -> bytes:
    """The events as bytes, in one of the ways that the standard allows, sometimes cut short."""
    data = b"".join(_framed(event, chance) for event in events)
    if chance.random() < 0.2:
        data = data.replace(b"\n", chance.choice((b"\r\n", b"\r")))
    if chance.random() < 0.2:
        data = chance.choice((b"\xef\xbb\xbf", b"\n", b": hello\n\n", b"retry: 10\n\n")) + data
    if chance.random() < 0.2:
        data = data[: chance.randint(0, len(data))]
    return data


def damaged(data: bytes, chance: Random) -> bytes:
    """The bytes with some dropped, doubled, changed or brought in."""
    out = bytearray(data)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 8))):
        at = chance.randint(0, len(out))
        match chance.randint(0, 3):
            case 0:
                del out[at : at + chance.randint(1, 30)]
            case 1:
                out[at:at] = out[at : at + chance.randint(1, 200)]
            case 2:
                out[at : at + 1] = bytes([chance.randint(0, 255)])
            case _:
                out[at:at] = chance.choice(CULPRITS)
    return bytes(out)


def parts_of(data: bytes, chance: Random) -> list[bytes]:
    """The bytes, cut in one way out of many; empty parts are allowed."""
    size = chance.choice((1, 7, 64, 0))
    if size:
        return [data[start : start + size] for start in range(0, len(data), size)]
    edges = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 12)))
    return [data[start:end] for start, end in zip([0, *edges], [*edges, len(data)], strict=True)]


def _framed(event: Event, chance: Random) -> bytes:
    data = event.value if isinstance(event.value, bytes) else _json(event.value)
    name = b"" if event.name is None else b"event: " + event.name.encode() + b"\n"
    way = chance.random()
    if way < 0.85:
        return name + b"data: " + data + b"\n\n"
    if way < 0.9:
        return name + b"data:" + data + b"\n: ping\n\n"
    if way < 0.95:
        at = chance.randint(0, len(data))
        return name + b"data: " + data[:at] + b"\ndata: " + data[at:] + b"\n\n"
    return name + b"data: " + data + b"\n"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()

"""Answers from a file that `record.py` has written, in place of the provider.

A request is known by its address' path and its decoded body, whatever comes first: calls that run at once need not
come in the order in which they were recorded. What was asked several times in the same words is answered in that
order, each exchange once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import msgspec

from agentrt.errors import SettingInvalid
from agentrt.local.chat import error_body
from agentrt.local.handler import Cut, Request, Response, whole
from agentrt.testing.record import Exchange, Recording, decoded
from agentrt.testing.transport import InMemoryTransport

_SHOWN = 40
"""Characters that are shown of a value in which two requests differ."""
_BEFORE = 10
"""As many of them stand before the difference."""
_MOST = 2
"""Differences that are told: an error quotes no more than 300 characters of an answer."""
_ABSENT = msgspec.UNSET


def recorded(
    path: str | Path,
    around: httpx2.AsyncBaseTransport | None = None,
    *,
    times: bool = False,
    compare: Callable[[Any], Any] | None = None,
) -> httpx2.AsyncBaseTransport:
    """A transport that answers from the file, or, while there is none, asks the provider and writes it.

    ::

        key = os.environ.get("OPENAI_API_KEY", "none")     # needed once
        provider = Provider(name="openai", api_key=key, transport=recorded("clerk.jsonl"))

    Args:
        around: What carries the requests while recording; by default the network.
        times: See `Replay`.
        compare: See `Replay`.

    Raises:
        SettingInvalid: the file is no recording.
    """
    if not Path(path).exists():
        return Recording(path, around)
    return InMemoryTransport(Replay(path, times=times, compare=compare))


class Replay:
    """A handler that answers from a recording: `InMemoryTransport(Replay(path))`, or `Faults(Replay(path))` first.

    A request that is not in the recording is refused with status 400 and a text that says what differs.

    Args:
        path: The file.
        times: Let each piece come at its recorded time, on the loop's clock; otherwise all come at once.
        compare: What of a decoded body counts, where a part of it changes from run to run: a function that returns
            the body without that part. The whole body, by default.

    Attributes:
        left: The exchanges that nobody has asked for yet.
        unknown: What was said of requests that are not in the recording.

    Raises:
        SettingInvalid: the file is no recording.
    """

    def __init__(self, path: str | Path, *, times: bool = False, compare: Callable[[Any], Any] | None = None) -> None:
        self.left = list(_read(Path(path)))
        self.unknown: list[str] = []
        self._name = Path(path).name
        self._all = tuple(self.left)
        self._times = times
        self._compare: Callable[[Any], Any] = compare or _body

    async def __call__(self, request: Request) -> Response:
        began = asyncio.get_running_loop().time()
        body = self._compare(decoded(request.body))
        found = next((one for one in self.left if self._fits(one, request.path, body)), None)
        if found is None:
            self.unknown.append(self._differs(request.path, body))
            return whole(400, error_body(self.unknown[-1], "invalid_request_error"), "application/json")
        self.left.remove(found)
        await self._until(began + (found.at if found.status else found.end))
        if not found.status:
            raise Cut(found.broke)
        return Response(found.status, found.headers, self._said(found, began))

    async def _said(self, exchange: Exchange, began: float) -> AsyncIterator[bytes]:
        for piece in exchange.body:
            await self._until(began + piece.at)
            yield piece.content
        await self._until(began + exchange.end)
        if exchange.broke:
            raise Cut(f"so it was recorded: {exchange.broke}")

    async def _until(self, moment: float) -> None:
        """A step of the loop in any case, as every piece takes."""
        await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()) if self._times else 0)

    def _fits(self, one: Exchange, path: str, body: Any) -> bool:
        return _path(one) == path and bool(self._compare(one.request) == body)

    def _differs(self, path: str, body: Any) -> str:
        """What to say of a request that nothing recorded fits: where it leaves the one most like it."""
        again = f"Delete {self._name} to record anew"
        if any(self._fits(one, path, body) for one in self._all):
            return f"this request comes more often than it was recorded. {again}"
        if not self.left:
            return f"all {len(self._all)} recorded exchanges have been asked for. {again}"
        others = (
            [*_differences("path", _path(one), path), *_differences("", self._compare(one.request), body)]
            for one in self.left
        )
        found = min(others, key=len)
        more = f"; and at {len(found) - _MOST} more" if len(found) > _MOST else ""
        return f"this request is not in the recording; the nearest differs at {'; '.join(found[:_MOST])}{more}. {again}"


def _read(path: Path) -> list[Exchange]:
    found: list[Exchange] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Exchange))
        except msgspec.DecodeError as error:
            raise SettingInvalid(f"{path}, line {number}: expected a recorded exchange; {error}") from error
    return found


def _path(one: Exchange) -> str:
    return urlsplit(one.url).path


def _body(body: Any) -> Any:
    return body


def _differences(place: str, was: Any, now: Any) -> list[str]:
    """Where two JSON values differ, each place in a few words."""
    if was == now:
        return []
    parts, others = _parts(was), _parts(now)
    if type(was) is not type(now) or not parts or not others:
        return [f"{place.lstrip('.') or 'the body'}: recorded {_short(was, now)}, asked {_short(now, was)}"]
    both = {**parts, **others}
    return [
        found
        for name in both
        for found in _differences(place + name, parts.get(name, _ABSENT), others.get(name, _ABSENT))
    ]


def _parts(value: Any) -> dict[str, Any]:
    """What an object or an array is made of, by the way to it."""
    if isinstance(value, dict):
        return {f".{name}": part for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return {f"[{n}]": part for n, part in enumerate(cast("Sequence[Any]", value))}
    return {}


def _short(value: Any, other: Any) -> str:
    """A value in a few characters; of a long one, those from just before where it leaves the other."""
    if value is _ABSENT:
        return "nothing"
    text, against = (msgspec.json.encode(one).decode() if one is not _ABSENT else "" for one in (value, other))
    if len(text) <= _SHOWN:
        return text
    start = max(0, min(len(commonprefix((text, against))) - _BEFORE, len(text) - _SHOWN))  # noqa: RUF071 - of texts
    return f"{'…' if start else ''}{text[start : start + _SHOWN]}{'…' if start + _SHOWN < len(text) else ''}"

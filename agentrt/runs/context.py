"""What of a conversation a request shows, so that the model can read it at once.

Theory: the facts hold everything; only the view is trimmed. What a view shows is decided by going through the
conversation as it grew. Wherever the model was asked and the view was longer than the room, it was trimmed in one go
to half of the room, and stayed so. Hence nothing has to be remembered: whoever goes through the same conversation
comes to the same view, in this process or another. And from one trimming to the next views begin alike, so that a
provider finds what it has in its cache.

The trimming shortens tool results, the oldest first; those that the model has not read yet come last. Where that
does not bring the view to half of the room, the plan proposes up to where a summary should stand for the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage
from agentrt.runs.state import Summary
from agentrt.toolbox.results import READ_RESULT
from agentrt.windows import ContextWindow

Count = Callable[[Message], int]
"""Tokens of one message, its frame included."""

SUM_UP = "Our conversation is too long to go on with as a whole. Sum up what came first; it is left out from here on."
"""What the user seems to have said before a summary: the model's own words stand in its own role."""

_NOTE = 200
"""Characters that a result must be longer than its excerpt: less is not worth it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A view, and what there is to say of it. All sizes are in tokens.

    `trimmed` says that it was shortened further than the request before. `fits` is false where even the shortest view
    is longer than the room; `longest` is then the message that takes most of it. `covers` is how many messages of the
    conversation a summary should stand for, None where none is needed or would help.
    """

    view: tuple[Message, ...]
    tokens: int
    whole: int
    shortened: int = 0
    trimmed: bool = False
    fits: bool = True
    covers: int | None = None
    longest: Message | None = None


def plan(
    messages: Sequence[Message],
    count: Count,
    room: int | None,
    window: ContextWindow,
    *,
    summary: Summary | None = None,
    fetch: bool = False,
) -> Plan:
    """The view of a conversation for a request that is about to be made.

    Args:
        messages: All of it, without the instructions; each call has its result.
        room: Tokens that the view may take; None for any number.
        summary: Stands for the first messages, unless all fit: it may be of a model with a smaller window.
        fetch: Whether the model can read what was left out of a result, by `read_result`.
    """
    whole = sum(map(count, messages))
    if summary is None if room is None else whole <= room:
        return Plan(view=tuple(messages), tokens=whole, whole=whole)
    start = covered(messages, summary)
    lead = _lead(messages, start, summary)
    walk = _Walk(room, window, fetch, count, sum(map(count, lead)))
    for message in messages[start:]:
        if isinstance(message, AssistantMessage):
            walk.fit()  # to bring it forth, the model was asked
        walk.add(message)
    over, before = walk.over, walk.size
    walk.shorten_read(window.keep_results)
    covers = None
    if over and room is not None and room > 0 and window.summarise and walk.size > room // 2:
        covers = _worth_covering(messages, start, walk, room)
    walk.fit()
    shown = (*lead, *walk.shown)
    return Plan(
        view=shown,
        tokens=walk.size,
        whole=whole,
        shortened=len(walk.shortened),
        trimmed=walk.size < before,
        fits=not walk.over,
        covers=covers,
        longest=max(shown, key=count, default=None) if walk.over else None,
    )


def view(messages: Sequence[Message], summary: Summary | None) -> tuple[Message, ...]:
    """The messages, with nothing shortened, where `summary` stands for the first of them."""
    start = covered(messages, summary)
    return (*_lead(messages, start, summary), *messages[start:])


def covered(messages: Sequence[Message], summary: Summary | None) -> int:
    """How many of the messages `summary` stands for; none if it is not of these."""
    if summary is None or summary.covers >= len(messages) or isinstance(messages[summary.covers], ToolMessage):
        return 0
    return summary.covers


def summary_size(room: int) -> int:
    """Tokens that a summary may take."""
    return max(64, min(2_000, room // 8))


def boundaries(messages: Sequence[Message], start: int) -> list[int]:
    """Where a summary of what comes before may end, above `start`: first between exchanges, then between the steps of
    the last one. What the model has not read yet, and the reply that asked for it, stay behind the last of them.
    """
    begins = [n for n in range(len(messages)) if _begins(messages, n)]
    last = begins[-1] if begins else 0
    steps = [n for n in range(last, len(messages)) if isinstance(messages[n], AssistantMessage)]
    return [n for n in (*begins, *steps[1:]) if n > start]


class _Walk:
    """A view as it grows with its conversation."""

    def __init__(self, room: int | None, window: ContextWindow, fetch: bool, count: Count, size: int) -> None:
        self.shown: list[Message] = []
        self.sizes: list[int] = []
        self.size = size
        self.shortened: set[int] = set()
        self._room = room
        self._window = window
        self._fetch = fetch
        self.count = count
        self._results: list[tuple[int, ToolMessage]] = []
        self._unread = 0
        self._next = 0

    @property
    def over(self) -> bool:
        """Whether the view is longer than the room."""
        return self._room is not None and self.size > self._room

    def add(self, message: Message) -> None:
        if isinstance(message, ToolMessage):
            self._results.append((len(self.shown), message))
            self._unread += 1
        elif isinstance(message, AssistantMessage):
            self._unread = 0
        self.shown.append(message)
        self.sizes.append(self.count(message))
        self.size += self.sizes[-1]

    def fit(self) -> None:
        """Make it fit by shortening alone, as far as that goes."""
        self.shorten_read(self._window.keep_results)
        if self.over:
            self.shorten_read(0)
        if self.over:
            self._shorten_unread()

    def shorten_read(self, keep: int) -> None:
        """If it is too long, shorten what the model has read, the oldest first, but for the newest `keep`, down to half
        of the room."""
        if self._room is None or not self.over:
            return
        end = len(self._results) - max(keep, self._unread)
        while self._next < end and self.size > self._room // 2:
            at, result = self._results[self._next]
            self._show(at, result, self._window.excerpt)
            self._next += 1

    def _shorten_unread(self) -> None:
        """All alike and as little as needed: the model has to work with them."""
        unread = self._results[len(self._results) - self._unread :]
        size = max((len(result.content) for _, result in unread), default=0)
        while self.over and size > self._window.excerpt:
            size = max(size // 2, self._window.excerpt)
            for at, result in unread:
                self._show(at, result, size)

    def _show(self, at: int, result: ToolMessage, size: int) -> None:
        if len(result.content) <= size + _NOTE:
            return
        short = shortened(result, size, fetch=self._fetch)
        tokens = self.count(short)
        if tokens < self.sizes[at]:
            self.size += tokens - self.sizes[at]
            self.shown[at], self.sizes[at] = short, tokens
            self.shortened.add(at)


def shortened(result: ToolMessage, size: int, *, fetch: bool) -> ToolMessage:
    """The beginning and the end of a result, `size` characters together, and between them how to get the rest."""
    text = result.content
    head, left = text[: size * 3 // 4], len(text) - size
    where = f"call_id={msgspec.json.encode(result.call_id).decode()}, offset={len(head.encode())}"
    how = f"; {READ_RESULT.name}({where}) has them" if fetch else ""
    note = f"[{left} of {len(text)} characters were left out here to save room{how}]"
    return msgspec.structs.replace(result, content=f"{head}\n{note}\n{text[len(head) + left :]}")


def _lead(messages: Sequence[Message], start: int, summary: Summary | None) -> tuple[Message, ...]:
    """What stands for the first `start` messages: the operator's among them, the summary, and, where it ends within an
    exchange, what the user asked in it."""
    if not start or summary is None:
        return ()
    operator = (message for message in messages[:start] if isinstance(message, SystemMessage))
    return (*operator, UserMessage(SUM_UP), AssistantMessage(summary.text), *_asked(messages, start))


def _asked(messages: Sequence[Message], start: int) -> list[Message]:
    """What the user said in the exchange that goes on at `start`; nothing if one begins there."""
    if _begins(messages, start):
        return []
    begin = next((n for n in range(start - 1, -1, -1) if _begins(messages, n)), 0)
    return [message for message in messages[begin:start] if isinstance(message, UserMessage)]


def _begins(messages: Sequence[Message], n: int) -> bool:
    """Whether an exchange begins at `n`: with what the user said after an answer, or first of all."""
    before = messages[n - 1] if n else None
    return isinstance(messages[n], UserMessage) and not isinstance(before, UserMessage | ToolMessage)


def _worth_covering(messages: Sequence[Message], start: int, walk: _Walk, room: int) -> int | None:
    """Up to where a summary brings the view to half of the room, or as near as can be; None if it gains too little."""
    reserve, left = summary_size(room), walk.size
    operator = [*accumulate((walk.count(m) * isinstance(m, SystemMessage) for m in messages), initial=0)]
    behind = [*accumulate(reversed(walk.sizes), initial=0)]
    end = start
    for end in boundaries(messages, start):
        asked = sum(map(walk.count, _asked(messages, end)))
        left = operator[end] + reserve + asked + behind[len(messages) - end]
        if left <= room // 2:
            return end
    return end if left + reserve < walk.size else None

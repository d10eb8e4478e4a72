"""Results of tools that only read, kept for a while: bounded in number and bytes, the oldest out first."""

from __future__ import annotations

from math import inf

from agentrt.toolbox.identical import Question


class Cache:
    """Texts by the question that they answer. Time is told: `now` in seconds of one clock.

    What has run out is let go when the cache is next asked, with all that its question holds.

    Args:
        entries: How many texts are kept at most.
        size: Bytes of arguments and texts together that are kept at most. A text that would take more than a quarter
            of it is not kept.
    """

    def __init__(self, entries: int = 1024, size: int = 16_000_000) -> None:
        self._entries = entries
        self._size = size
        self._kept: dict[Question, tuple[str, float, int]] = {}  # text, end, bytes, in the order in which they came
        self._soonest = inf
        self.used = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: Question, now: float) -> str | None:
        """The text, if it is kept and has not run out."""
        self._drop_what_ran_out(now)
        kept = self._kept.get(question)
        return None if kept is None else kept[0]

    def put(self, question: Question, text: str, now: float, seconds: float) -> None:
        """Keep the text for so many seconds."""
        self._drop_what_ran_out(now)
        self._drop(question)
        size = _bytes(question.arguments) + _bytes(text)
        if size * 4 > self._size:
            return
        while len(self._kept) >= self._entries or self.used + size > self._size:
            self._drop(next(iter(self._kept)))
        self._kept[question] = text, now + seconds, size
        self._soonest = min(self._soonest, now + seconds)
        self.used += size

    def _drop(self, question: Question) -> None:
        _, _, size = self._kept.pop(question, ("", 0.0, 0))
        self.used -= size

    def _drop_what_ran_out(self, now: float) -> None:
        if now < self._soonest:
            return
        for question in [question for question, (_, end, _) in self._kept.items() if end <= now]:
            self._drop(question)
        self._soonest = min((end for _, end, _ in self._kept.values()), default=inf)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

"""What a Runtime knows of windows, and how long messages are."""

from __future__ import annotations

from functools import partial
from math import ceil

from msgspec.structs import replace

from agentrt.messages import Message, ToolSpec
from agentrt.model.model import ModelRequest
from agentrt.model.tokens import count_request
from agentrt.runs.context import Count
from agentrt.windows import Windows

_REMEMBERED = 50_000
"""Counts kept, some 150 bytes each."""

_TELLING = 1_000
"""Tokens of a request below which its count says too little: of short ones the frames are most."""

_FRAMES = 500
"""Frames kept."""

_EMPTY = count_request(ModelRequest(model="", messages=())).tokens
"""Tokens of a request without messages."""


class Gauge:
    """Each message is counted once, however often it is sent, and the same in every run that has it in its thread.

    A count is found again by the hash of what was counted, so nothing of a conversation is kept.
    """

    def __init__(self) -> None:
        self.windows = Windows()
        self._counts: dict[tuple[str, int], int] = {}
        self._frames: dict[tuple[object, ...], tuple[int, tuple[ToolSpec, ...]]] = {}
        self._ratios: dict[str, float] = {}

    def ratio(self, name: str) -> float:
        """How many tokens the provider of "provider:model" counts for one of ours, at most."""
        return self._ratios.get(name, 1.0)

    def told(self, name: str, ours: int, theirs: int) -> None:
        """Learn from what a provider counted: most encodings are not loaded, and estimates are a third too high.

        The ratio is rounded up and only grows: with each change views are decided anew.
        """
        if ours >= _TELLING and 0.4 <= theirs / ours <= 2.0:
            ratio = ceil(theirs / ours * 20 + 0.5) / 20
            self._ratios[name] = max(ratio, self._ratios.get(name, 0.0))

    def counter(self, model: str) -> Count:
        """Counts messages as `model`, without its provider, does."""
        return partial(self._count, model)

    def frame(self, request: ModelRequest, lead: tuple[Message, ...] = ()) -> int:
        """Tokens of a request beside its conversation: of its tools, and of the messages that lead it."""
        key = (request.model, *map(id, request.tools), lead)
        known = self._frames.get(key)
        if known is None:
            if len(self._frames) >= _FRAMES:
                del self._frames[next(iter(self._frames))]
            # The tools are kept, so that no id is another's.
            known = self._frames[key] = (count_request(replace(request, messages=lead)).tokens, request.tools)
        return known[0]

    def _count(self, model: str, message: Message) -> int:
        key = (model, hash(message))
        tokens = self._counts.get(key)
        if tokens is None:
            if len(self._counts) >= _REMEMBERED:
                del self._counts[next(iter(self._counts))]
            tokens = count_request(ModelRequest(model=model, messages=(message,))).tokens - _EMPTY
            self._counts[key] = tokens
        return tokens

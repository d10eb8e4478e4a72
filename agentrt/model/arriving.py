"""The bytes of one answer in, the JSON texts in it out: the events of a stream, or a body that came whole.

The state: the first byte that is neither white space nor a byte order mark decides which of the two it is (`whole`;
until it came, `_held` is what there is of it); the start is kept, to say what came instead of an answer.
"""

from __future__ import annotations

from agentrt.errors import ReplyIncomplete
from agentrt.model.failures import EXCERPT, excerpt
from agentrt.model.sse import EventSplitter

LARGEST_REPLY = 64_000_000
"""Bytes of one reply that are read at most."""

_BOM = b"\xef\xbb\xbf"


class Arriving:
    """One answer: `feed` bytes until there are no more, then `close`.

    Args:
        errors: See `EventSplitter`.

    Attributes:
        whole: It is one body, None as long as that is open; it comes out of `close`.
        size: Bytes so far.
    """

    def __init__(self, *, errors: bool = False) -> None:
        self.whole: bool | None = None
        self.size = 0
        self._held = b""
        self._events = EventSplitter(errors=errors)
        self._body: list[bytes] = []
        self._start = b""

    @property
    def alive(self) -> bool:
        """Whether what came last was part of an answer whose next text is not whole yet."""
        return bool(self._body) or self._events.amid_data

    def feed(self, data: bytes) -> list[bytes]:
        """The texts that these bytes complete.

        Raises:
            ReplyIncomplete: it is larger than is read.
        """
        self.size += len(data)
        if self.size > LARGEST_REPLY:
            raise ReplyIncomplete(f"the reply is too large: at most {LARGEST_REPLY:,} bytes are read")
        if len(self._start) < EXCERPT:
            self._start = (self._start + data)[:EXCERPT]
        if self.whole is None:
            data = self._begun(data)
        if self.whole:
            self._body.append(data)
            return []
        return self._events.feed(data)

    def _begun(self, data: bytes) -> bytes:
        data = (self._held + data).lstrip()
        rest = data.removeprefix(_BOM).lstrip()
        if not rest or _BOM.startswith(data):
            self._held = data
            return b""
        self.whole = rest[:1] in (b"{", b"[")
        return rest

    def close(self) -> list[bytes]:
        """No more bytes will come: the texts that are left."""
        return [b"".join(self._body)] if self.whole else self._events.close()

    def instead(self, expected: str) -> ReplyIncomplete:
        """The error for an answer in which there was nothing of what was expected."""
        if not self.size:
            return ReplyIncomplete("the reply is empty")
        came = excerpt(self._start.decode("utf-8", "replace"))
        return ReplyIncomplete(f"expected {expected}, came {came!r}")

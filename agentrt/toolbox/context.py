"""What a tool may know of its call, and how it speaks while it works."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Generic

from typing_extensions import TypeVar

from agentrt.toolbox.lower import to_builtins

D_co = TypeVar("D_co", covariant=True, default=object)

Tell = Callable[[Any], None]
"""Takes one piece of progress, made of JSON types. Called in the loop's thread; does not wait."""


def _nobody(*_: Any) -> None:
    """Listens to a context that was made by hand."""


@dataclass(frozen=True)
class Context(Generic[D_co]):
    """The first argument of a tool that asks for it, by annotating it `Context` or `Context[Deps]`.

    To test a tool, call it with one made by hand: `await stock(Context(deps), "A-1207")`.

    Attributes:
        deps: What the caller of `run` gave as `deps=`.
        run_id: The run this call belongs to.
        call_id: This call, unique in its conversation.
        deadline: When the call must be over, on the loop's clock, as `asyncio.timeout_at` wants it.
        metadata: What the caller of `run` gave as `metadata=`.
        principal: In whose name the run was asked for, as the server knows them; None where nobody was named.
        idempotency_key: The same whenever this call is run again, after a retry or a crash: hand it
            to services that refuse to do a thing twice.
        tell: Where progress goes; tools use `emit` or `emit_soon`.
        beat: Where signs of life go; tools use `heartbeat`.
        clock: The clock of `deadline`.
    """

    deps: D_co = field(repr=False)  # it may hold secrets
    _: KW_ONLY
    run_id: str = ""
    call_id: str = ""
    deadline: float = math.inf
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    principal: str | None = None
    idempotency_key: str = ""
    tell: Tell = field(default=_nobody, repr=False)
    beat: Callable[[], None] = field(default=_nobody, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def remaining(self) -> float:
        """Seconds until the deadline, 0 once it has passed: the `timeout=` of whatever the tool calls."""
        return max(0.0, self.deadline - self.clock())

    async def emit(self, value: Any) -> None:
        """Show progress to whoever watches the run. The model does not see it.

        Raises:
            TypeError: the value has no JSON form.
        """
        self.emit_soon(value)
        await asyncio.sleep(0)  # a tool that only emits must not hold the loop, and can be cancelled here

    def emit_soon(self, value: Any) -> None:
        """`emit` for plain functions, from any thread: it does not wait.

        Raises:
            TypeError: the value has no JSON form.
        """
        self.tell(to_builtins(value))

    def heartbeat(self) -> None:
        """Say that the call is alive: its `idle_timeout` begins anew. From any thread; whoever emits has said so."""
        self.beat()


class Line:
    """A call's way back to its run: open to every thread, cut when the call is over.

    A tool that would not stop keeps its context and may go on speaking, but its run has moved on and
    may have ended: nobody must hear it.

    Attributes:
        heard: When the call last gave a sign of life, on the loop's clock; None while it waits for a thread.
    """

    def __init__(self, tell: Tell, loop: asyncio.AbstractEventLoop) -> None:
        self.heard: float | None = None
        self._tell = tell
        self._loop = loop
        self._thread = threading.get_ident()
        self._open = True

    def beat(self) -> None:
        """Note a sign of life. No thread has to wake the loop for it: who waits for silence looks here."""
        if self._open:
            self.heard = self._loop.time()

    def silent_until(self, idle: float | None) -> float:
        """When the call will have been silent for `idle` seconds, unless it is heard before; None is for ever."""
        if idle is None:
            return math.inf
        return idle + (self._loop.time() if self.heard is None else self.heard)

    def say(self, data: Any) -> None:
        """Pass the data on, in the loop's thread and in the order in which it came."""
        self.beat()
        if threading.get_ident() == self._thread:
            self._pass_on(data)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._pass_on, data)

    def cut(self) -> None:
        self._open = False

    def _pass_on(self, data: Any) -> None:
        if self._open:
            self._tell(data)

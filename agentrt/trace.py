"""In whose name something happens: one context that goes along, through tasks, threads and runs inside of runs.

It is a context variable, so a log filter, an HTTP client's hook or a tool reads it wherever it is called from. The
trace is the W3C's (`traceparent`, w3.org/TR/trace-context): what a service is told by it belongs to this run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from random import Random

import msgspec

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Correlation(msgspec.Struct, frozen=True, kw_only=True):
    """The run that something belongs to, and the call in it. `traceparent` is the run's own; see `child`."""

    run_id: str
    traceparent: str
    call_id: str | None = None
    thread: str | None = None
    principal: str | None = None
    parent: str | None = None
    metadata: Mapping[str, str] = {}


CORRELATION: ContextVar[Correlation | None] = ContextVar("agentrt_correlation", default=None)


def correlation() -> Correlation | None:
    """The run and the call in which the caller is; None outside of any."""
    return CORRELATION.get()


def is_traceparent(text: str) -> bool:
    """Whether it is a W3C `traceparent`."""
    return _TRACEPARENT.fullmatch(text) is not None


def child(parent: str | None, random: Random) -> str:
    """A `traceparent` of the same trace with a span of its own; without a parent, of a new trace that is recorded."""
    version, trace, _, flags = (parent or f"00-{random.getrandbits(128) | 1:032x}--01").split("-")[:4]
    return f"{version}-{trace}-{random.getrandbits(64) | 1:016x}-{flags}"

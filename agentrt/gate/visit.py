"""One call at a gate: what is remembered of it over its attempts, how it waits, and how it is refused."""

from __future__ import annotations

import asyncio
from math import inf

from agentrt.errors import AgentrtError, GateTimeout, ProviderExhausted
from agentrt.gate.backoff import Decision
from agentrt.gate.fair import Path
from agentrt.gate.grant import Knock
from agentrt.gate.turnstile import Room

_NONE_YET = Decision(again=False)


class Visit:
    """One call, from its coming to its end.

    Attributes:
        tokens: What its present attempt reserves.
        returned: It was let through before, so it stands before those who were not.
        resting: It will make another attempt, and has not been let through yet.
        retrying: Its present attempt, or the one it rests for, counts as a retry in the budget's share.
        decision: What followed from its last failure.
    """

    __slots__ = ("attempts", "decision", "knock", "resting", "retries", "retrying", "returned", "room", "tokens")

    def __init__(self, knock: Knock, room: Room[Waiter]) -> None:
        self.knock = knock
        self.room = room
        self.tokens = 0
        self.attempts = 0
        self.retries = 0
        self.resting = False
        self.retrying = False
        self.returned = False
        self.decision = _NONE_YET


class Waiter:
    """A visit in line. The future says None for a grant, or why there will be none."""

    __slots__ = ("cost", "future", "path", "probe", "returned", "since", "tokens", "visit")

    def __init__(self, visit: Visit, since: float, future: asyncio.Future[AgentrtError | None]) -> None:
        self.visit = visit
        self.since = since
        self.tokens = visit.tokens
        self.cost = visit.room.cost(visit.tokens)
        self.path: Path = (visit.knock.priority, visit.knock.tenant, visit.knock.run)
        self.returned = visit.returned
        self.future = future
        self.probe = False

    def done(self) -> bool:
        """Whether it no longer waits, though it has not left yet."""
        return self.future.done()

    def granted(self) -> bool:
        """Whether it was let through."""
        return self.future.done() and not self.future.cancelled() and self.future.result() is None

    def misses(self, moment: float) -> bool:
        """Whether a grant at that moment comes too late."""
        return self.visit.knock.deadline is not None and moment > self.visit.knock.deadline

    def grant(self, *, probe: bool) -> None:
        """Let it through, as the breaker's probe or not."""
        self.probe = probe
        self.future.set_result(None)

    def refuse(self, why: AgentrtError) -> None:
        """There will be no grant; who is done already stays as it is."""
        if not self.future.done():
            self.future.set_result(why)


def passed(key: str, ago: float) -> GateTimeout:
    """The deadline lies behind."""
    return GateTimeout(
        f"gate {key!r}: expected a deadline ahead; it passed {ago:.3f} s ago", eta=0.0, reason="deadline"
    )


def too_late(key: str, waiter: Waiter, reason: str, eta: float | None, crowd: str) -> GateTimeout:
    """The wait cannot end before the deadline. `crowd` says how many are there."""
    deadline = waiter.visit.knock.deadline
    left = 0.0 if deadline is None else deadline - waiter.since
    end = "has no known end" if eta is None else f"takes {eta:.3f} s or more"
    return GateTimeout(
        f"gate {key!r}: expected a grant within {left:.3f} s, the time to the deadline; the wait for {reason} "
        f"{end} ({crowd})",
        eta=eta or 0.0,
        reason=reason,
    )


def turned_away(key: str, left: float) -> GateTimeout:
    """The breaker is open for so long, infinite where a probe is out, and the call has another to ask."""
    end = f"it is not asked for another {left:.3f} s" if left < inf else "a probe is on its way"
    return GateTimeout(f"gate {key!r}: the provider is ill; {end}", eta=left if left < inf else 0.0, reason="breaker")


def exhausted(key: str, left: float) -> ProviderExhausted:
    """Quota or money was used up a moment ago."""
    return ProviderExhausted(
        f"gate {key!r}: the provider said less than a minute ago that quota or money is used up; it is not asked for "
        f"another {left:.0f} s",
        retry_after=left,
        sent=False,
    )

"""What runs inside of runs spend together.

A run that a tool began is paid for by the run of that tool: its budget bounds them together, while they run and
after. What an inner run has spent stays with the call that began it until that has its result, of which it is a part.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from agentrt.agent import Budget
from agentrt.messages import Usage

CALL: ContextVar[str | None] = ContextVar("agentrt_call", default=None)
"""The id of the call that the caller, a tool, is."""


class Ledger:
    """One for each run. `whole` is that of the run whose tool began it."""

    def __init__(self, whole: Ledger | None = None) -> None:
        self._whole = whole
        self._own: Callable[[], Usage] = Usage
        self._budget: Budget | None = None
        self._living: set[Ledger] = set()
        self._ended: dict[str, Usage] = {}
        self._call = CALL.get()

    def open(self, budget: Budget, own: Callable[[], Usage]) -> None:
        """The run begins to spend; `own` is what its facts say that it has spent."""
        self._budget, self._own = budget, own
        if self._whole is not None:
            self._whole._living.add(self)

    def close(self) -> None:
        """The run is over: what it spent is part of the call that began it."""
        if self._whole is not None:
            self._whole._living.discard(self)
            if self._call is not None:
                self._whole._ended[self._call] = self._whole._ended.get(self._call, Usage()) + self.total()

    def taken(self, call_id: str) -> Usage | None:
        """What the ended runs have spent that this call began, None if there were none. It is in its result now."""
        return self._ended.pop(call_id, None)

    def rest(self) -> Usage:
        """What ended runs have spent whose calls will have no result: they began early, and nobody asked for them."""
        return sum(self._ended.values(), Usage())

    def total(self) -> Usage:
        """What has been spent so far, with the runs inside."""
        return sum((one.total() for one in self._living), sum(self._ended.values(), self._own()))

    def overdrawn(self) -> str | None:
        """What the runs around this one have used up, in words; None if they may still spend."""
        whole = self._whole
        while whole is not None:
            if (budget := whole._budget) is not None:
                spent = whole.total()
                if budget.tokens is not None and spent.total_tokens >= budget.tokens:
                    return f"{spent.total_tokens} of {budget.tokens} tokens of the run around it"
                if budget.usd is not None and spent.usd >= budget.usd:
                    return f"{spent.usd:.4f} of {budget.usd:.4f} US dollars of the run around it"
            whole = whole._whole
        return None

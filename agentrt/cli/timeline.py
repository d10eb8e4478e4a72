"""A run as rows over time: pure, fed with events, told the time. `view.py` draws it."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentrt.events import (
    AnyEvent,
    CallAttempted,
    FellBack,
    GateWaited,
    ModelReplied,
    Retrying,
    RunEnded,
    RunStarted,
    TextDelta,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import Usage


@dataclass
class Row:
    """One bar. Seconds count from the run's start; `ended` is None while it runs."""

    label: str
    detail: str
    started: float
    ended: float | None = None
    state: str = "running"
    note: str = ""


@dataclass
class Timeline:
    """What has happened so far, a row for each turn of the model and each call of a tool."""

    rows: list[Row] = field(default_factory=list["Row"])
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    calls: int = 0
    started_at: float = 0.0
    seconds: float = 0.0
    _by_call: dict[str, Row] = field(default_factory=dict[str, "Row"])
    _model: Row | None = None

    def add(self, event: AnyEvent) -> None:
        """Take one event in."""
        now = event.at - self.started_at
        match event:
            case RunStarted():
                self.started_at = event.at
                self._ask(0.0)
            case TextDelta() if self._model is not None:
                self._model.state, self._model.note = "writing", "to first word"
            case GateWaited() | Retrying() | CallAttempted() | FellBack():
                self._note(event)
            case ModelReplied():
                self._replied(event, now)
            case ToolStarted():
                self.calls += 1
                self._by_call[event.call_id] = row = Row(event.name, event.arguments, now)
                self.rows.append(row)
            case ToolReturned():
                self._returned(event, now)
            case RunEnded():
                self._over(event, now)
            case _:
                pass

    def now(self, at: float) -> float:
        """Seconds since the run's start."""
        return max(0.0, at - self.started_at)

    def _ask(self, now: float) -> None:
        self._model = Row("model", f"turn {self.turns + 1}", now)
        self.rows.append(self._model)

    def _replied(self, event: ModelReplied, now: float) -> None:
        self.turns += 1
        self.usage += event.usage
        if self._model is not None:
            self._model.ended, self._model.state = now, "ok" if event.finish != "cancelled" else "cancelled"
            self._model = None

    def _returned(self, event: ToolReturned, now: float) -> None:
        row = self._by_call.pop(event.call_id, None)
        if row is None:  # A call of a tool that does not exist was never started.
            row = Row(event.name, "", now)
            self.rows.append(row)
        row.ended, row.state = now, event.status
        row.note = "" if event.status == "ok" else event.code or event.status
        if not self._by_call and all(row.ended is not None for row in self.rows):
            self._ask(now)

    def interrupt(self, at: float) -> None:
        """Whoever watched goes away: what still runs is being stopped."""
        self._close(self.now(at), "cancelled")

    def _over(self, event: RunEnded, now: float) -> None:
        self.seconds, self.usage = now, event.usage
        self._close(now, "cancelled" if event.outcome != "success" else "ok")

    def _close(self, now: float, state: str) -> None:
        for row in self.rows:
            if row.ended is None:
                row.ended, row.state = now, state

    def _note(self, event: GateWaited | Retrying | CallAttempted | FellBack) -> None:
        if self._model is None or (not isinstance(event, FellBack) and event.call_id is not None):
            return
        if isinstance(event, GateWaited):
            self._model.note = f"waits for {event.reason}" if not event.waited else ""
        elif isinstance(event, FellBack):
            self._model.note = f"{event.error}, asks {event.model}"
        elif isinstance(event, Retrying):
            self._model.note = f"{event.error}, again in {event.delay:.1f} s"
        elif event.error is None:
            self._model.note = ""

"""The threads that have runs here: who waits for whom, and what was said before.

A thread is a chain of runs, and its history is the fold of the chain. Its runs stand in a row in the order in
which they came; each begins when all in front of it have ended.
"""

from __future__ import annotations

from agentrt.journal.journal import Journal
from agentrt.messages import Message
from agentrt.runs.owner import History, Run
from agentrt.runs.state import RunState, fold


class Conversations:
    """The rows of runs that live, by thread. A run without a thread stands in none."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[str, list[Run]] = {}

    def turn(self, thread: str | None, run_id: str) -> History:
        """What a run has to wait for that joins the thread now, and what it then knows of the thread."""
        before = tuple(self._rows.get(thread, ())) if thread is not None else ()

        async def history() -> tuple[str | None, RunState]:
            for one in before:
                await one.wait()
            return await self._history(thread, run_id)

        return history

    def join(self, thread: str | None, run: Run) -> None:
        """The run stands at the end of the row."""
        if thread is not None:
            self._rows.setdefault(thread, []).append(run)

    def leave(self, thread: str | None, run: Run) -> None:
        """The run is over."""
        if thread is not None:
            self._rows[thread].remove(run)
            if not self._rows[thread]:
                del self._rows[thread]

    async def _history(self, thread: str | None, run_id: str) -> tuple[str | None, RunState]:
        """The runs of the thread in front of this one; all of them if it is new."""
        previous: str | None = None
        messages: list[Message] = []
        for row in await self._journal.runs(thread=thread) if thread is not None else ():
            if row.run_id == run_id:
                break
            previous = row.run_id
            messages += fold(await self._journal.read(row.run_id)).transcript
        return previous, RunState(messages=tuple(messages))

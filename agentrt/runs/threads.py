"""Threads of conversation as their users see them: listed, read, deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentrt.errors import SettingInvalid
from agentrt.journal.journal import ALL, AnyPrincipal, Journal, ThreadRow
from agentrt.messages import Message
from agentrt.runs.conversations import Conversations
from agentrt.runs.owner import Run


class Threads:
    """A Runtime's threads, as `Runtime.threads`.

    To continue one, or to branch off, start a run: see `thread`, `after` and `before` of `Runtime.start`.
    """

    def __init__(self, journal: Journal, conversations: Conversations, find: Callable[[str], Run | None]) -> None:
        self._journal = journal
        self._conversations = conversations
        self._find = find

    async def list(self, *, principal: AnyPrincipal = ALL, limit: int | None = None) -> Sequence[ThreadRow]:
        """Threads, those that were used last first.

        Args:
            principal: Only those that this one began; None: those that were begun in nobody's name.
            limit: At most so many.

        Raises:
            JournalFailed: the journal cannot be read.
        """
        if limit is not None and limit < 0:
            raise SettingInvalid(f"limit={limit}: expected 0 or more threads")
        return await self._journal.threads(principal=principal, limit=limit)

    async def messages(self, thread: str) -> tuple[Message, ...]:
        """The conversation so far, a valid one: every call in it has a result. None for an unknown thread.

        Raises:
            JournalFailed: it cannot be read.
        """
        last = await self._journal.last(thread)
        return () if last is None else (await self._conversations.chain.upto(last)).messages

    async def delete(self, *threads: str, runs: Sequence[str] = ()) -> int:
        """Forget these threads, all or none, with all that was said in them; the number of runs that are gone.

        A run that another process carries fails there. What is written elsewhere, such as logs and copies of the
        journal, stays.

        Args:
            runs: Runs to go with them, by their ids: those that belong to no thread.

        Raises:
            SettingInvalid: a run of them lives here, or another that is to stay goes on from one of them.
            JournalFailed: the journal cannot be written.
        """
        for living in (*map(self._conversations.living, threads), *map(self._find, runs)):
            if living is not None:
                raise SettingInvalid(f'run "{living.run_id}" cannot be deleted: it lives here; cancel it first')
        with self._conversations.held(threads):
            going = list(runs)
            for thread in threads:
                going += [row.run_id for row in await self._journal.runs(thread=thread)]
            await self._journal.delete(going)
            self._conversations.chain.forget(going)
        return len(set(going))

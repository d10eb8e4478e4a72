"""What a chain of runs had come to, whatever of it is known already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentrt.errors import SettingInvalid
from agentrt.events import Fact, ModelReplied, RunEnded, RunStarted, Summarised
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, ImagePart, TextPart, ToolCall, Usage, UserMessage, text_of
from agentrt.runs.chain import Chain, Fork, as_fork
from agentrt.runs.state import Summary

THREADS = st.sampled_from([None, "t1", "t2"])


class Counting(MemoryJournal):
    reads = 0

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        self.reads += 1
        return await super().read(run_id, after)


def facts_of(run_id: str, previous: str | None, thread: str | None, *, ends: bool, text: str = "!") -> list[Fact]:
    asked = (UserMessage(run_id),)
    facts: list[Fact] = [
        RunStarted(
            run_id=run_id, agent="a", model="p:m", messages=asked, ends_at=1, thread=thread, previous=previous, seq=1
        ),
        ModelReplied(
            message_id="m", message=AssistantMessage(run_id + text), finish="stop", usage=Usage(), epoch=1, seq=2
        ),
    ]
    return [*facts, RunEnded(outcome="success", seq=3)] if ends else facts


async def keep(journal: MemoryJournal, run_id: str, facts: Sequence[Fact]) -> None:
    await journal.take(run_id)
    for fact in facts:
        await journal.append(run_id, 1, fact)


async def chained(journal: MemoryJournal, count: int, *, text: str = "!") -> None:
    """r0, r1, ..., each going on from the one before, in thread t1."""
    for number in range(count):
        previous = f"r{number - 1}" if number else None
        await keep(journal, f"r{number}", facts_of(f"r{number}", previous, "t1", ends=True, text=text))


@given(
    st.lists(st.tuples(st.integers(0, 30), THREADS, st.booleans(), st.integers(0, 30)), max_size=25),
    st.sampled_from([0, 900, 5_000, 1 << 20]),
)
def test_a_conversation_is_the_one_before_and_what_its_last_run_adds(
    grown: list[tuple[int, str | None, bool, int]], room: int
) -> None:
    """Runs are added behind any that are there; after each, some conversation is asked for, in any order."""

    async def main() -> None:
        journal = MemoryJournal()
        chain = Chain(journal, room)
        said: dict[str, tuple[list[str], bool]] = {}
        for number, (behind, thread, ends, asked) in enumerate(grown):
            run_id = f"r{number}"
            previous = list(said)[behind % len(said)] if said and behind else None
            await keep(journal, run_id, facts_of(run_id, previous, thread, ends=ends))
            before, settled = said[previous] if previous else ([], True)
            said[run_id] = ([*before, run_id, f"{run_id}!"], settled and ends)
            for one in (run_id, list(said)[asked % len(said)]):
                found = await chain.upto(one)
                assert ([text_of(message) for message in found.messages], found.settled) == said[one]
            assert chain._weight == sum(known.weight for known in chain._known.values()) <= room

    asyncio.run(main())


def test_what_is_known_is_not_read_again() -> None:
    async def main() -> None:
        journal = Counting()
        chain = Chain(journal)
        await chained(journal, 50)
        for expected in (50, 0):
            journal.reads = 0
            assert len((await chain.upto("r49")).messages) == 100
            assert journal.reads == expected
        await keep(journal, "r50", facts_of("r50", "r49", "t1", ends=True))
        journal.reads = 0
        assert len((await chain.upto("r50")).messages) == 102
        assert journal.reads == 1
        assert list(chain._known) == ["r50"]  # in place of r49, for they are of one thread
        await keep(journal, "x", facts_of("x", "r50", "t2", ends=True))
        await chain.upto("x")
        assert list(chain._known) == ["r50", "x"]
        chain.forget(["r50", "nobody"])
        assert list(chain._known) == ["x"]

    asyncio.run(main())


def test_conversations_that_were_not_used_for_long_make_room() -> None:
    async def main() -> None:
        journal = Counting()
        for number in range(10):
            await keep(journal, f"r{number}", facts_of(f"r{number}", None, f"t{number}", ends=True, text="x" * 10_000))
        chain = Chain(journal, room=32_000)
        for run_id in ("r0", "r1", "r2", "r0", "r3"):
            await chain.upto(run_id)
        assert list(chain._known) == ["r2", "r0", "r3"]
        await keep(journal, "big", facts_of("big", None, "t", ends=True, text="x" * 40_000))
        assert len((await chain.upto("big")).messages) == 2
        assert list(chain._known) == []

    asyncio.run(main())


def test_pictures_and_arguments_weigh_too() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        picture = UserMessage((TextPart("?"), ImagePart(data=bytes(50_000), media_type="image/png")))
        calls = AssistantMessage(tool_calls=(ToolCall("c1", "f", "x" * 30_000),), extra="y" * 10_000)
        asked = (picture, calls, UserMessage("?"))
        started = RunStarted(run_id="r", agent="a", model="p:m", messages=asked, ends_at=1, seq=1)
        await keep(journal, "r", [started, RunEnded(outcome="success", seq=2)])
        chain = Chain(journal)
        await chain.upto("r")
        assert 90_000 < chain._weight < 92_000

    asyncio.run(main())


def test_a_run_that_has_not_ended_is_read_each_time() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await chained(journal, 2)
        chain = Chain(journal)
        await keep(journal, "lives", facts_of("lives", "r1", "t1", ends=False))
        assert not (await chain.upto("lives")).settled
        later = ModelReplied(message_id="m", message=AssistantMessage("more"), finish="stop", usage=Usage(), seq=3)
        await journal.append("lives", 1, later)
        assert text_of((await chain.upto("lives")).messages[-1]) == "more"

    asyncio.run(main())


def test_a_summary_goes_on_to_the_runs_behind_and_to_no_other() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await chained(journal, 2)
        started, replied, ended = facts_of("s", "r1", "t1", ends=True)
        summed = Summarised(text="so far", covers=4, seq=2)
        await keep(journal, "s", [started, summed, replace(replied, seq=3), replace(ended, seq=4)])
        await keep(journal, "behind", facts_of("behind", "s", "t1", ends=True))
        await keep(journal, "beside", facts_of("beside", "r1", "t2", ends=True))
        for chain in (Chain(journal), Chain(journal, room=0)):
            for run_id, summary in (("s", Summary("so far", 4)), ("behind", Summary("so far", 4)), ("beside", None)):
                said = await chain.upto(run_id)
                assert (said.summary, said.state.summary) == (summary, summary)

    asyncio.run(main())


def test_a_journal_whose_runs_go_round_in_a_circle_is_read_all_the_same() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await keep(journal, "a", facts_of("a", "b", "t1", ends=True))
        await keep(journal, "b", facts_of("b", "a", "t1", ends=True))
        assert [text_of(message) for message in (await Chain(journal).upto("a")).messages] == ["b", "b!", "a", "a!"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("after", "before", "fork"),
    [(None, None, None), ("r1", None, Fork("r1")), (None, "r1", Fork("r1", before=True))],
)
def test_the_options_name_one_place(after: str | None, before: str | None, fork: Fork | None) -> None:
    assert as_fork(after, before) == fork


@pytest.mark.parametrize(
    ("after", "before", "why"),
    [
        ("r1", "r2", "after= and before= together"),
        ("", None, 'after="": expected the id of a run'),
        (None, "", 'before="": expected the id of a run'),
    ],
)
def test_options_that_name_none_or_two_are_refused(after: str | None, before: str | None, why: str) -> None:
    with pytest.raises(SettingInvalid, match=why):
        as_fork(after, before)

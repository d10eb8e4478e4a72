"""A process may die behind any fact: whoever resumes its run ends it once, validly, and repeats nothing that counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentrt import Agent, Budget, Context, tool
from agentrt.errors import RunFailed
from agentrt.events import (
    CancelAsked,
    Fact,
    ModelReplied,
    Outcome,
    RunEnded,
    RunResumed,
    RunStarted,
    ToolReturned,
    ToolStarted,
)
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, ToolCall, Usage, UserMessage
from agentrt.runs.owner import Run
from agentrt.runs.state import fold
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import LateJournal, assert_valid, assert_whole, clerk, left_behind, now, virtual_loop, world

AGAIN = {"look", "post"}
"""Tools whose interrupted calls run again."""


class Shop:
    """Three tools of different effect, which note every call that really ran: its key."""

    def __init__(self) -> None:
        self.ran: list[str] = []

        @tool(effect="read")
        async def look(ctx: Context[None], seconds: float = 0.0) -> str:
            """Read something."""
            return await self._work(ctx, seconds)

        @tool(idempotent=True)
        async def post(ctx: Context[None], seconds: float = 0.0) -> str:
            """Write something that is written once."""
            return await self._work(ctx, seconds)

        @tool
        async def pay(ctx: Context[None], seconds: float = 0.0) -> str:
            """Write something."""
            return await self._work(ctx, seconds)

        self.clerk: Agent[Any] = clerk(look, post, pay)

    async def _work(self, ctx: Context[None], seconds: float) -> str:
        self.ran.append(ctx.idempotency_key)
        await asyncio.sleep(seconds)
        return f"worked {seconds} s"


def told(*turns: Any) -> ScriptedModel:
    """A model whose next turn depends on the turns that stand in the conversation, not on how often it was asked."""

    def script(asked: dict[str, Any]) -> Any:
        return turns[sum(message["role"] == "assistant" for message in asked["messages"])]

    return ScriptedModel(script)


BATCH = reply("Let me see.", calls=[call("look", seconds=1), call("post", seconds=2), call("pay", seconds=3)])
TEXT = reply("It is done.", pieces=4, pause=1.0)


@dataclass(frozen=True)
class Scene:
    """What goes on until the process dies, which may be at any fact of it."""

    turns: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    cancel_at: float | None = None
    ends: Outcome = "success"


SCENES = {
    "text": Scene((TEXT,)),
    "tools": Scene((BATCH, TEXT)),
    "two batches": Scene((BATCH, reply(calls=[call("pay", seconds=1), call("nobody")]), TEXT)),
    "cancelled while it writes": Scene((TEXT,), cancel_at=2.5, ends="cancelled"),
    "cancelled while tools run": Scene((BATCH, TEXT), cancel_at=1.5, ends="cancelled"),
    "late while it writes": Scene((TEXT,), {"deadline": 2.5}, ends="deadline"),
    "late while tools run": Scene((BATCH, TEXT), {"deadline": 1.5}, ends="deadline"),
}


async def lived(scene: Scene) -> Sequence[Fact]:
    """All facts of the scene, as its process would have left them had it not died."""
    journal = MemoryJournal()
    async with world(told(*scene.turns), journal=journal) as runtime:
        run = runtime.start(Shop().clerk, "Go.", **scene.options)
        if scene.cancel_at is not None:
            await asyncio.sleep(scene.cancel_at)
            run.cancel("enough")
        await run.wait()
        return await journal.read(run.run_id)


def aged(facts: Sequence[Fact], seconds: float) -> Sequence[Fact]:
    """The facts as one finds them so much later. (The clock of the wall stands still while virtual time passes.)"""
    assert isinstance(facts[0], RunStarted)
    return [replace(facts[0], ends_at=facts[0].ends_at - seconds), *facts[1:]]


async def ended(run: Run) -> None:
    try:
        assert_valid((await run.answer()).messages)
    except RunFailed as failed:
        assert_valid(failed.answer.messages)


async def resumed(left: Sequence[Fact], turns: Sequence[Any]) -> Sequence[Fact]:
    """Resume a run of which these facts are left; all of its facts then. Checks what holds wherever it was cut."""
    shop, journal, started = Shop(), await left_behind(left), left[0]
    assert isinstance(started, RunStarted)
    async with world(told(*turns), journal=journal) as runtime:
        assert [one.run_id for one in await runtime.unfinished()] == [started.run_id]
        run = await runtime.resume(started.run_id, shop.clerk)
        assert (run.epoch, run.head) == (left[-1].epoch + 1, left[-1].seq)
        assert await runtime.unfinished() == []
        await ended(run)
        facts = await journal.read(started.run_id)
        assert [event async for event in run.events() if isinstance(event, Fact)] == facts
    check(left, facts, shop.ran)
    began = [fact for fact in facts[len(left) :] if isinstance(fact, ToolStarted)]
    looks = {fact.call_id.partition(".")[0] for fact in began if fact.name == "look"}  # those of one batch share one
    assert len(shop.ran) == len(looks) + sum(fact.name != "look" for fact in began)
    return facts


def check(left: Sequence[Fact], facts: Sequence[Fact], ran: Sequence[str]) -> None:
    """`facts` are those that were left and what the resumed run made of them, running the calls with the keys `ran`."""
    cut, new = len(left), facts[len(left) :]
    assert_whole(facts)
    assert facts[:cut] == left
    assert isinstance(new[0], RunResumed)
    assert (new[0].epoch, new[0].seq) == (left[-1].epoch + 1, left[-1].seq + 1)
    assert {fact.epoch for fact in new} == {new[0].epoch}
    assert isinstance(facts[-1], RunEnded)
    assert facts[-1].usage == fold(facts).usage
    assert_valid(fold(facts).messages)
    replies = [fact for fact in facts if isinstance(fact, ModelReplied)]
    assert facts[-1].usage.requests == len(replies)
    results = Counter(fact.call_id for fact in facts if isinstance(fact, ToolReturned))
    assert results == Counter(wanted.id for one in replies for wanted in one.message.tool_calls)
    returned = {fact.call_id for fact in left if isinstance(fact, ToolReturned)}
    running = {fact.call_id: fact for fact in left if isinstance(fact, ToolStarted) and fact.call_id not in returned}
    keys = [fact.idempotency_key for fact in new if isinstance(fact, ToolStarted)]
    assert not Counter(ran) - Counter(keys)  # whatever runs has its intent, and nothing runs twice
    assert not set(keys) & {fact.idempotency_key for fact in left if isinstance(fact, ToolStarted)} - {
        fact.idempotency_key for fact in running.values() if fact.name in AGAIN
    }
    for fact in new:
        if isinstance(fact, ToolReturned) and fact.call_id in running and fact.name not in AGAIN:
            assert (fact.status, fact.code) == ("error", "outcome_unknown")


@pytest.mark.parametrize("name", SCENES)
def test_a_run_whose_process_died_behind_any_of_its_facts_is_carried_to_its_end(name: str) -> None:
    scene = SCENES[name]

    async def main() -> list[tuple[Outcome, str]]:
        whole = await lived(scene)
        assert isinstance(whole[-1], RunEnded)
        assert whole[-1].outcome == scene.ends
        outcomes: list[tuple[Outcome, str]] = []
        late = scene.ends == "deadline"
        for cut in range(1, len(whole)):
            facts = await resumed(aged(whole[:cut], 60.0 if late else 0.0), scene.turns)
            assert isinstance(facts[-1], RunEnded)
            asked = any(isinstance(fact, CancelAsked) for fact in whole[:cut])
            outcome = "deadline" if late else "cancelled" if asked else "success"
            assert facts[-1].outcome == outcome
            outcomes.append((facts[-1].outcome, fold(facts).text))
        return outcomes

    outcomes = run_virtual(main())
    if scene.ends == "success":
        assert set(outcomes) == {("success", "It is done.")}
    else:
        assert outcomes[-1][0] == scene.ends


def test_a_run_may_die_over_and_over() -> None:
    scene = SCENES["two batches"]

    async def main() -> None:
        first = await lived(scene)
        for seed in range(40):
            random, facts = Random(seed), first
            epoch = 1
            while epoch < 6:
                cut = random.randrange(1, len(facts))
                facts = await resumed(facts[:cut], scene.turns)
                epoch = facts[-1].epoch
                assert epoch == facts[cut - 1].epoch + 1
                paid = Counter(fact.call_id for fact in facts if isinstance(fact, ToolStarted) and fact.name == "pay")
                assert set(paid.values()) <= {1}
                if random.random() < 0.2:
                    break

    run_virtual(main())


@st.composite
def remains(draw: st.DrawFn) -> list[Fact]:
    """What any process may leave: whole batches, then one with some intents and some results, in any order."""
    facts: list[Fact] = [
        RunStarted(run_id="r1", agent="clerk", model="openai:m", messages=(UserMessage("?"),), ends_at=4e9)
    ]
    for turn in range(draw(st.integers(0, 3))):
        names = draw(st.lists(st.sampled_from(["look", "post", "pay", "nobody"]), min_size=1, max_size=4))
        calls = [ToolCall(f"c{turn}.{place}", name) for place, name in enumerate(names)]
        message = AssistantMessage("", tuple(calls))
        facts.append(
            ModelReplied(message_id=f"m{turn}", message=message, finish="tool_calls", usage=Usage(1, 1, requests=1))
        )
        facts += [
            ToolStarted(call_id=one.id, name=one.name, arguments="{}", idempotency_key=f"r1:{one.id}")
            for one in draw(st.permutations(calls))
            if one.name != "nobody"
        ]
        facts += [
            ToolReturned(call_id=one.id, name=one.name, status="ok", content="so")
            for one in draw(st.permutations(calls))
        ]
    if draw(st.booleans()):
        facts.append(CancelAsked(reason="enough"))
    left = facts[: draw(st.integers(1, len(facts)))]
    stamped: list[Fact] = []
    for fact in left:
        gap = draw(st.integers(1, 3))
        stamped.append(replace(fact, epoch=1, seq=(stamped[-1].seq if stamped else 0) + gap))
    return stamped


@settings(max_examples=150, deadline=None)
@given(remains())
def test_whatever_a_process_leaves_becomes_a_valid_conversation(left: list[Fact]) -> None:
    facts = run_virtual(resumed(left, [reply("done")] * 5))
    assert isinstance(facts[-1], RunEnded)
    assert facts[-1].outcome == ("cancelled" if isinstance(left[-1], CancelAsked) else "success")


@pytest.mark.parametrize("journal", [MemoryJournal, lambda: LateJournal(0.004)], ids=["quick", "slow"])
def test_a_resumed_run_may_be_cancelled_at_any_step(journal: Callable[[], MemoryJournal]) -> None:
    turns = (reply(calls=[call("look", seconds=0.01), call("pay", seconds=0.01)]), reply("done", pieces=3, pause=0.01))

    whole = run_virtual(lived(Scene(turns)))
    assert [type(fact) for fact in whole[2:4]] == [ToolStarted] * 2

    async def cut_at(step: int) -> tuple[bool, Outcome]:
        """Whether that step came before the end of the run, and what that was."""
        kept, shop, came = await left_behind(whole[:4], journal=journal()), Shop(), list[bool]()
        async with world(told(*turns), journal=kept) as runtime:
            run = await runtime.resume(_id(whole), shop.clerk)

            def cut() -> None:
                came.append(run.state.ended is None)
                run.cancel("enough")

            virtual_loop().at_step(step, cut)
            await ended(run)
            in_time = came == [True]
        facts = await kept.read(run.run_id)
        check(whole[:4], facts, shop.ran)
        assert isinstance(facts[-1], RunEnded)
        return in_time, facts[-1].outcome

    outcomes: list[Outcome] = []
    in_time = True
    while in_time:
        in_time, outcome = run_virtual(cut_at(len(outcomes) + 1))
        outcomes.append(outcome)
    assert outcomes.count("cancelled") > 10
    assert outcomes == sorted(outcomes)  # from some step on it is too late, and the run succeeds
    assert outcomes[-1] == "success"


def test_interrupted_calls_run_again_only_where_that_does_no_harm_and_under_their_old_key() -> None:
    async def main() -> None:
        whole = await lived(SCENES["tools"])
        left = whole[:5]  # three intents, no result
        assert [type(fact) for fact in left[2:]] == [ToolStarted] * 3
        facts = await resumed(left, SCENES["tools"].turns)
        intents = [(fact.name, fact.idempotency_key) for fact in facts if isinstance(fact, ToolStarted)]
        assert intents[3:] == intents[:2]
        assert [name for name, _ in intents[3:]] == ["look", "post"]
        (paid,) = [fact for fact in facts if isinstance(fact, ToolReturned) and fact.name == "pay"]
        assert (paid.status, paid.code) == ("error", "outcome_unknown")
        assert "Nobody knows whether it took effect. It was not run again." in paid.content

    run_virtual(main())


def test_a_tool_that_is_no_more_leaves_its_interrupted_call_unknown_and_its_other_calls_unknown_tools() -> None:
    async def main() -> None:
        whole = await lived(SCENES["tools"])
        journal = await left_behind(whole[:4])  # the intents of `look` and `post`; `pay` was not begun
        async with world(told(*SCENES["tools"].turns), journal=journal) as runtime:
            run = await runtime.resume(_id(whole), clerk())
            await run.answer()
        codes = {fact.name: fact.code for fact in await journal.read(_id(whole)) if isinstance(fact, ToolReturned)}
        assert codes == {"look": "outcome_unknown", "post": "outcome_unknown", "pay": "tool_unknown"}

    run_virtual(main())


def test_the_deadline_stays_where_it_was() -> None:
    deadlines: list[float] = []

    @tool(effect="read")
    async def look(ctx: Context[None]) -> str:
        """Takes long."""
        deadlines.append(ctx.deadline)
        await asyncio.sleep(100)
        return "never"

    async def main() -> None:
        journal = MemoryJournal()
        model = told(reply(calls=[call("look")]), TEXT)
        async with world(model, journal=journal) as runtime:
            run = runtime.start(clerk(look), "Go.", deadline=30)
            await asyncio.sleep(10)
            left = await journal.read(run.run_id)
            await run.stop()
        began = now()
        async with world(model, journal=await left_behind(aged(left, 12))) as runtime:
            run = await runtime.resume(_id(left), clerk(look))
            await run.wait()
            assert run.state.ended is not None
            assert run.state.ended.outcome == "deadline"
        assert now() - began == pytest.approx(18, abs=0.5)  # but for the real time that the test takes
        assert deadlines == [pytest.approx(30, abs=0.5), pytest.approx(began + 18, abs=0.5)]

    run_virtual(main())


@pytest.mark.parametrize(("cut", "outcome"), [(8, "deadline"), (9, "success")])
def test_a_run_that_had_its_answer_when_its_process_died_has_it_however_late(cut: int, outcome: str) -> None:
    class Slow(MemoryJournal):
        async def runs(self, *, thread: str | None = None, unfinished: bool = False) -> Any:
            await asyncio.sleep(1)
            return await super().runs(thread=thread, unfinished=unfinished)

    async def main() -> None:
        scene = Scene(SCENES["tools"].turns, {"deadline": 20, "thread": "t1"})
        whole = await lived(scene)
        assert isinstance(whole[8], ModelReplied)
        journal = await left_behind(aged(whole[:cut], 3600), journal=Slow())
        async with world(told(), journal=journal) as runtime:
            run = await runtime.resume(_id(whole), Shop().clerk)
            await ended(run)
            assert run.state.ended is not None
            assert run.state.ended.outcome == outcome
            assert run.state.text == ("It is done." if outcome == "success" else "")

    run_virtual(main())


def test_usage_goes_on_from_what_was_spent_and_the_budget_of_the_run_is_kept() -> None:
    async def main() -> None:
        turns = (reply(calls=[call("look")]), reply(calls=[call("look")]), TEXT)
        whole = await lived(Scene(turns, {"budget": Budget(turns=2), "principal": "ada"}))
        assert isinstance(whole[0], RunStarted)
        assert whole[0].budget == {"turns": 2, "tool_calls": 100, "tokens": None, "usd": None}
        assert whole[0].principal == "ada"
        facts = await resumed(whole[:4], turns)
        assert isinstance(facts[-1], RunEnded)
        assert facts[-1].outcome == "budget"
        assert facts[-1].usage == Usage(20, 10, requests=2)

    run_virtual(main())


def _id(facts: Sequence[Fact]) -> str:
    assert isinstance(facts[0], RunStarted)
    return facts[0].run_id

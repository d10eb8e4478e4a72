"""Features of runs combined as their builders did not: people, early reads, steering, inner runs, ill journals."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from typing import Any, Literal

import pytest

from agentrt import Agent, Context, Runtime, as_tool, run, stream, tool
from agentrt.errors import JournalFailed, RunCancelled, SettingInvalid
from agentrt.events import ApprovalAsked, ClientAsked, Fact, RunResumed, Steered, ToolReturned, ToolStarted
from agentrt.guardrails import guardrail
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import UserMessage
from agentrt.runs.decisions import Approved, Decision, Denied, Returned
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, assert_no_leaks, call, faults, reply, run_virtual
from tests.runs.world import LateJournal, clerk, now, results, wait, world
from tests.test_subagents import by_model, chief, expert

PAID: list[str] = []


@tool(effect="write", needs_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    await asyncio.sleep(0.2)
    PAID.append(f"paid {amount}")
    return PAID[-1]


@tool(run_in="client")
async def locate(precise: bool) -> str:
    """Where the user is."""
    raise NotImplementedError


@tool(effect="read")
async def cling(n: int) -> str:
    """Read, and take long to stop."""
    try:
        await asyncio.sleep(50)
    finally:
        await asyncio.sleep(1.5)
    return "read"


AGENT: Agent[Any] = clerk(pay, locate, wait, cling)
PAY = reply("I need your word.", calls=[call("pay", amount=3)])
PAY_TWICE = reply(calls=[call("pay", amount=3), call("pay", amount=4)])
LOCATE_TWICE = reply(calls=[call("locate", precise=True), call("locate", precise=False)])
NONSENSE: list[Callable[[Any], object]] = [
    lambda run: run.steer("x", when="bogus"),
    lambda run: run.steer(5),
    lambda run: run.steer(UserMessage((5,))),  # type: ignore[arg-type]
    lambda run: run.cancel(mode="bogus"),
    lambda run: run.cancel(5),
    lambda run: run.cancel_call("call_1", 5),
    lambda run: run.decide("call_1"),
    lambda run: run.decide(Denied("call_1", None)),  # type: ignore[arg-type]
    lambda run: run.decide(Approved("call_1"), by=5),
]
BESIDE = [call("pay", amount=3), call("pay", amount=4), call("wait", seconds=1.0)]


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


async def asked(run: Run, kind: type[Any] = ApprovalAsked, count: int = 1) -> str:
    """The id of the last of so many calls that wait."""
    async for event in run.events():
        if isinstance(event, kind):
            count -= 1
            if not count:
                return str(event.call_id)
    raise AssertionError("nobody was asked")


# ---- waiting for people, and resting -------------------------------------------------------------------


@pytest.mark.parametrize("said", [PAY_TWICE, LOCATE_TWICE])
def test_a_run_rests_where_all_its_calls_wait(said: Any) -> None:
    async def main() -> None:
        async with world(ScriptedModel([said])):
            resting = await run(AGENT, "Go.", deps=None)
            assert len(resting.waiting) == 2
            assert now() < 1

    run_virtual(main())


def test_who_leaves_after_a_long_time_lets_the_run_rest() -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY])) as runtime:
            begun = runtime.start(AGENT, "Pay.", deps=None, deadline=10)
            with begun.attend():
                await asked(begun)
                await asyncio.sleep(1000)
            assert (await begun.answer()).waiting

    run_virtual(main())


@pytest.mark.parametrize("how", ["cancel_call", "steer"])
def test_calls_that_waited_before_the_run_was_resumed_can_be_stopped(how: str) -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply(calls=BESIDE), "Done."])) as runtime:
            resting = await run(AGENT, "Pay.", deps=None)
            begun = await runtime.resume(resting.run_id, AGENT, deps=None)
            with begun.attend():
                await asyncio.sleep(1)
                if how == "steer":
                    begun.steer("Do not.", when="now")
                else:
                    for waiting in resting.waiting:
                        begun.cancel_call(waiting.id)
                await asyncio.sleep(10)
                begun.cancel("the test is over")
            assert (await begun.answer()).output == "Done."

    run_virtual(main())


def test_a_resumed_run_that_waits_for_people_can_be_cancelled_mildly() -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY])) as runtime:
            resting = await run(AGENT, "Pay.", deps=None)
            begun = await runtime.resume(resting.run_id, AGENT, deps=None)
            with begun.attend():
                await asyncio.sleep(1)
                begun.cancel(mode="after_tools")
                with pytest.raises(RunCancelled):
                    await begun.answer()

    run_virtual(main())


@pytest.mark.parametrize("second", [Denied("call_1"), Approved("call_1")])
def test_decisions_that_contradict_each_other_are_refused_and_the_run_still_rests(second: Decision) -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply(calls=BESIDE), "Done."])) as runtime:
            resting = await run(AGENT, "Pay.", deps=None)
            with pytest.raises(SettingInvalid):
                await runtime.resume(resting.run_id, AGENT, deps=None, decisions=[Approved("call_1"), second])
            assert len(await runtime.waiting()) == 1

    run_virtual(main())


def test_the_first_answer_counts_before_a_resumed_run_has_begun() -> None:
    async def main() -> None:
        locating = reply(calls=[call("locate", precise=True), call("locate", precise=False), call("wait", seconds=1.0)])
        async with world(ScriptedModel([locating, "Done."])) as runtime:
            resting = await run(AGENT, "Where?", deps=None)
            begun = await runtime.resume(resting.run_id, AGENT, deps=None)
            begun.decide(Returned("call_1", "Berlin"))
            with pytest.raises(SettingInvalid):
                begun.decide(Returned("call_1", "Paris"))
            assert [one.id for one in (await begun.answer()).waiting] == ["call_2"]

    run_virtual(main())


def test_two_who_decide_the_same_at_once_do_not_stop_each_other(tmp_path: Any) -> None:
    async def main() -> None:
        path = f"sqlite:{tmp_path / 'runs.db'}"
        providers = [ScriptedModel([PAY, "Done.", "Done."]).provider("openai")]
        async with (
            assert_no_leaks(),
            Runtime(providers=providers, journal=path) as one,
            Runtime(providers=providers, journal=path) as other,
        ):
            resting = await run(AGENT, "Pay.", deps=None, runtime=one)
            decisions = [Approved("call_1")]
            first = await one.resume(resting.run_id, AGENT, deps=None, decisions=decisions)
            async for event in first.events():
                if isinstance(event, ToolStarted):
                    break
            with pytest.raises(SettingInvalid):
                await other.resume(resting.run_id, AGENT, deps=None, decisions=decisions)
            assert (await first.answer()).output == "Done."
            assert PAID == ["paid 3"]

    asyncio.run(main())


class _LateTake(MemoryJournal):
    """Whoever takes a run over for the second time waits for a tenth of a second first."""

    async def take(self, run_id: str) -> int:
        epoch = (await self.read(run_id) or [RunResumed()])[-1].epoch
        self.taken = getattr(self, "taken", 0) + (epoch > 0)
        if epoch and self.taken > 1:
            await asyncio.sleep(0.1)
        return await super().take(run_id)


def test_two_who_decide_at_the_very_same_moment_do_not_strand_the_run() -> None:
    async def main() -> None:
        journal = _LateTake()
        model = ScriptedModel([PAY, "Done.", "Done."])
        async with world(model, journal=journal) as one, world(model, journal=journal) as other:
            resting = await run(AGENT, "Pay.", deps=None, runtime=one)

            async def resume(runtime: Runtime) -> bool:
                try:
                    begun = await runtime.resume(resting.run_id, AGENT, deps=None, decisions=[Approved("call_1")])
                    return (await begun.answer()).output == "Done."
                except (SettingInvalid, JournalFailed):
                    return False

            async with asyncio.TaskGroup() as group:
                tries = [group.create_task(resume(runtime)) for runtime in (one, other)]
            assert sum(one.result() for one in tries) == 1
            assert len(PAID) <= 1

    run_virtual(main())


def test_a_decision_that_comes_while_a_stopped_read_still_stops_is_heard_or_refused() -> None:
    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("cling", n=1), call("pay", amount=3)], pieces=4, pause=0.1), "Done."])
        async with world(model) as runtime:
            begun = runtime.start(AGENT, "Pay.", deps=None)
            call_id = await asked(begun)
            await asyncio.sleep(0.1)
            begun.cancel_call("call_1")
            await asyncio.sleep(0.5)
            try:
                begun.decide(Approved(call_id))
            except SettingInvalid:
                assert (await begun.answer()).waiting
            else:
                assert (await begun.answer()).output == "Done."

    run_virtual(main())


# ---- what is said into a run ----------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["input", "output"])
def test_what_is_said_while_the_answer_is_looked_at_is_heard(on: Literal["input", "output"]) -> None:
    @guardrail(on=on)
    async def slow(text: str, context: Context) -> None:
        await asyncio.sleep(5)

    async def main() -> None:
        agent = Agent(name="guarded", model="openai:scripted", guardrails=[slow])
        async with world(ScriptedModel(["One.", "Two."])) as runtime:
            begun = runtime.start(agent, "Count.")
            await asyncio.sleep(2)
            try:
                begun.steer("Go on.")
            except SettingInvalid:
                return
            assert (await begun.answer()).output == "Two."

    run_virtual(main())


@pytest.mark.parametrize("say", NONSENSE)
def test_nonsense_said_into_a_run_is_refused_and_changes_nothing(say: Callable[[Any], object], tmp_path: Any) -> None:
    async def main() -> None:
        providers = [ScriptedModel([PAY, "Done."]).provider("openai")]
        async with Runtime(providers=providers, journal=f"sqlite:{tmp_path / 'runs.db'}") as runtime:
            begun = runtime.start(AGENT, "Pay.", deps=None)
            with begun.attend():
                await asked(begun)
                with pytest.raises(SettingInvalid):
                    say(begun)
                begun.decide(Approved("call_1"))
                assert (await begun.answer()).output == "Done."

    asyncio.run(main())


# ---- journals that fail at the worst moment ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [ToolReturned, Steered])
def test_a_run_does_not_rest_on_what_was_not_kept(kind: type[Fact]) -> None:
    async def main() -> None:
        async with world(ScriptedModel([LOCATE_TWICE]), journal=LateJournal(1.0, loses=kind)) as runtime:
            begun = runtime.start(AGENT, "Where?", deps=None)
            with begun.attend():
                await asked(begun, ClientAsked, 2)
                begun.decide(Returned("call_1", "Berlin")) if kind is ToolReturned else begun.steer("By the way.")
            with pytest.raises(JournalFailed):
                await begun.answer()

    run_virtual(main())


@pytest.mark.parametrize("said", [reply(calls=[call("wait", seconds=500.0)]), PAY])
def test_a_run_whose_journal_has_lost_what_was_said_can_be_left(said: Any) -> None:
    async def main() -> None:
        providers = [ScriptedModel([said]).provider("openai")]
        async with Runtime(providers=providers, journal=LateJournal(0.5, loses=Steered)):
            async with stream(AGENT, "Go.", deps=None, attended=said is PAY) as running:
                await asyncio.sleep(5)
                running.steer("By the way.")
                await asyncio.sleep(2)
                if said is PAY:
                    running.cancel()
                    with pytest.raises(JournalFailed):
                        await running.answer()
        assert now() < 12

    run_virtual(main())


# ---- early and shared reads, inner runs ------------------------------------------------------------------


class _Slow(MemoryJournal):
    """Acknowledges the intent of the second call two seconds late."""

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        kept = super().append(run_id, epoch, fact)
        if not isinstance(fact, ToolStarted) or fact.call_id != "call_2":
            return kept
        late: Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(2.0, lambda: None if late.done() else late.set_result(None))
        return late


def test_a_read_that_was_stopped_for_one_call_is_begun_anew_for_the_next() -> None:
    @tool(effect="read")
    async def look(n: int) -> str:
        """Look."""
        await asyncio.sleep(10)
        return "seen"

    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("look", n=1), call("look", n=1)]), "Done."])
        async with world(model, journal=_Slow()) as runtime:
            begun = runtime.start(clerk(look), "Look.", deps=None)
            await asyncio.sleep(1)
            begun.cancel_call("call_1")
            assert results((await begun.answer()).messages)[1] == "seen"

    run_virtual(main())


def test_what_an_inner_run_spent_whose_call_was_stopped_counts() -> None:
    async def main() -> None:
        spent = reply(calls=[call("wait", seconds=50.0)], usage=(1000, 500))
        model = by_model(chief=[reply(calls=[call("expert", question="Why?")]), "Done."], expert=[spent])
        async with world(model) as runtime:
            begun = runtime.start(chief(as_tool(expert(wait))), "Ask.")
            await asyncio.sleep(5)
            begun.cancel_call("call_1")
            assert (await begun.answer()).usage.total_tokens == 1530

    run_virtual(main())


def test_what_an_early_inner_run_spent_that_nobody_asked_for_in_the_end_counts() -> None:
    async def main() -> None:
        asks = [call("expert", question="Why?"), call("expert", question="What is it all about? " * 20)]
        model = by_model(
            chief=[reply(calls=asks, pieces=2, pause=3), "Done."], expert=[reply("So.", usage=(1000, 500))] * 2
        )
        model.faults.then(faults.cut(after=1100))
        async with world(model) as runtime:
            begun = runtime.start(chief(as_tool(expert(), effect="read")), "Ask.")
            assert (await begun.answer()).usage.total_tokens == 1500 * (len(model.requests) - 2) + 15

    run_virtual(main())


# ---- users' functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["instructions", "tools"])
def test_functions_that_swallow_a_cancel_hold_no_run(what: str) -> None:
    async def hang(_context: Context) -> Any:
        while now() < 1000:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        agent = Agent(name="slow", model="openai:scripted", **{what: hang})  # type: ignore[arg-type]
        async with world(ScriptedModel(["One."])) as runtime:
            begun = runtime.start(agent, "Go.", deadline=5)
            await begun.wait()
            assert now() < 10
            await asyncio.sleep(1200)

    run_virtual(main())

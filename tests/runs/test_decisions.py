"""Calls that wait for people: approvals, results of the client, resting and going on, days later and elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrt import Agent, Runtime, run, stream, tool
from agentrt.errors import DeadlineExceeded, RunCancelled, SettingInvalid
from agentrt.events import ApprovalAsked, ApprovalGiven, ClientAsked, RunEnded, ToolStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import ToolMessage
from agentrt.runs.decisions import Approved, Decision, Denied, Returned
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import assert_valid, assert_whole, clerk, now, results, wait, world

PAID: list[str] = []


@tool(effect="write", needs_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    PAID.append(f"paid {amount}")
    return PAID[-1]


@tool(run_in="client")
async def locate(precise: bool) -> str:
    """Where the user is."""
    raise NotImplementedError


AGENT: Agent[Any] = clerk(pay, locate, wait)
PAY = reply("I need your word.", calls=[call("pay", amount=3)])
MIXED = reply(calls=[call("wait", seconds=2.0), call("pay", amount=3), call("locate", precise=True)])


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


async def asked(run: Run, kind: type[Any] = ApprovalAsked) -> str:
    """The id of the first call that waits."""
    async for event in run.events():
        if isinstance(event, kind):
            return str(event.call_id)
    raise AssertionError("nobody was asked")


@pytest.mark.parametrize(
    ("decision", "paid", "result"),
    [
        (Approved("call_1"), ["paid 3"], "paid 3"),
        (Denied("call_1", "too much"), [], "The call was not approved and did not run: too much."),
        (Denied("call_1"), [], "The call was not approved and did not run."),
    ],
)
def test_a_run_rests_until_somebody_decides_and_goes_on(decision: Decision, paid: list[str], result: str) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with world(ScriptedModel([PAY]), journal=journal):
            resting = await run(AGENT, "Pay 3.", deps=None)
            assert [call.name for call in resting.waiting] == ["pay"]
            assert_valid(resting.messages)
        assert PAID == []
        model = ScriptedModel(["Done."])
        async with world(model, journal=journal) as runtime:
            assert await runtime.unfinished() == []
            (left,) = await runtime.waiting()
            assert [call.id for call in left.calls] == ["call_1"]
            await asyncio.sleep(3 * 86_400)
            going = await runtime.resume(left.started.run_id, AGENT, deps=None, decisions=[decision])
            answer = await going.answer()
            assert (answer.output, results(answer.messages), answer.waiting) == ("Done.", [result], ())
            assert paid == PAID
            assert_whole(await journal.read(going.run_id))

    run_virtual(main())


def test_a_run_that_nobody_attends_to_holds_nothing_while_it_rests() -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            assert (await begun.answer()).waiting
            assert runtime.find(begun.run_id) is None
            with pytest.raises(SettingInvalid, match=r"Runtime\.resume"):
                begun.decide(Approved("call_1"))
            with pytest.raises(SettingInvalid, match="over or about to be"):
                begun.steer("And?")
            begun.cancel()
            assert not any(isinstance(event, RunEnded) for event in await runtime.journal.read(begun.run_id))

    run_virtual(main())


def test_while_somebody_attends_the_run_waits_where_it_is_and_its_other_calls_go_on() -> None:
    async def main() -> None:
        async with world(ScriptedModel([MIXED, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            with begun.attend():
                assert await asked(begun) == "call_2"
                await asyncio.sleep(1.0)
                begun.decide(Approved("call_2"), by="ada")
                await asyncio.sleep(0.5)
                assert PAID == ["paid 3"]  # before its slow sibling is done
                begun.decide(Returned("call_3", "Berlin"), by="ada")
                answer = await begun.answer()
            assert results(answer.messages) == ["waited 2.0", "paid 3", "Berlin"]
            assert now() == pytest.approx(2.0)
            given = [event async for event in begun.events() if isinstance(event, ApprovalGiven)]
            assert [(one.approved, one.by) for one in given] == [(True, "ada")]

    run_virtual(main())


def test_when_the_last_who_attends_leaves_the_run_rests() -> None:
    async def main() -> None:
        async with world(ScriptedModel([MIXED, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            with begun.attend():
                with begun.attend():
                    await asyncio.sleep(5.0)
                await asyncio.sleep(5.0)
                assert runtime.find(begun.run_id) is begun
            answer = await begun.answer()
            assert [one.name for one in answer.waiting] == ["pay", "locate"]
            assert [m.content for m in answer.messages if isinstance(m, ToolMessage)] == [
                *("waited 2.0", "The call waits for a person.", "The call waits for a person.")
            ]
            going = await runtime.resume(
                begun.run_id, AGENT, deps=None, decisions=[Returned("call_3", "no signal", error=True)]
            )
            assert [one.name for one in (await going.answer()).waiting] == ["pay"]
            going = await runtime.resume(begun.run_id, AGENT, deps=None, decisions=[Approved("call_2")])
            answer = await going.answer()
            assert results(answer.messages) == ["waited 2.0", "paid 3", "no signal"]

    run_virtual(main())


def test_the_clock_of_a_run_stands_still_while_it_only_waits_for_people() -> None:
    async def main() -> None:
        model = ScriptedModel([PAY, reply("Done.", pieces=2, pause=3.0)])
        async with world(model, journal=MemoryJournal()) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None, deadline=10.0)
            with begun.attend():
                await asked(begun)
                await asyncio.sleep(1_000.0)
                begun.decide(Approved("call_1"))
                with pytest.raises(DeadlineExceeded):
                    await begun.answer()
            assert now() == pytest.approx(1_010.0)

    run_virtual(main())


def test_while_anything_else_goes_on_the_clock_goes_on() -> None:
    async def main() -> None:
        async with world(ScriptedModel([MIXED, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None, deadline=1.5)
            with begun.attend(), pytest.raises(DeadlineExceeded) as failed:
                await begun.answer()
            assert now() == pytest.approx(1.5)
            assert_valid(failed.value.answer.messages)

    run_virtual(main())


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (Approved("call_9"), 'no call "call_9" waits for a decision; waiting for one: call_2'),
        (Returned("call_2", "x"), 'no call "call_2" waits for a result; waiting for one: call_3'),
        (Approved("call_3"), 'no call "call_3" waits for a decision; waiting for one: call_2'),
        (Denied("call_1"), 'no call "call_1" waits for a decision'),
    ],
)
def test_a_decision_that_nobody_waits_for_is_refused_and_changes_nothing(decision: Decision, says: str) -> None:
    async def main() -> None:
        async with world(ScriptedModel([MIXED, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            with begun.attend():
                await asyncio.sleep(5.0)
                with pytest.raises(SettingInvalid, match=says):
                    begun.decide(decision)
            await begun.wait()
            with pytest.raises(SettingInvalid, match=says):
                await runtime.resume(begun.run_id, AGENT, deps=None, decisions=[decision])
            assert len(await runtime.waiting()) == 1

    run_virtual(main())


def test_the_first_answer_counts() -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            with begun.attend():
                await asked(begun)
                begun.decide(Denied("call_1"))
                with pytest.raises(SettingInvalid, match="waiting for one: none"):
                    begun.decide(Approved("call_1"))
                await begun.answer()
            assert PAID == []

    run_virtual(main())


def test_arguments_that_do_not_fit_are_not_brought_before_anybody() -> None:
    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("pay", amount="much"), call("locate")]), "Sorry."])
        async with world(model) as runtime:
            begun = runtime.start(AGENT, "Pay.", deps=None)
            assert (await begun.answer()).output == "Sorry."
            facts = await runtime.journal.read(begun.run_id)
            assert not any(isinstance(fact, ApprovalAsked | ClientAsked | ToolStarted) for fact in facts)

    run_virtual(main())


@pytest.mark.parametrize("when", ["resting", "waiting"])
def test_a_run_that_waits_for_people_can_be_cancelled(when: str) -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            if when == "resting":
                await begun.wait()
                begun = await runtime.resume(begun.run_id, AGENT, deps=None)
            with begun.attend():
                if when == "waiting":
                    await asked(begun)
                begun.cancel("enough", mode="after_tools")
                with pytest.raises(RunCancelled, match="enough") as failed:
                    await begun.answer()
            assert_valid(failed.value.answer.messages)
            assert_whole(await runtime.journal.read(begun.run_id))
            assert PAID == []

    run_virtual(main())


def test_a_waiting_call_can_be_stopped_alone() -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY, "Done."])) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            with begun.attend():
                begun.cancel_call(await asked(begun), "changed my mind")
                answer = await begun.answer()
            assert results(answer.messages) == ["The call was stopped: changed my mind."]

    run_virtual(main())


def test_a_thread_goes_on_behind_a_run_that_rests_and_says_so_to_the_model() -> None:
    async def main() -> None:
        model = ScriptedModel([PAY, "Still waiting.", "Done."])
        async with world(model) as runtime:
            first = runtime.start(AGENT, "Pay 3.", deps=None, thread="t")
            second = runtime.start(AGENT, "And?", deps=None, thread="t")
            assert (await second.answer()).output == "Still waiting."
            told = [m["content"] for m in model.requests[1]["messages"] if m["role"] == "tool"]
            assert told == ["The call waits for a person."]
            going = await runtime.resume(first.run_id, AGENT, deps=None, decisions=[Approved("call_1")])
            assert (await going.answer()).output == "Done."

    run_virtual(main())


def test_who_streams_may_attend() -> None:
    async def main() -> None:
        async with world(ScriptedModel([MIXED, "Done."])):
            async with stream(AGENT, "Pay 3.", deps=None, attended=True) as running:
                async for event in running:
                    if isinstance(event, ApprovalAsked):
                        running.deny(event.call_id, "no")
                    elif isinstance(event, ClientAsked):
                        running.give(event.call_id, "Berlin")
                answer = await running.answer()
            assert results(answer.messages) == [
                *("waited 2.0", "The call was not approved and did not run: no.", "Berlin")
            ]

    run_virtual(main())


def test_a_process_that_dies_while_somebody_decides_loses_nothing() -> None:
    """At whatever fact it dies, the payment is made at most once, and never without the approval."""

    async def lived() -> list[Any]:
        journal = MemoryJournal()
        async with world(ScriptedModel([PAY, "Done."]), journal=journal) as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            with begun.attend():
                begun.decide(Approved(await asked(begun)))
                await begun.answer()
            return list(await journal.read(begun.run_id))

    async def dies_after(facts: list[Any]) -> None:
        PAID.clear()
        journal = MemoryJournal()
        epoch = await journal.take(facts[0].run_id)
        for fact in facts:
            await journal.append(facts[0].run_id, epoch, fact)
        again = ScriptedModel(lambda asked: PAY if asked["messages"][-1]["role"] == "user" else reply("Done."))
        async with world(again, journal=journal) as runtime:
            left = await runtime.unfinished() or [one.started for one in await runtime.waiting()]
            going = await runtime.resume(left[0].run_id, AGENT, deps=None)
            with going.attend():
                while not going.state.ended:
                    await asyncio.sleep(0.1)
                    if going.state.waiting:
                        assert PAID == []
                        going.decide(Approved("call_1"))
                answer = await going.answer()
            assert_valid(answer.messages)
            assert_whole(await journal.read(going.run_id))
            known = results(answer.messages) == ["paid 3"]
            assert len(PAID) == (1 if known and not any(isinstance(one, ToolStarted) for one in facts) else 0)

    facts = run_virtual(lived())
    assert [type(fact).__name__ for fact in facts] == [
        *("RunStarted", "ModelReplied", "ApprovalAsked", "ApprovalGiven", "ToolStarted", "ToolReturned"),
        *("ModelReplied", "RunEnded"),
    ]
    for cut in range(1, len(facts)):
        run_virtual(dies_after(facts[:cut]))


def test_it_rests_on_disk_and_another_process_goes_on(tmp_path: Any) -> None:
    async def rests() -> str:
        model = ScriptedModel([PAY])
        async with Runtime(providers=[model.provider("openai")], journal=f"sqlite:{tmp_path}/chat.db") as runtime:
            begun = runtime.start(AGENT, "Pay 3.", deps=None)
            assert (await begun.answer()).waiting
            return begun.run_id

    async def goes_on(run_id: str) -> None:
        model = ScriptedModel(["Done."])
        async with Runtime(providers=[model.provider("openai")], journal=f"sqlite:{tmp_path}/chat.db") as runtime:
            going = await runtime.resume(run_id, AGENT, deps=None, decisions=[Approved("call_1")])
            assert (await going.answer()).output == "Done."
            assert PAID == ["paid 3"]

    asyncio.run(goes_on(asyncio.run(rests())))


def test_runs_that_do_not_know_of_each_other_may_name_calls_alike_and_who_comes_after_both_tells_them_apart() -> None:
    async def main() -> None:
        look = call("wait", call_id="same", seconds=0.1)
        turns: list[Any] = [PAY, reply(calls=[look]), "B is done.", reply(calls=[look]), "A is done.", "C is done."]
        model = ScriptedModel(turns)
        async with world(model) as runtime:
            first = runtime.start(AGENT, "Pay 3.", deps=None, thread="t")
            assert (await first.answer()).waiting
            assert (await runtime.start(AGENT, "And?", deps=None, thread="t").answer()).output == "B is done."
            going = await runtime.resume(first.run_id, AGENT, deps=None, decisions=[Approved("call_1")])
            assert (await going.answer()).output == "A is done."
            last = await runtime.start(AGENT, "So?", deps=None, thread="t").answer()
            assert_valid(last.messages)
            assert results(last.messages) == ["paid 3", "waited 0.1", "waited 0.1"]

    run_virtual(main())

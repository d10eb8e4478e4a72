"""Saying something to a run over the wire: one that goes on, one that rests, and one that others got hold of first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from agentrt import Agent, tool
from agentrt.events import ApprovalGiven, RunEnded, ToolStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.server.client import Client, Json
from tests.server.guest import Guest, code, house, question, text_of, wait
from tests.server.rules import assert_valid

PAID: list[str] = []


@tool(effect="write", needs_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    PAID.append(f"paid {amount}")
    return PAID[-1]


@tool(run_in="client")
async def locate() -> str:
    """Where the user is."""
    raise NotImplementedError


AGENTS: tuple[Agent[Any], ...] = (Agent(name="clerk", model="scripted:m", tools=[pay, locate, wait]),)
PAY = reply("I need your word.", calls=[call("pay", amount=3)])
BOTH = reply(calls=[call("pay", amount=3), call("locate")])
SLOW = reply(calls=[call("wait", seconds=20), call("wait", seconds=40)])
TALE = reply("Once upon a time there was a tale.", pieces=30, pause=0.1)
WATCHING: Json = {"features": ["inline_approvals"]}
APPROVE = {"run_id": "r1", "approval_id": "call_1", "decision": "approve"}


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


def outcome(run: Client) -> str | None:
    end = run.view.end
    return None if end is None else str(end.get("outcome", end)["type"])


def state(run: Client, call_id: str) -> str | None:
    activity = run.view.activities.get(f"tool:{call_id}")
    return None if activity is None else str(activity[1]["state"])


async def until(guest: Guest, call_id: str, *states: str) -> Client:
    return await guest.shown(lambda run: state(run, call_id) in states)


async def resting(guest: Guest, text: str = "Pay 3.") -> Client:
    """A run of which all are told that it rests."""
    await guest.start(text)
    run = await guest.ended()
    assert outcome(run) == "interrupt"
    return run


async def concluded(guest: Guest) -> Client:
    """The run, once it rests or has ended, since somebody said something."""
    run = await guest.shown(lambda run: run.snapshots > 0 and outcome(run) is not None)
    assert_valid(run.events)
    return run


def results(run: Client) -> list[str]:
    return [content for content, _ in run.view.results.values()]


# ---- runs that rest ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "result", "paid"),
    [
        ({"decision": "approve"}, "paid 3", ["paid 3"]),
        ({"decision": "deny", "note": "too much"}, "The call was not approved and did not run: too much.", []),
    ],
)
def test_a_run_that_rests_goes_on_by_a_decision_and_is_shown_anew(decision: Json, result: str, paid: list[str]) -> None:
    async def main() -> None:
        async with house(ScriptedModel([PAY, TALE]), agents=AGENTS) as here:
            alice = await here.guest("alice")
            run = await resting(alice)
            assert (here.desk.active, run.epoch, run.snapshots) == (0, 1, 0)
            await asyncio.sleep(60)
            replied = await alice.ask("approval.respond", **APPROVE | decision)
            last = (await here.runtime.journal.read("alice/r1"))[-1]
            told = {"type": "reply", "id": "2", "ok": True, "run_id": "r1", "epoch": 2, "next_seq": last.seq + 1}
            assert replied == told
            run = await concluded(alice)
            assert (run.epoch, run.snapshots, outcome(run)) == (2, 1, "success")
            assert (results(run), PAID) == ([result], paid)
            assert text_of(run).endswith("Once upon a time there was a tale.")
            given = [fact for fact in await here.runtime.journal.read("alice/r1") if isinstance(fact, ApprovalGiven)]
            assert [(one.approved, one.by) for one in given] == [(bool(paid), "alice")]

    run_virtual(main())


def test_it_goes_on_after_a_restart_days_later() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with house(ScriptedModel([PAY]), agents=AGENTS, journal=journal) as here:
            await resting(await here.guest("alice"))
        await asyncio.sleep(3 * 86_400)
        asked: list[tuple[str | None, dict[str, str]]] = []

        async def deps(principal: str | None, metadata: Mapping[str, str]) -> None:
            asked.append((principal, dict(metadata)))

        async with house(ScriptedModel([TALE]), agents=AGENTS, journal=journal, deps=deps) as here:
            assert (here.desk.active, asked) == (0, [])
            alice = await here.guest("alice", resume=[{"run_id": "r1", "epoch": 1, "after": 3}])
            run = await alice.ended()
            assert outcome(run) == "interrupt"
            assert run.view.activities["approval:call_1"][1]["state"] == "pending"
            for eve in (await here.guest("eve"), await here.guest()):
                assert code(await eve.ask("approval.respond", **APPROVE)) == "no_such_run"
            replied = await alice.ask("approval.respond", **APPROVE)
            assert (replied["ok"], replied["epoch"]) == (True, 2)
            run = await alice.shown(lambda run: run.epoch == 2 and outcome(run) is not None)
            assert (outcome(run), results(run), PAID) == ("success", ["paid 3"], ["paid 3"])
            assert asked == [("alice", {})]

    run_virtual(main())


def test_of_several_calls_that_wait_each_may_be_decided_alone() -> None:
    async def main() -> None:
        async with house(ScriptedModel([BOTH, "Done."]), agents=AGENTS) as here:
            guest = await here.guest()
            run = await resting(guest)
            assert (state(run, "call_1"), state(run, "call_2")) == ("waiting", "client")
            await guest.ask("tool.result", run_id="r1", tool_call_id="call_2", content="Berlin")
            run = await concluded(guest)
            assert (outcome(run), results(run), run.epoch) == ("interrupt", ["Berlin"], 2)
            await guest.ask("approval.respond", **APPROVE)
            run = await guest.shown(lambda run: run.epoch == 3 and outcome(run) is not None)
            assert (outcome(run), results(run)) == ("success", ["Berlin", "paid 3"])
            assert_valid(run.events)

    run_virtual(main())


@pytest.mark.parametrize(
    ("kind", "said", "ends"),
    [
        ("run.cancel", {"mode": "after_turn", "reason": "enough"}, "cancelled"),
        ("approval.respond", {"approval_id": "call_1", "decision": "cancel_run", "note": "enough"}, "cancelled"),
    ],
)
def test_a_run_that_rests_can_be_ended(kind: str, said: Json, ends: str) -> None:
    async def main() -> None:
        async with house(ScriptedModel([PAY]), agents=AGENTS) as here:
            guest = await here.guest()
            await resting(guest)
            assert (await guest.ask(kind, run_id="r1", **said))["epoch"] == 2
            run = await concluded(guest)
            assert (outcome(run), PAID) == (ends, [])
            assert results(run) == ["The call was stopped: enough."]
            assert run.view.activities["approval:call_1"][1]["state"] == "closed"
            assert code(await guest.ask("run.cancel", run_id="r1")) == "run_finished"
            assert isinstance((await here.runtime.journal.read("r1"))[-1], RunEnded)

    run_virtual(main())


def test_a_call_that_waits_is_stopped_by_a_no() -> None:
    async def main() -> None:
        async with house(ScriptedModel([BOTH, "Done."]), agents=AGENTS) as here:
            guest = await here.guest()
            await resting(guest)
            await guest.ask("tool.cancel", run_id="r1", tool_call_id="call_1", reason="not now")
            await guest.shown(lambda run: run.epoch == 2 and outcome(run) is not None)
            await guest.ask("tool.cancel", run_id="r1", tool_call_id="call_2")
            run = await guest.shown(lambda run: run.epoch == 3 and outcome(run) is not None)
            assert run.view.results == {
                "call_1": ("The call was not approved and did not run: not now.", "denied"),
                "call_2": ("The call was stopped: somebody asked for that.", "error"),
            }

    run_virtual(main())


def test_of_two_who_answer_at_once_the_first_counts_and_the_run_is_taken_up_once() -> None:
    async def slow(principal: str | None, metadata: Mapping[str, str]) -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        async with house(ScriptedModel([PAY, TALE]), agents=AGENTS, deps=slow) as here:
            guests = [await here.guest() for _ in range(3)]
            await resting(guests[0])
            says = [APPROVE, APPROVE | {"decision": "deny"}, APPROVE]
            async with asyncio.TaskGroup() as group:
                asked = [
                    group.create_task(guest.ask("approval.respond", **said))
                    for guest, said in zip(guests, says, strict=True)
                ]
            replies = [task.result() for task in asked]
            assert [one.get("error", {}).get("code") for one in replies] == [None, "approval_closed", "approval_closed"]
            await here.desk.idle()
            assert PAID == ["paid 3"]
            facts = await here.runtime.journal.read("r1")
            assert sum(isinstance(fact, ToolStarted) for fact in facts) == 1

    run_virtual(main())


def test_two_answers_to_a_run_that_has_yet_to_wait_for_its_thread_are_one() -> None:
    """It is taken up, and stands behind another run of its thread: no answer is a fact yet."""

    async def main() -> None:
        async with house(ScriptedModel([PAY, TALE, "Done."]), agents=AGENTS) as here:
            guest = await here.guest()
            await resting(guest)
            await guest.start("And?", run="r2")
            assert (await guest.ask("approval.respond", **APPROVE))["epoch"] == 2
            asked = asyncio.get_running_loop().time()
            assert code(await guest.ask("approval.respond", **APPROVE | {"decision": "deny"})) == "approval_closed"
            assert asyncio.get_running_loop().time() - asked < 0.1
            run = await concluded(guest)
            assert (outcome(run), PAID) == ("success", ["paid 3"])

    run_virtual(main())


def test_a_run_is_not_taken_up_where_it_cannot_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with house(ScriptedModel([PAY, TALE]), agents=AGENTS, journal=journal) as here:
            guest = await here.guest()
            await resting(guest)
            settings = ServeSettings(runs=1)
        async with house(ScriptedModel([TALE, TALE]), agents=AGENTS, journal=journal, settings=settings) as here:
            guest = await here.guest()
            await guest.start("Tell.", run="r2", thread="t2")
            assert code(await guest.ask("approval.respond", **APPROVE)) == "too_many_runs"
            await here.desk.idle()
            here.desk.drain()
            assert code(await guest.ask("approval.respond", **APPROVE)) == "draining"
        others = (Agent(name="poet", model="scripted:m"),)
        async with house(ScriptedModel([TALE]), agents=others, journal=journal) as here:
            assert code(await (await here.guest()).ask("approval.respond", **APPROVE)) == "no_such_agent"
        async with house(ScriptedModel([TALE]), agents=AGENTS, deps=broken, journal=journal) as here:
            assert code(await (await here.guest()).ask("approval.respond", **APPROVE)) == "internal"
        async with house(ScriptedModel([TALE]), agents=AGENTS, journal=journal) as here:
            assert (await (await here.guest()).ask("approval.respond", **APPROVE))["ok"] is True
            await here.desk.idle()
            assert PAID == ["paid 3"]

    async def broken(principal: str | None, metadata: Mapping[str, str]) -> None:
        raise RuntimeError("not now")

    run_virtual(main())


@pytest.mark.parametrize(
    ("kind", "said", "ends"),
    [
        ("approval.respond", {"approval_id": "call_1", "decision": "approve"}, "success"),
        ("run.cancel", {"mode": "after_tools"}, "cancelled"),
        ("run.cancel", {}, "cancelled"),
    ],
)
def test_whatever_step_it_is_said_at_what_was_agreed_to_happens(kind: str, said: Json, ends: str) -> None:
    """Also at those at which the run has come to rest, and nobody has been told."""

    async def said_after(steps: int) -> bool:
        async with house(ScriptedModel([PAY, "Done."]), agents=AGENTS) as here:
            guest, other = await here.guest(), await here.guest()
            await guest.say("run.start", id="1", input=question())
            for _ in range(steps):
                await asyncio.sleep(0)
            replied = await other.ask(kind, run_id="r1", **said)
            if not replied["ok"]:
                assert code(replied) in ("no_such_run", "no_such_tool_call", "approval_closed"), "it has not asked yet"
                return False
            await here.desk.idle()
            last = (await here.runtime.journal.read("r1"))[-1]
            assert isinstance(last, RunEnded) and last.outcome == ends
            assert len(PAID) == (ends == "success")
            PAID.clear()
            return replied.get("epoch") == 2

    found = [run_virtual(said_after(steps)) for steps in range(60)]
    assert found[-1] and not found[0]


# ---- what there is not -------------------------------------------------------------------------


def test_what_nobody_waits_for_is_refused_by_what_is_wrong() -> None:
    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("pay", amount=3), call("locate"), call("wait", seconds=9)]), "Done."])
        async with house(model, agents=AGENTS) as here:
            guest = await here.guest(**WATCHING)
            await guest.start()
            await until(guest, "call_2", "client")

            async def refused(kind: str, **fields: Any) -> str:
                return code(await guest.ask(kind, run_id="r1", **fields))

            yes = {"decision": "approve"}
            assert await refused("approval.respond", approval_id="call_9", **yes) == "no_such_tool_call"
            assert await refused("approval.respond", approval_id="call_2", **yes) == "approval_closed"
            assert await refused("approval.respond", approval_id="call_3", **yes) == "approval_closed"
            assert await refused("tool.result", tool_call_id="call_1", content="x") == "approval_closed"
            assert await refused("tool.result", tool_call_id="call_9", content="x") == "no_such_tool_call"
            assert await refused("tool.result", tool_call_id="call_2", content="ü" * 40_000) == "payload_too_large"
            assert await refused("tool.cancel", tool_call_id="call_9") == "no_such_tool_call"
            edited = {"approval_id": "call_1", **yes, "edited_args": {"amount": 1}}
            assert await refused("approval.respond", **edited) == "not_supported"
            assert PAID == []
            await guest.ask("tool.result", run_id="r1", tool_call_id="call_2", error="no signal")
            await guest.ask("approval.respond", **APPROVE)
            run = await guest.ended()
            assert run.view.results["call_2"] == ("no signal", "error")
            assert await refused("approval.respond", approval_id="call_1", **yes) == "approval_closed"
            assert await refused("approval.respond", approval_id="call_9", **yes) == "no_such_tool_call"
            assert await refused("tool.cancel", tool_call_id="call_1") == "run_finished"
            assert await refused("run.steer", message={"id": "u2", "content": "And?"}) == "run_finished"

    run_virtual(main())


def test_a_run_that_nobody_carries_on_is_not_taken_up_by_an_answer() -> None:
    """Its process died while other calls ran, and its agent is not served here: it is broken off, and does not rest."""

    async def main() -> None:
        journal = MemoryJournal()
        model = ScriptedModel([reply(calls=[call("pay", amount=3), call("wait", seconds=9)])])
        async with house(model, agents=AGENTS, journal=journal, on_exit="suspend") as here:
            guest = await here.guest()
            await guest.start()
            await until(guest, "call_1", "waiting")
        others = (Agent(name="poet", model="scripted:m"),)
        async with house(ScriptedModel([]), agents=others, journal=journal) as here:
            guest = await here.guest()
            await guest.attach()
            assert outcome(await guest.ended()) == "RUN_ERROR"
            assert code(await guest.ask("approval.respond", **APPROVE)) == "run_finished"
            assert code(await guest.ask("run.cancel", run_id="r1")) == "run_finished"

    run_virtual(main())


# ---- runs that go on ---------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "seconds"), [("now", 0), ("after_tools", 40), ("after_turn", 40)])
def test_a_run_is_stopped_as_its_mode_says(mode: str, seconds: float) -> None:
    async def main() -> None:
        async with house(ScriptedModel([SLOW, TALE]), agents=AGENTS) as here:
            guest = await here.guest()
            await guest.start()
            await until(guest, "call_2", "running")
            began = asyncio.get_running_loop().time()
            assert (await guest.ask("run.cancel", run_id="r1", mode=mode)) == {
                "type": "reply", "id": "2", "ok": True, "run_id": "r1",
            }  # fmt: skip
            assert outcome(await guest.ended()) == "cancelled"
            assert asyncio.get_running_loop().time() - began == pytest.approx(seconds, abs=0.1)

    run_virtual(main())


def test_one_call_is_stopped_and_the_run_goes_on() -> None:
    async def main() -> None:
        async with house(ScriptedModel([SLOW, "Done."]), agents=AGENTS) as here:
            guest = await here.guest()
            await guest.start()
            await until(guest, "call_2", "running")
            replied = await guest.ask("tool.cancel", run_id="r1", tool_call_id="call_2", reason="s" * 500)
            assert replied["ok"] is True
            run = await guest.ended()
            assert outcome(run) == "success"
            content, status = run.view.results["call_2"]
            assert (status, len(content)) == ("cancelled", len("The call was stopped: .") + 200)

    run_virtual(main())


@pytest.mark.parametrize("when", ["next_step", "now"])
def test_what_is_said_into_a_run_is_heard_once_however_often_it_is_sent(when: str) -> None:
    async def main() -> None:
        model = ScriptedModel([SLOW, "Done."])
        async with house(model, agents=AGENTS) as here:
            guest = await here.guest()
            await guest.start()
            await until(guest, "call_2", "running")
            for _ in range(3):
                said = {"id": "u2", "content": [{"type": "text", "text": "Shorter!"}]}
                assert (await guest.ask("run.steer", run_id="r1", message=said, when=when))["ok"] is True
            run = await guest.ended()
            assert [run.view.texts[id_] for id_ in run.view.steered] == ["Shorter!"]
            assert [m["content"] for m in model.requests[1]["messages"] if m["role"] == "user"] == ["hi", "Shorter!"]
            status = "cancelled" if when == "now" else "ok"
            assert [one for _, one in run.view.results.values()] == [status, status]
            for wrong in ("", [{"type": "audio"}], []):
                asked = {"run_id": "r1", "message": {"id": "u3", "content": wrong}}
                assert code(await guest.ask("run.steer", **asked)) == "invalid_input"

    run_virtual(main())


def test_a_turn_for_a_busy_thread_may_be_said_into_its_run() -> None:
    async def main() -> None:
        model = ScriptedModel([SLOW, TALE, "Later."])
        async with house(model, agents=AGENTS) as here:
            guest, other = await here.guest(), await here.guest()
            await guest.start()
            run = await until(guest, "call_2", "running")
            for talker in (guest, guest, other):
                replied = await talker.ask(
                    "run.start", input=question("And B?", run="r2"), options={"if_busy": "steer"}
                )
                assert (replied["run_id"], replied["existing"], replied["epoch"]) == ("r1", True, 1)
            assert "r2" not in guest.runs
            await guest.ended()
            assert [run.view.texts[id_] for id_ in run.view.steered] == ["And B?"]
            assert text_of(await other.ended()) == text_of(run)
            options = {"if_busy": "steer", "on_disconnect": "detach"}
            assert (await guest.start("Later?", run="r3", options=options))["existing"] is False
            assert text_of(await guest.ended("r3")) == "Later."

    run_virtual(main())


def test_a_run_that_is_about_to_stop_hears_nothing_and_the_turn_becomes_a_run() -> None:
    async def main() -> None:
        async with house(ScriptedModel([SLOW, TALE]), agents=AGENTS) as here:
            guest = await here.guest()
            await guest.start()
            await until(guest, "call_2", "running")
            await guest.ask("run.cancel", run_id="r1", mode="after_tools")
            said = {"id": "u2", "content": "And?"}
            assert code(await guest.ask("run.steer", run_id="r1", message=said)) == "run_finished"
            replied = await guest.start("And B?", run="r2", options={"if_busy": "steer"})
            assert (replied["run_id"], replied["existing"]) == ("r2", False)
            assert outcome(await guest.ended("r2")) == "success"

    run_virtual(main())

"""Somebody is there to decide, or not any more: where a run waits, and when it rests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrt import Agent, tool
from agentrt.events import ApprovalAsked
from agentrt.journal.memory import MemoryJournal
from agentrt.runs.decisions import Approved
from agentrt.runs.owner import Run
from agentrt.server.attendance import Attendance
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import clerk, world
from tests.server.client import Client, Json
from tests.server.guest import Guest, house, text_of, wait


@tool(effect="write", needs_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool(run_in="client")
async def locate() -> str:
    """Where the user is."""
    raise NotImplementedError


AGENTS: tuple[Agent[Any], ...] = (Agent(name="clerk", model="scripted:m", tools=[pay, locate, wait]),)
PAY = reply(calls=[call("pay", amount=3)])
TWICE = reply(calls=[call("pay", amount=3), call("pay", amount=4)])
WATCHING: Json = {"features": ["inline_approvals"]}
APPROVE = {"run_id": "r1", "approval_id": "call_1", "decision": "approve"}


def now() -> float:
    return asyncio.get_running_loop().time()


def interrupted(run: Client) -> bool:
    end = run.view.end
    return end is not None and end["outcome"]["type"] == "interrupt"


async def waiting(guest: Guest, call_id: str = "call_1") -> Client:
    def waits(run: Client) -> bool:
        return run.view.activities.get(f"approval:{call_id}", ("", {}))[1].get("state") == "pending"

    return await guest.shown(waits)


# ---- over the wire -----------------------------------------------------------------------------


def test_while_somebody_who_can_decide_watches_the_run_waits_where_it_is() -> None:
    async def main() -> None:
        async with house(ScriptedModel([PAY, "Done."]), agents=AGENTS) as here:
            guest, other = await here.guest(**WATCHING), await here.guest()
            await guest.start()
            await waiting(guest)
            await asyncio.sleep(300)
            assert here.desk.active == 1
            assert (await other.ask("approval.respond", **APPROVE)) == {
                "type": "reply", "id": "1", "ok": True, "run_id": "r1",
            }  # fmt: skip
            run = await guest.ended()
            assert (text_of(run), run.epoch, run.snapshots) == ("Done.", 1, 0)

    run_virtual(main())


def test_who_only_looks_does_not_keep_it_waiting() -> None:
    async def main() -> None:
        async with house(ScriptedModel([PAY]), agents=AGENTS) as here:
            guest = await here.guest(features=["other"])
            await guest.start()
            assert interrupted(await guest.ended())
            assert now() < 0.05
            assert here.desk.active == 0

    run_virtual(main())


@pytest.mark.parametrize("leaves", ["socket", "detach"])
def test_when_the_last_has_left_it_waits_a_little_and_rests(leaves: str) -> None:
    async def main() -> None:
        settings = ServeSettings(approval_linger=10)
        async with house(ScriptedModel([PAY]), agents=AGENTS, settings=settings) as here:
            guest, wire = here.come()
            await guest.hello(**WATCHING)
            second, watcher = await here.guest(**WATCHING), await here.guest()
            await guest.start()
            await second.attach()
            await watcher.attach()
            await waiting(guest)
            await asyncio.sleep(100)
            if leaves == "socket":
                wire.go()
            else:
                await guest.ask("run.detach", run_id="r1")
            await asyncio.sleep(100)
            assert here.desk.active == 1
            await second.ask("run.detach", run_id="r1")
            left = now()
            assert interrupted(await watcher.ended())
            assert now() - left == pytest.approx(10, abs=0.1)

    run_virtual(main())


def test_a_reload_does_not_put_it_to_rest() -> None:
    async def main() -> None:
        async with house(ScriptedModel([PAY, "Done."]), agents=AGENTS) as here:
            guest, wire = here.come()
            await guest.hello(**WATCHING)
            await guest.start()
            seen = await waiting(guest)
            for _ in range(3):
                wire.go()
                await asyncio.sleep(20)
                guest, wire = here.come()
                guest.runs["r1"] = seen
                await guest.hello(**WATCHING, resume=[{"run_id": "r1", "epoch": 1, "after": seen.after}])
                await asyncio.sleep(100)
                await guest.attach(cursor=seen)  # to come twice is to be there once
            await guest.ask("approval.respond", **APPROVE)
            run = await guest.ended()
            assert (text_of(run), run.epoch) == ("Done.", 1)

    run_virtual(main())


def test_nobody_is_waited_for_for_ever() -> None:
    """A call that was asked for later has its own time; a decision about the late one lets the run wait again."""

    async def main() -> None:
        settings = ServeSettings(approval_timeout=60)
        async with house(ScriptedModel([TWICE, "Done."]), agents=AGENTS, settings=settings) as here:
            guest = await here.guest(**WATCHING)
            await guest.start()
            assert interrupted(await guest.ended())
            assert now() == pytest.approx(60, abs=0.1)
            # It is taken up by a decision, and the other call is waited for anew.
            assert (await guest.ask("approval.respond", **APPROVE))["epoch"] == 2
            await guest.shown(lambda run: run.epoch == 2 and "call_1" in run.view.results)
            await asyncio.sleep(50)
            assert here.desk.active == 1
            assert not (await guest.ask("approval.respond", **APPROVE | {"approval_id": "call_2"})).get("epoch")
            run = await guest.shown(lambda run: run.epoch == 2 and run.view.end is not None)
            assert text_of(run) == "Done."

    run_virtual(main())


def test_who_takes_a_run_up_is_there_from_its_first_step() -> None:
    """Or it would rest again before anybody looks."""

    async def main() -> None:
        async with house(ScriptedModel([TWICE, "Done."]), agents=AGENTS) as here:
            watcher = await here.guest()
            await watcher.start()
            await watcher.ended()
            guest, wire = here.come()
            await guest.hello(**WATCHING)
            wire.slow = 1.0
            await guest.ask("approval.respond", **APPROVE)
            await guest.shown(lambda run: "call_1" in run.view.results)
            await asyncio.sleep(100)
            assert here.desk.active == 1
            assert not (await guest.ask("approval.respond", **APPROVE | {"approval_id": "call_2"})).get("epoch")
            assert text_of(await guest.ended()) == "Done."

    run_virtual(main())


def test_a_server_that_drains_has_those_rest_that_wait() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with house(ScriptedModel([PAY]), agents=AGENTS, journal=journal) as here:
            guest = await here.guest(**WATCHING)
            await guest.start()
            await waiting(guest)
            here.desk.drain()
            await here.desk.idle()
            assert interrupted(await guest.ended())
        async with house(ScriptedModel(["Done."]), agents=AGENTS, journal=journal) as here:
            guest = await here.guest()
            await guest.ask("approval.respond", **APPROVE)
            assert text_of(await guest.ended()) == "Done."

    run_virtual(main())


# ---- by itself ---------------------------------------------------------------------------------


async def asked(run: Run) -> None:
    async for event in run.events():
        if isinstance(event, ApprovalAsked):
            return


def test_a_late_call_is_forgotten_once_it_is_decided() -> None:
    """While another call runs, so the run does not rest in between."""

    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("pay", amount=3), call("wait", seconds=50.0)]), PAY, "Done."])
        async with assert_no_leaks(), world(model) as runtime:
            run = runtime.start(clerk(pay, wait), "Pay.")
            attendance = Attendance(run, linger=5.0, timeout=20.0)
            attendance.come()
            await asked(run)
            attendance.look()
            await asyncio.sleep(30)
            run.decide(Approved("call_1"))
            attendance.look()
            await asyncio.sleep(30)
            assert run.state.resting
            attendance.look()
            await asyncio.sleep(15)
            assert runtime.find(run.run_id) is run
            assert (await run.answer()).waiting
            assert now() == pytest.approx(80.0)
            attendance.leave()
            attendance.close()

    run_virtual(main())


def test_without_a_linger_it_rests_at_once() -> None:
    async def main() -> None:
        async with world(ScriptedModel([PAY])) as runtime:
            run = runtime.start(clerk(pay), "Pay.")
            attendance = Attendance(run, linger=0.0, timeout=20.0)
            attendance.come()
            await asked(run)
            attendance.look()
            attendance.leave()
            assert (await run.answer()).waiting
            assert now() == 0.0
            attendance.close()

    run_virtual(main())

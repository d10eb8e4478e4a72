"""A connection and its tasks, over a socket in memory and on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from agentrt.server.auth import ConnectionInfo
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.server.guest import code, house, text_of

TALE = reply("Once upon a time there was a tale.", pieces=30, pause=0.1)


def test_a_run_is_shown_as_it_goes_and_to_its_end() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1), call("wait", seconds=2)]), TALE])

    async def main() -> None:
        async with house(model) as here:
            guest = await here.guest()
            started = await guest.start("Tell.")
            assert started == {
                "type": "reply", "id": "1", "ok": True, "run_id": "r1", "existing": False, "epoch": 1, "next_seq": 1,
            }  # fmt: skip
            run = await guest.ended()
            assert run.view.question == ["Tell."]
            assert text_of(run) == "Once upon a time there was a tale."
            assert [status for _, status in run.view.results.values()] == ["ok", "ok"]
            assert run.view.end is not None and run.view.end["outcome"] == {"type": "success"}

    run_virtual(main())


def test_the_welcome_says_who_and_what_is_here() -> None:
    async def main() -> None:
        async with house(ScriptedModel([])) as here:
            welcome = (await here.guest("alice")).welcome
            assert (welcome["principal"], welcome["agents"], welcome["heartbeat_s"]) == ("alice", ["clerk"], 15.0)
            assert welcome["limits"]["max_active_runs"] == 8
            people = {"approvals": True, "interrupts": True, "interventions": True}
            assert welcome["capabilities"]["humanInTheLoop"] == people

    run_virtual(main())


def test_a_lost_socket_is_no_cancel_and_the_next_one_goes_on() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE])) as here:
            guest, wire = here.come()
            await guest.hello()
            await guest.start()
            seen = await guest.shown(lambda run: len(text_of(run)) > 10)
            wire.go()
            await here.connections[0]
            await asyncio.sleep(1.0)
            again = await here.guest(resume=[{"run_id": "r1", "epoch": seen.epoch, "after": seen.after}])
            again.runs["r1"] = seen
            await again.ended()
            assert text_of(seen) == "Once upon a time there was a tale."
            assert seen.snapshots == 0

    run_virtual(main())


def test_a_run_that_hello_cannot_resume_is_answered_by_its_id() -> None:
    async def main() -> None:
        async with house(ScriptedModel([])) as here:
            guest = await here.guest(resume=[{"run_id": "r9", "epoch": 1, "after": 3}])
            reply = await guest.until("reply")
            assert (reply["id"], reply["run_id"], code(reply)) == (None, "r9", "no_such_run")

    run_virtual(main())


def test_starting_a_run_twice_is_starting_it_once() -> None:
    async def main() -> None:
        model = ScriptedModel([TALE])
        async with house(model) as here:
            one, other = await here.guest(), await here.guest()
            assert (await one.start())["existing"] is False
            assert (await other.start())["existing"] is True
            assert (await one.start())["existing"] is True  # on the same connection: shown from the beginning
            assert text_of(await one.ended()) == text_of(await other.ended()) == "Once upon a time there was a tale."
            assert (await other.start())["existing"] is True  # when it has ended
            assert len(model.requests) == 1

    run_virtual(main())


def test_two_starts_at_the_same_moment_are_one_run() -> None:
    async def deps(principal: str | None, metadata: object) -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        model = ScriptedModel([TALE])
        async with house(model, deps=deps) as here:
            guests = [await here.guest() for _ in range(3)]
            async with asyncio.TaskGroup() as group:
                replies = [group.create_task(guest.start()) for guest in guests]
            assert sorted(task.result()["existing"] for task in replies) == [False, True, True]
            await guests[0].ended()
            assert len(model.requests) == 1

    run_virtual(main())


def test_attaching_twice_shows_the_run_once_more_and_no_frame_twice() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE])) as here:
            guest = await here.guest()
            await guest.start()
            run = await guest.shown(lambda run: len(text_of(run)) > 5)
            for _ in range(3):
                await guest.attach(cursor=run)
            await guest.ended()  # `Client.take` asserts that each frame begins behind the cursor
            assert text_of(run) == "Once upon a time there was a tale."

    run_virtual(main())


def test_a_detached_run_is_shown_no_more_and_goes_on() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE])) as here:
            guest = await here.guest()
            await guest.start()
            await guest.shown(lambda run: len(text_of(run)) > 5)
            assert (await guest.ask("run.detach", run_id="r1"))["ok"] is True
            seen = guest.runs["r1"].after
            await here.desk.idle()
            await guest.say("ping", t=1)
            await guest.until("pong", t=1)
            assert guest.runs["r1"].after == seen

    run_virtual(main())


def test_a_cancelled_run_ends_so_and_is_then_over() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE])) as here:
            guest = await here.guest()
            await guest.start()
            await guest.shown(lambda run: len(text_of(run)) > 5)
            assert (await guest.ask("run.cancel", run_id="r1", reason="enough"))["ok"] is True
            run = await guest.ended()
            assert run.view.end is not None and run.view.end["outcome"] == {"type": "cancelled"}
            assert code(await guest.ask("run.cancel", run_id="r1")) == "run_finished"

    run_virtual(main())


@pytest.mark.parametrize("others", [0, 1])
def test_a_run_may_end_with_the_connections_that_asked_for_it(others: int) -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE])) as here:
            watcher = await here.guest()
            guest, wire = here.come()
            await guest.hello()
            await guest.start(options={"on_disconnect": "cancel"})
            for _ in range(others):
                await (await here.guest()).start(options={"on_disconnect": "cancel"})
            await watcher.attach()
            wire.go()
            end = (await watcher.ended()).view.end
            assert end is not None and end["outcome"]["type"] == ("success" if others else "cancelled")

    run_virtual(main())


def test_silence_is_broken_by_heartbeats_that_tell_what_was_sent() -> None:
    async def main() -> None:
        async with house(ScriptedModel([reply(calls=[call("wait", seconds=40)]), "Done."])) as here:
            guest = await here.guest()
            await guest.start()
            beats = [await guest.until("heartbeat") for _ in range(2)]
            assert [beat["runs"] for beat in beats] == [{"r1": guest.runs["r1"].after}] * 2
            assert beats[1]["t"] - beats[0]["t"] == 15_000
            await guest.ended()
            assert (await guest.until("heartbeat"))["runs"] == {}

    run_virtual(main())


def test_no_hello_in_time_closes() -> None:
    async def main() -> None:
        async with house(ScriptedModel([])) as here:
            _, wire = here.come()
            began = asyncio.get_running_loop().time()
            await here.connections[0]
            assert wire.closed == (4408, "expected hello within 5 s")
            assert asyncio.get_running_loop().time() - began == pytest.approx(5.0)

    run_virtual(main())


def test_somebody_who_takes_too_long_to_know_who_is_there_is_not_waited_for() -> None:
    async def asleep(info: ConnectionInfo, token: str | None) -> str | None:
        await asyncio.sleep(3600)
        return "alice"

    async def main() -> None:
        async with house(ScriptedModel([]), authenticate=asleep) as here:
            guest, wire = here.come()
            await guest.say("hello")
            await here.connections[0]
            assert wire.closed is not None and wire.closed[0] == 4408

    run_virtual(main())


def test_a_token_names_the_principal_and_a_wrong_one_closes() -> None:
    async def known(info: ConnectionInfo, token: str | None) -> str | None:
        return {"t0k3n": "alice"}.get(token or "")

    async def main() -> None:
        async with house(ScriptedModel([]), authenticate=known) as here:
            guest = await here.guest(auth={"token": "t0k3n"})
            assert guest.welcome["principal"] == "alice"
            for auth in ({"token": "wrong"}, None):
                guest, wire = here.come()
                await guest.say("hello", auth=auth)
                await here.connections[-1]
                assert wire.closed == (4401, "not authorized")

    run_virtual(main())


def test_a_principal_has_so_many_connections_and_gets_them_back() -> None:
    async def main() -> None:
        async with house(ScriptedModel([]), settings=ServeSettings(connections=2)) as here:
            first, wire = here.come("alice")
            await first.hello()
            await here.guest("alice")
            await here.guest("bob")
            third, refused = here.come("alice")
            await third.say("hello")
            await here.connections[-1]
            assert refused.closed == (4429, "expected up to 2 connections")
            wire.go()
            await here.connections[0]
            await here.guest("alice")

    run_virtual(main())


def test_a_client_that_reads_nothing_is_put_off_and_nothing_piles_up_for_it() -> None:
    async def main() -> None:
        model = ScriptedModel([reply("x" * 5000, pieces=5000, pause=0.02)])
        async with house(model) as here:
            guest = await here.guest()
            await guest.start()
            slow, wire = here.come()
            await slow.hello()
            await slow.attach()
            await slow.shown(lambda run: len(text_of(run)) > 5)
            wire.stalled = True
            began = asyncio.get_running_loop().time()
            while not here.connections[1].done():
                assert wire.waiting <= 2  # a frame of the run, and at most a heartbeat
                await asyncio.sleep(1)
            assert wire.closed == (4001, "slow consumer")
            assert asyncio.get_running_loop().time() - began == pytest.approx(30, abs=1.1)
            again = await here.guest(resume=[{"run_id": "r1", "epoch": 1, "after": slow.runs["r1"].after}])
            again.runs = slow.runs
            assert text_of(await again.ended()) == text_of(await guest.ended()) == "x" * 5000

    run_virtual(main())

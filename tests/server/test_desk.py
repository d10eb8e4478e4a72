"""The desk: whose runs are whose, how many there may be, and where those are that are over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest

from agentrt import Agent
from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import AnyEvent, Fact, RunEnded, RunStarted, TextDelta
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import UserMessage
from agentrt.server.commands import Command
from agentrt.server.desk import by_name
from agentrt.server.log import Log
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel, reply, run_virtual
from tests.server.client import Json
from tests.server.guest import CLERK, code, house, question, text_of

TALE = reply("Once upon a time there was a tale.", pieces=30, pause=0.1)
LONG = reply("x" * 1000, pieces=1000, pause=0.5)

FOREIGN: dict[str, Json] = {
    "run.start": {"input": question(run="RUN", thread="t2")},
    "run.attach": {"run_id": "RUN"},
    "run.detach": {"run_id": "RUN"},
    "run.cancel": {"run_id": "RUN"},
    "tool.cancel": {"run_id": "RUN", "tool_call_id": "call_1"},
    "approval.respond": {"run_id": "RUN", "approval_id": "call_1", "decision": "approve"},
    "tool.result": {"run_id": "RUN", "tool_call_id": "call_1", "content": "42"},
    "run.steer": {"run_id": "RUN", "message": {"id": "u1", "content": "hi"}},
}
"""Every command, asked of the run RUN."""


def test_every_command_has_a_row_in_the_table_of_foreign_runs() -> None:
    assert {command.__struct_config__.tag for command in get_args(Command)} == set(FOREIGN)


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("when", ["running", "ended", "in the journal only"])
def test_a_foreign_run_does_not_exist(kind: str, when: str) -> None:
    """The reply to a command on it is the one to an id that nobody ever had, and nothing happens to the run."""

    async def main() -> None:
        model = ScriptedModel(lambda body: TALE)
        async with house(model, settings=ServeSettings(replay_ttl=1)) as here:
            alice, eve = await here.guest("alice"), await here.guest("eve")
            await alice.start("Tell.", run="known")
            if when != "running":
                await alice.ended("known")
            if when == "in the journal only":
                await asyncio.sleep(2)
            replies = [
                await eve.ask(kind, **{**FOREIGN[kind], **named(run)}) for run in ("known", "alice/known", "never")
            ]
            if kind == "run.start":
                assert [reply["existing"] for reply in replies] == [False] * 3
                assert (await eve.ended("known")).view.question == ["hi"]
            else:
                assert {code(reply) for reply in replies} == {"no_such_run"}
                assert len({str({**reply, "id": ""}) for reply in replies}) == 1
            if when == "running":
                await alice.ended("known")
            assert alice.runs["known"].view.question == ["Tell."]
            end = alice.runs["known"].view.end
            assert end is not None and end["outcome"] == {"type": "success"}

    def named(run: str) -> Json:
        return {"input": question(run=run, thread="t2")} if kind == "run.start" else {"run_id": run}

    run_virtual(main())


def test_a_foreign_thread_is_another_thread() -> None:
    async def main() -> None:
        model = ScriptedModel(["A secret.", "Nothing."])
        async with house(model) as here:
            alice, eve = await here.guest("alice"), await here.guest("eve")
            await alice.start("Keep this.", thread="t1")
            await alice.ended()
            await eve.start("What was said?", thread="t1")
            await eve.ended()
            assert [m["content"] for m in model.requests[1]["messages"]] == ["What was said?"]

    run_virtual(main())


def test_a_thread_remembers_and_a_client_that_remembers_itself_is_believed() -> None:
    async def main() -> None:
        model = ScriptedModel(["One.", "Two.", "Three."])
        async with house(model) as here:
            guest = await here.guest()
            for n, run in enumerate(("r1", "r2")):
                await guest.start(f"Say {n}.", run=run)
                await guest.ended(run)
            assert [m["content"] for m in model.requests[1]["messages"]] == ["Say 0.", "One.", "Say 1."]
            said = [
                {"id": "1", "role": "user", "content": "a"},
                {"id": "2", "role": "assistant", "content": "b"},
                {"id": "3", "role": "user", "content": "c"},
            ]
            whole = {"threadId": "t1", "runId": "r3", "messages": said}
            await guest.ask("run.start", input=whole, options={"history": "client"})
            await guest.ended("r3")
            assert [m["content"] for m in model.requests[2]["messages"]] == ["a", "b", "c"]
            await asyncio.sleep(400)  # and the journal knows what the client calls its thread
            del guest.runs["r3"]
            await guest.attach("r3")
            assert (await guest.ended("r3")).events[0]["threadId"] == "t1"

    run_virtual(main())


def test_a_second_run_of_a_thread_waits_or_is_refused() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE, "Two."])) as here:
            guest = await here.guest()
            await guest.start(run="r1")
            assert code(await guest.start(run="r2", options={"if_busy": "reject"})) == "run_conflict"
            assert (await guest.start(run="r3", thread="t3", options={"if_busy": "reject"}))["ok"] is True
            waiting = await guest.start(run="r2")
            assert (waiting["epoch"], waiting["next_seq"]) == (1, 1)
            assert text_of(await guest.ended("r1")) in ("Two.", "Once upon a time there was a tale.")
            await here.desk.idle()

    run_virtual(main())


def test_a_principal_has_so_many_active_runs_and_so_has_the_server() -> None:
    async def main() -> None:
        settings = ServeSettings(runs=2, all_runs=3)
        async with house(ScriptedModel(lambda body: TALE), settings=settings) as here:
            alice, bob = await here.guest("alice"), await here.guest("bob")
            for run in ("r1", "r2"):
                assert (await alice.start(run=run, thread=run))["ok"] is True
            refused = await alice.start(run="r3", thread="r3")
            assert (code(refused), refused["error"]["retryable"]) == ("too_many_runs", True)
            assert (await alice.start(run="r1", thread="r1"))["existing"] is True
            assert (await bob.start(run="r1"))["ok"] is True
            assert code(await bob.start(run="r2")) == "too_many_runs"
            await here.desk.idle()
            assert (await alice.start(run="r3", thread="r3"))["ok"] is True

    run_virtual(main())


def test_an_agent_is_named_or_the_first() -> None:
    async def main() -> None:
        agents = (CLERK, Agent(name="poet", model="scripted:verse"))
        model = ScriptedModel(["One.", "Two."])
        async with house(model, agents=agents) as here:
            guest = await here.guest()
            assert guest.welcome["agents"] == ["clerk", "poet"]
            await guest.start(run="r1", agent="poet")
            await guest.ended("r1")
            await guest.start(run="r2")
            await guest.ended("r2")
            assert [body["model"] for body in model.requests] == ["verse", "m"]
            refused = await guest.start(run="r3", agent="nobody")
            assert code(refused) == "no_such_agent" and "clerk, poet" in refused["error"]["message"]

    run_virtual(main())


def test_input_that_cannot_be_used_is_refused_and_its_id_stays_free() -> None:
    async def main() -> None:
        async with house(ScriptedModel(["Yes."])) as here:
            guest = await here.guest()
            assert code(await guest.ask("run.start", input={**question(), "messages": []})) == "invalid_input"
            assert code(await guest.ask("run.start", input={**question(), "tools": [{}]})) == "not_supported"
            assert (await guest.start())["existing"] is False

    run_virtual(main())


def test_deps_are_made_for_each_run_and_their_failure_is_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[tuple[str | None, dict[str, str]]] = []

    async def deps(principal: str | None, metadata: Mapping[str, str]) -> str:
        asked.append((principal, dict(metadata)))
        if principal == "bob":
            raise RuntimeError("no database, and here is its password")
        return "deps"

    async def main() -> None:
        async with house(ScriptedModel(["Yes."]), deps=deps) as here:
            await (await here.guest("alice")).start()
            refused = await (await here.guest("bob")).start()
            assert code(refused) == "internal"
            assert "password" not in refused["error"]["message"]

    run_virtual(main())
    assert asked == [("alice", {}), ("bob", {})]
    assert "no database" in caplog.text


def test_a_run_that_ended_is_shown_as_it_was_seen_and_later_from_the_journal() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE]), settings=ServeSettings(replay_ttl=60)) as here:
            guest = await here.guest()
            await guest.start("Tell.")
            first = (await guest.ended()).view
            await guest.attach()
            assert (await guest.ended()).view == first
            await asyncio.sleep(61)
            await guest.attach()
            assert (await guest.ended()).view.conversation == first.conversation
            half = guest.runs["r1"]
            half.after, half.events = 5, []
            await guest.attach(cursor=half)
            assert (await guest.ended()).snapshots == 1
            assert half.view.conversation == first.conversation
            assert (await guest.start("Tell."))["existing"] is True

    run_virtual(main())


def test_no_runs_are_begun_while_the_server_drains_and_those_that_are_can_be_seen() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE])) as here:
            guest = await here.guest()
            await guest.start()
            here.desk.draining = True
            refused = await guest.start(run="r2")
            assert (code(refused), refused["error"]["retryable"]) == ("draining", True)
            assert (await guest.start(run="r1"))["existing"] is True
            assert text_of(await guest.ended()) == "Once upon a time there was a tale."

    run_virtual(main())


# ---- taking over -------------------------------------------------------------------------------


async def left_behind(journal: MemoryJournal, *facts: Fact) -> None:
    """Runs as a process that died leaves them."""
    for fact in facts:
        assert isinstance(fact, RunStarted)
        epoch = await journal.take(fact.run_id)
        await journal.append(fact.run_id, epoch, fact)


def started(run: str, agent: str = "clerk", **fields: Any) -> RunStarted:
    asked = (UserMessage("Tell."),)
    stamp: Json = {"epoch": 1, "seq": 1, "ends_at": 9e9}
    return RunStarted(**stamp, run_id=run, agent=agent, model="scripted:m", messages=asked, **fields)


def test_what_a_process_left_unfinished_is_taken_over_and_shown_with_a_new_epoch() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await left_behind(journal, started("alice/r1", principal="alice", thread="alice/t1"))
        async with house(ScriptedModel([TALE]), journal=journal) as here:
            alice = await here.guest("alice", resume=[{"run_id": "r1", "epoch": 1, "after": 9}])
            run = await alice.ended()
            assert (run.snapshots, run.epoch) == (1, 2)
            assert (run.view.question, text_of(run)) == (["Tell."], "Once upon a time there was a tale.")
            assert run.events[0]["threadId"] == "t1"
            assert code(await (await here.guest("eve")).attach("r1")) == "no_such_run"

    run_virtual(main())


def test_a_viewer_of_a_run_that_is_taken_over_and_has_to_wait_gets_the_new_epoch_too() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await left_behind(journal, started("r1", thread="t1"), started("r2", thread="t1"))
        async with house(ScriptedModel([TALE, "Two."]), journal=journal) as here:
            guest = await here.guest(resume=[{"run_id": "r2", "epoch": 1, "after": 9}])
            run = await guest.ended("r2")
            assert (run.snapshots, run.epoch, text_of(run)) == (1, 2, "Two.")

    run_virtual(main())


def test_a_run_is_its_principals_whatever_its_id() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await left_behind(journal, started("r1", principal="alice"), started("r2", principal="alice", agent="poet"))
        async with house(ScriptedModel([TALE]), journal=journal) as here:
            guest = await here.guest()
            assert [code(await guest.attach(run)) for run in ("r1", "r2")] == ["no_such_run"] * 2

    run_virtual(main())


def test_a_run_whose_agent_is_not_served_is_left_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await left_behind(journal, started("r1", agent="poet"), started("r2"))
        async with house(ScriptedModel([TALE]), journal=journal) as here:
            guest = await here.guest()
            await guest.attach("r2")
            assert text_of(await guest.ended("r2")) == "Once upon a time there was a tale."
            assert (await guest.attach("r1"))["ok"] is True
            end = (await guest.ended("r1")).view.end
            assert end is not None and (end["type"], end["code"]) == ("RUN_ERROR", "internal")
            assert [row.run_id for row in await journal.runs(unfinished=True)] in (["r1"], ["r1", "r2"])

    run_virtual(main())
    assert 'run r1 is left unfinished: its agent "poet" is not served here' in caplog.text


def test_deps_that_fail_leave_one_run_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def deps(principal: str | None, metadata: Mapping[str, str]) -> None:
        if principal == "bob":
            raise RuntimeError("not now")

    async def main() -> None:
        journal = MemoryJournal()
        await left_behind(journal, started("bob/r1", principal="bob"), started("alice/r1", principal="alice"))
        async with house(ScriptedModel([TALE]), journal=journal, deps=deps) as here:
            await here.desk.idle()
            ends = {run: isinstance((await journal.read(run))[-1], RunEnded) for run in ("bob/r1", "alice/r1")}
            assert ends == {"bob/r1": False, "alice/r1": True}

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert "run bob/r1 is left unfinished" in caplog.text


class Full(MemoryJournal):
    """Keeps two facts and no more."""

    kept = 0

    def append(self, run_id: str, epoch: int, fact: Fact) -> asyncio.Future[None]:
        self.kept += 1
        if self.kept > 2:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(JournalFailed("the disk is full"))
            return failed
        return super().append(run_id, epoch, fact)


def test_a_run_whose_facts_cannot_be_kept_is_shown_to_have_failed() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE]), journal=Full()) as here:
            guest = await here.guest()
            await guest.start()
            end = (await guest.ended()).view.end
            assert end is not None and (end["type"], end["code"]) == ("RUN_ERROR", "internal")
            assert here.desk.active == 0

    run_virtual(main())


class Blind(MemoryJournal):
    """Cannot be read."""

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        raise JournalFailed("the disk is on fire")


def test_a_journal_that_cannot_be_read_is_a_refusal_and_not_the_end_of_the_connection() -> None:
    async def main() -> None:
        async with house(ScriptedModel([TALE]), journal=Blind()) as here:
            guest = await here.guest()
            refused = await guest.attach()
            assert code(refused) == "internal" and "fire" not in refused["error"]["message"]
            await guest.say("ping", t=1)
            await guest.until("pong", t=1)

    run_virtual(main())


def test_a_run_that_cannot_be_shown_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Log.take

    def broken(log: Log, events: Sequence[AnyEvent]) -> None:
        if any(isinstance(event, TextDelta) and "bug" in event.text for event in events):
            raise RuntimeError("a bug")
        take(log, events)

    monkeypatch.setattr(Log, "take", broken)

    async def main() -> None:
        async with house(ScriptedModel([reply("a bug", pieces=1), TALE])) as here:
            guest = await here.guest()
            await guest.start(run="r1")
            end = (await guest.ended("r1")).view.end
            assert end is not None and (end["type"], end["code"]) == ("RUN_ERROR", "internal")
            await here.runtime.journal.read("r1")
            await guest.start(run="r2", thread="t2")
            assert text_of(await guest.ended("r2")) == "Once upon a time there was a tale."
            assert here.desk.active == 0

    run_virtual(main())


@pytest.mark.parametrize("agents", [[], [CLERK, CLERK], ["clerk"], [CLERK, None]])
def test_what_is_served_are_agents_with_names_of_their_own(agents: Any) -> None:
    with pytest.raises(SettingInvalid, match="serve"):
        by_name(agents)

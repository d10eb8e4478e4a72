"""`agentrt runs` as a person meets it, over a journal that runs have written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agentrt import Agent, Runtime, run, tool
from agentrt.cli.main import main
from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import (
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    ClientAsked,
    Fact,
    HandedOff,
    MessageAdded,
    ModelReplied,
    OutputRejected,
    RunResumed,
    RunStarted,
    Steered,
    Summarised,
)
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import AssistantMessage, ToolCall, Usage, UserMessage
from agentrt.testing import ScriptedModel, call, reply

ESCAPE = "\x1b]0;yours\x07"


@tool
async def stock(sku: str) -> str:
    """Units left."""
    return f"3\n{ESCAPE}"


CLERK: Agent[None] = Agent(name="clerk", model="openai:scripted", tools=[stock])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with two runs that ended and one that did not."""

    async def write() -> None:
        model = ScriptedModel([reply(calls=[call("stock", sku="A")]), reply("Three."), reply("Yes.")])
        async with Runtime(providers=[model.provider("openai")], journal=f"sqlite:{tmp_path}/chat.db"):
            await run(CLERK, "How many?", thread="t1")
            await run(CLERK, "Sure?", thread="t2")
        journal = SqliteJournal(tmp_path / "chat.db")
        epoch = await journal.take("zz")
        started = RunStarted(run_id="zz", agent="x", model="p:m", messages=(), ends_at=1.0, seq=1, at=86400.0)
        await journal.append("zz", epoch, started)
        epoch = await journal.take("zz")
        await journal.append("zz", epoch, RunResumed(epoch=epoch, seq=2, at=86402.5))
        await journal.aclose()

    asyncio.run(write())
    return tmp_path / "chat.db"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    code = main(["runs", *arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert isinstance(out, str)
    return out.splitlines()


def test_runs_are_listed_in_the_order_in_which_they_started(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = said(capsys, "list", "--journal", str(path))
    assert head.split() == ["RUN", "STARTED", "OUTCOME", "AGENT", "THREAD"]
    assert [row.split()[3:] for row in rows] == [
        ["success", "clerk", "t1"],
        ["success", "clerk", "t2"],
        ["unfinished", "x"],
    ]
    assert (
        rows[2].startswith("zz ") and f"{datetime.fromtimestamp(86400, UTC).astimezone():%Y-%m-%d %H:%M:%S}" in rows[2]
    )


def test_a_run_that_rests_until_a_person_decides_is_listed_as_waiting(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = AssistantMessage(tool_calls=(ToolCall("c1", "sell"),))
    facts: list[Fact] = [
        RunStarted(run_id="w", agent="x", model="p:m", messages=(), ends_at=1.0, seq=1),
        ModelReplied(message_id="m1", message=calls, finish="tool_calls", usage=Usage(), seq=2),
        ApprovalAsked(call_id="c1", name="sell", arguments="{}", seq=3),
    ]

    async def write() -> None:
        journal = SqliteJournal(path)
        epoch = await journal.take("w")
        for fact in facts:
            await journal.append("w", epoch, fact)
        await journal.aclose()

    asyncio.run(write())
    outcomes = [row.split()[3] for row in said(capsys, "list", "--journal", str(path))[1:]]
    assert outcomes == ["success", "success", "unfinished", "waiting"]


def test_every_kind_of_fact_says_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts: list[tuple[Fact, str]] = [
        (RunStarted(run_id="r", agent="x", model="p:m", messages=(), ends_at=1.0), "x on p:m: "),
        (Steered(message=UserMessage("Quick!")), "Quick!"),
        (MessageAdded(message=UserMessage("Quick!")), "Quick!"),
        (ApprovalAsked(call_id="c1", name="sell", arguments='{"n": 1}'), 'sell {"n": 1}'),
        (ApprovalGiven(call_id="c1", approved=True, by="ada"), "c1 approved by ada"),
        (ApprovalGiven(call_id="c2", approved=False, reason="too dear"), "c2 denied: too dear"),
        (ClientAsked(call_id="c3", name="pick", arguments="{}"), "pick {}"),
        (OutputRejected(message="no number"), "no number"),
        (HandedOff(agent="porter"), "porter"),
        (Summarised(text="so far", covers=4), "4 messages: so far"),
        (CancelAsked(mode="after_turn", reason="enough"), "after_turn: enough"),
        (CancelAsked(call_id="c1"), "now, c1"),
    ]

    async def write() -> None:
        journal = SqliteJournal(tmp_path / "r.db")
        epoch = await journal.take("r")
        for seq, (fact, _) in enumerate(facts, 1):
            await journal.append("r", epoch, msgspec.structs.replace(fact, seq=seq))
        await journal.aclose()

    asyncio.run(write())
    told = said(capsys, "show", "r", "--journal", str(tmp_path / "r.db"))
    for line, (_, ending) in zip(told, facts, strict=True):
        assert line.endswith(ending.rstrip())


def test_runs_are_chosen_by_thread_and_by_whether_they_ended(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = said(capsys, "list", "--journal", f"sqlite:{path}", "--thread", "t2", "--json")
    assert [json.loads(row)["thread"] for row in one] == ["t2"]
    assert [row.split()[0] for row in said(capsys, "list", "--journal", str(path), "--unfinished")[1:]] == ["zz"]


def test_a_run_is_told_fact_by_fact_and_sends_nothing_to_the_terminal(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = said(capsys, "list", "--journal", str(path))[1].split()[0]
    told = said(capsys, "show", run_id[:12], "--journal", str(path))
    kinds = ["RunStarted", "ModelReplied", "ToolStarted", "ToolReturned", "ModelReplied", "RunEnded"]
    assert [re.split(" +", line.strip())[2] for line in told] == kinds
    assert told[0].endswith("clerk on openai:scripted, thread t1: How many?")
    assert told[3].endswith("ms: 3 \ufffd]0;yours\ufffd")
    assert told[4].endswith("stop: Three.")
    facts = [json.loads(line) for line in said(capsys, "show", run_id, "--json", "--journal", str(path))]
    assert [fact["type"] for fact in facts] == kinds


def test_a_run_that_was_resumed_says_when_and_in_which_epoch(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resumed = said(capsys, "show", "zz", "--journal", str(path))[1]
    assert resumed.split()[:3] == ["2.500", "s", "RunResumed"]
    assert resumed.endswith(f"{datetime.fromtimestamp(86402, UTC).astimezone():%Y-%m-%d %H:%M:%S}, epoch 2")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["show", "nobody"], 'no run of this journal begins with "nobody"'),
        (["show", ""], '3 runs of this journal begin with ""'),
        (["list", "--journal", "elsewhere.db"], 'there is no journal "elsewhere.db"'),
        (["list", "--journal", "."], "is a folder: a journal is a file"),
        (["list", "--journal", __file__], "is not an SQLite database"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_exit_code_1(
    arguments: list[str], why: str, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    before = sorted(path.parent.iterdir())
    more = [] if "--journal" in arguments else ["--journal", str(path)]
    assert main(["runs", *arguments, *more]) == 1
    assert why in capsys.readouterr().err.removesuffix("\n")
    assert sorted(path.parent.iterdir()) == before


def test_a_reader_that_has_seen_enough_ends_the_listing_quietly(path: Path) -> None:
    command = [sys.executable, "-m", "agentrt.cli.main", "runs", "list", "--journal", str(path)]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_runtime_takes_a_journal_by_its_address(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"sqlite:chat\.db"):
        Runtime(journal="chat.db")

    async def ask() -> None:
        model = ScriptedModel([reply("never")])
        async with Runtime(providers=[model.provider("openai")], journal=f"sqlite:{tmp_path}"):
            await run(CLERK, "How many?")

    with pytest.raises(JournalFailed, match="is a folder"):
        asyncio.run(ask())

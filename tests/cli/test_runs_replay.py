"""`agentrt runs replay` and `resume` as a person meets them, over a journal that a run has written."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agentrt import Agent, Runtime, tool
from agentrt.cli.main import main
from agentrt.cli.replay import Pace, retold
from agentrt.errors import SettingInvalid
from agentrt.events import Fact, ModelReplied, RunEnded, RunResumed, RunStarted, TextDelta
from agentrt.journal.sqlite import SqliteJournal
from agentrt.local.wire import serve
from agentrt.testing import ScriptedModel, call, reply, run_virtual

SHOP = '''
from agentrt import Agent, Budget, tool

@tool(effect="read")
async def stock(sku: str) -> int:
    """Units left."""
    return {"A-1207": 3}[sku]

clerk = Agent(name="clerk", model="openai:gpt-5-mini", tools=[stock])
brief = Agent(name="clerk", model="openai:gpt-5-mini", tools=[stock], budget=Budget(turns=1))
porter = Agent(name="porter", model="openai:gpt-5-mini")
'''

TURNS = [
    reply("Let me see.", calls=[call("stock", call_id="c1", sku="A-1207")]),
    reply("Three are left."),
]


@tool(effect="read")
async def stock(sku: str) -> int:
    """Units left."""
    return 3


async def whole(path: Path) -> Sequence[Fact]:
    """Let a run live in the journal; its facts."""
    agent: Agent[None] = Agent(name="clerk", model="openai:gpt-5-mini", tools=[stock])
    async with Runtime(providers=[ScriptedModel(TURNS).provider("openai")], journal=f"sqlite:{path}") as runtime:
        await runtime.start(agent, "How many A-1207?", run_id="whole", thread="t1").answer()
        return await runtime.journal.read("whole")


async def cut_off(path: Path, facts: Sequence[Fact]) -> None:
    """Leave a run "cut" in the journal, of which these facts were kept."""
    journal = SqliteJournal(path)
    epoch = await journal.take("cut")
    for fact in facts:
        kept = replace(fact, run_id="cut", thread=None, ends_at=4e9) if isinstance(fact, RunStarted) else fact
        await journal.append("cut", epoch, kept)
    await journal.aclose()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with shop.py and a journal: a run that ended, and one that was cut off before its tool returned."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)

    async def write() -> None:
        facts = await whole(tmp_path / "chat.db")
        await cut_off(tmp_path / "chat.db", facts[:3])

    asyncio.run(write())
    return tmp_path


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["runs", *arguments, "--journal", "chat.db"])
    out, err = capsys.readouterr()
    return code, out, err


def process(folder: Path, *arguments: str) -> Callable[..., Any]:
    async def run(model: ScriptedModel, during: Callable[[Any], Any] | None = None) -> tuple[int, str, str]:
        async with serve(model.faults) as server:
            started = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agentrt.cli.main", "runs", *arguments, "--journal", "chat.db",
                cwd=folder,
                env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "k"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )  # fmt: skip
            if during is not None:
                await during(started)
            out, err = await started.communicate()
            return started.returncode or 0, out.decode(), err.decode()

    return run


# ---- replay ----------------------------------------------------------------------------------------


def test_a_run_is_replayed_as_it_was_seen(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "replay", "who")
    assert (code, err) == (0, "")
    words, rest = out.split("  stock: ok, ")
    assert words.strip() == "Let me see."
    assert "Three are left." in rest
    assert "2 turns, 1 tool call, " in rest


def test_a_run_that_was_cut_off_is_replayed_up_to_there(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "replay", "cut")
    assert (code, out.strip()) == (0, "Let me see.")


def test_the_pace_is_that_of_the_run_or_as_many_times_as_fast() -> None:
    async def main() -> None:
        pace = Pace(4)
        loop = asyncio.get_running_loop()
        await pace.until(1_000_000)
        began = loop.time()
        for at, seconds in ((1_000_008, 2), (1_000_004, 2), (1_000_020, 5)):  # one that is late is not waited for
            await pace.until(at)
            assert loop.time() - began == pytest.approx(seconds)
            assert pace.now() == pytest.approx(1_000_000 + 4 * seconds)

    run_virtual(main())


def test_a_replay_may_keep_time(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "replay", "whole", "--speed", "100")[0] == 0
    code, _, err = command(capsys, "replay", "whole", "--speed", "0")
    assert code == 1 and "--speed 0: expected more than 0 times as fast" in err


def test_the_time_in_which_nobody_had_the_run_is_left_out_and_each_reply_is_told_before_it_is_whole(
    tmp_path: Path,
) -> None:
    facts = asyncio.run(whole(tmp_path / "chat.db"))
    at = [10.0, 11.0, 11.0, 12.0, 14.0, 15.0]
    timed = [replace(fact, at=moment) for fact, moment in zip(facts, at, strict=True)]
    timed[4:4] = [RunResumed(epoch=2, at=1_000.0), RunResumed(epoch=3, at=3_000.0)]
    timed[6:] = [replace(fact, at=fact.at + 3_000.0 - 12.0) for fact in timed[6:]]
    shown = list(retold(timed))
    assert [event.at - shown[-1].at for event in shown] == [-5, -4, -4, -4, -3, -3, -3, -1, -1, 0]
    assert shown[-1].at == timed[-1].at  # what comes live after it goes on from there
    for text, replied in pairwise(shown):
        if isinstance(replied, ModelReplied):
            assert isinstance(text, TextDelta) and text.text == replied.message.content


def test_a_call_that_was_cut_off_and_began_again_is_told_once(tmp_path: Path) -> None:
    facts = asyncio.run(whole(tmp_path / "chat.db"))
    again = [*facts[:3], RunResumed(epoch=2, at=facts[2].at + 60), *facts[2:]]
    started, returned = [type(fact) for fact in facts[2:4]]
    assert [type(event) for event in retold(again)] == [
        RunStarted, TextDelta, ModelReplied, RunResumed, started, returned, TextDelta, ModelReplied, RunEnded,
    ]  # fmt: skip


def test_each_move_is_decided_again(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "replay", "whole", "--check", "shop:clerk")
    assert (code, err) == (0, "")
    assert [line.split(maxsplit=1)[1].split(" -> ") for line in out.splitlines()] == [
        ["RunStarted    ", "ask the model"],
        ["ModelReplied  ", "call stock"],
        ["ToolStarted   ", "call stock"],
        ["ToolReturned  ", "ask the model"],
        ["ModelReplied  ", "end: success"],
        ["RunEnded"],
    ]


def test_the_first_fact_that_does_not_follow_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(
        capsys, "replay", "whole", "--check", "shop:brief"
    )  # one turn only: the second is too much
    assert code == 1
    assert len(out.splitlines()) == 4
    assert "does not follow: the model replied, where the next move was to end: budget" in err
    code, _, err = command(capsys, "replay", "whole", "--check", "shop:porter")
    assert code == 1 and 'the run is of agent "clerk"; "shop:porter" has "porter"' in err


# ---- resume ----------------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_is_carried_on_and_shown_from_its_beginning(shop: Path) -> None:
    async def main() -> tuple[int, str, str, Sequence[Fact]]:
        code, out, err = await process(shop, "resume", "cu", "shop:clerk")(ScriptedModel(TURNS[1:]))
        journal = SqliteJournal(shop / "chat.db")
        facts = await journal.read("cut")
        await journal.aclose()
        return code, out, err, facts

    code, out, err, facts = asyncio.run(main())
    assert (code, err) == (0, "")
    assert out.index("Let me see.") < out.index("stock: ok") < out.index("Three are left.")
    assert "2 turns, 1 tool call," in out
    ended = facts[-1]
    assert isinstance(ended, RunEnded) and ended.outcome == "success"


def test_a_resumed_run_that_is_interrupted_can_be_resumed_again(shop: Path) -> None:
    async def main() -> None:
        async def interrupt(started: Any) -> None:
            while b"Three" not in (await started.stdout.readline()):
                pass
            started.send_signal(signal.SIGINT)

        model = ScriptedModel([reply("Three\nare left.", pieces=15, pause=0.3)])
        code, _, err = await process(shop, "resume", "cut", "shop:clerk")(model, interrupt)
        assert code == 130, err
        code, out, _ = await process(shop, "resume", "cut", "shop:clerk")(ScriptedModel(TURNS[1:]))
        assert code == 0 and "Three are left." in out
        code, _, err = await process(shop, "resume", "cut", "shop:clerk")(ScriptedModel([]))
        assert code == 1 and "has ended (success)" in err

    asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nobody", "shop:clerk"], 'no run of this journal begins with "nobody"'),
        (["whole", "shop:clerk"], "has ended (success): there is nothing to resume"),
        (["cut", "shop:porter"], 'the run is of agent "clerk"'),
        (["cut", "nowhere:clerk"], '"nowhere" cannot be imported'),
    ],
)
def test_what_cannot_be_resumed_is_one_line_and_stays_as_it_was(
    arguments: list[str],
    why: str,
    shop: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    code, out, err = command(capsys, "resume", *arguments)
    assert (code, out) == (1, "")
    assert why in err.removesuffix("\n") and "\n" not in err.removesuffix("\n")
    assert "unfinished" in command(capsys, "list")[1]


def test_a_speed_is_more_than_zero() -> None:
    async def main() -> None:
        for speed in (0.0, -1.0, float("inf"), float("nan")):
            with pytest.raises(SettingInvalid, match="--speed"):
                Pace(speed)

    run_virtual(main())

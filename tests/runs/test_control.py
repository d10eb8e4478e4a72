"""Reaching into a run that goes on: milder cancels, one call stopped alone, something said into it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentrt import UserMessage, tool
from agentrt.errors import RunCancelled, SettingInvalid
from agentrt.events import CancelAsked, MessageAdded, ModelReplied, Steered, StopMode, ToolReturned
from agentrt.messages import Answer, AssistantMessage
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, LateJournal, assert_valid, assert_whole, clerk, now, results, wait, world

CALLS = reply("Let me see.", calls=[call("wait", seconds=1.0), call("wait", seconds=3.0)], pause=0.25)
"""Takes 2 s to write, text after 0.25; the calls then run until 3 and 5 s."""

TEXT = reply("It is done.", pieces=3, pause=1.0)
"""Takes 5 s to write, text after 1, 2 and 3 s."""


def told(run: Run, at: float, say: Callable[[], object]) -> Awaitable[Answer]:
    """The answer of a run into which something is said after so long."""

    async def main() -> Answer:
        await asyncio.sleep(at)
        say()
        return await run.answer()

    return main()


async def cancelled(run: Run, at: float, mode: StopMode) -> tuple[Answer, float]:
    with pytest.raises(RunCancelled, match="enough") as failed:
        await told(run, at, lambda: run.cancel("enough", mode=mode))
    assert_valid(failed.value.answer.messages)
    return failed.value.answer, now()


@pytest.mark.parametrize(
    ("mode", "at", "ends", "turns", "texts"),
    [
        ("now", 0.5, 0.5, 1, []),
        ("now", 3.5, 3.5, 1, ["waited 1.0", "The call was stopped: enough."]),
        ("after_tools", 0.5, 0.5, 1, []),
        ("after_tools", 3.5, 5.0, 1, ["waited 1.0", "waited 3.0"]),
        ("after_turn", 0.5, 5.0, 1, ["waited 1.0", "waited 3.0"]),
        ("after_turn", 3.5, 5.0, 1, ["waited 1.0", "waited 3.0"]),
        ("after_tools", 6.5, 6.5, 2, ["waited 1.0", "waited 3.0"]),
    ],
)
def test_a_cancel_lets_go_on_what_its_mode_says(
    mode: StopMode, at: float, ends: float, turns: int, texts: list[str]
) -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, TEXT])) as runtime:
            answer, ended = await cancelled(runtime.start(CLERK, "Wait."), at, mode)
            assert ended == pytest.approx(ends)
            assert results(answer.messages) == texts
            assert sum(isinstance(message, AssistantMessage) for message in answer.messages) == turns

    run_virtual(main())


def test_a_run_that_answers_before_its_cancel_is_due_is_a_success() -> None:
    async def main() -> None:
        async with world(ScriptedModel([TEXT])) as runtime:
            run = runtime.start(CLERK, "Wait.")
            answer = await told(run, 0.5, lambda: run.cancel(mode="after_turn"))
            assert answer.output == "It is done."

    run_virtual(main())


def test_a_milder_cancel_is_followed_by_a_stricter_one_but_not_the_other_way_round() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, TEXT])) as runtime:
            run = runtime.start(CLERK, "Wait.")
            await asyncio.sleep(0.5)
            for mode in ("after_turn", "after_turn", "after_tools", "after_turn", "now", "after_tools"):
                run.cancel(mode, mode=mode)
            await run.wait()
            asked = [event.mode async for event in run.events() if isinstance(event, CancelAsked)]
            assert asked == ["after_turn", "after_tools", "now"]
            assert now() == 0.5

    run_virtual(main())


def test_a_run_that_waits_in_its_thread_has_nothing_to_let_through() -> None:
    async def main() -> None:
        model = ScriptedModel([TEXT])
        async with world(model) as runtime:
            first, second = (runtime.start(CLERK, "Wait.", thread="t") for _ in range(2))
            _, ended = await cancelled(second, 0.5, "after_turn")
            assert ended == 0.5
            assert (await first.answer()).output == "It is done."
            assert len(model.requests) == 1

    run_virtual(main())


def test_one_call_is_stopped_and_the_run_goes_on() -> None:
    async def main() -> None:
        model = ScriptedModel([CALLS, TEXT])
        async with world(model) as runtime:
            run = runtime.start(CLERK, "Wait.")
            await asyncio.sleep(2.5)
            assert [one.id for one in run.state.open_calls] == ["call_1", "call_2"]
            run.cancel_call("call_2", "too slow")
            run.cancel_call("call_2", "again")
            landed = [event async for event in run.events() if isinstance(event, ToolReturned)]
            assert [(one.call_id, one.status) for one in landed] == [("call_2", "cancelled"), ("call_1", "ok")]
            answer = await run.answer()
            assert results(answer.messages) == ["waited 1.0", "The call was stopped: too slow."]
            assert landed[1].at - landed[0].at == pytest.approx(0.5)
            assert_whole(await runtime.journal.read(run.run_id))

    run_virtual(main())


def test_who_stops_a_call_that_does_not_run_is_told_which_do() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, TEXT])) as runtime:
            run = runtime.start(CLERK, "Wait.")
            await asyncio.sleep(2.5)
            with pytest.raises(SettingInvalid, match='no call "call_9" runs; calls without a result: call_1, call_2'):
                run.cancel_call("call_9")
            await run.wait()
            with pytest.raises(SettingInvalid, match="calls without a result: none"):
                run.cancel_call("call_1")

    run_virtual(main())


def test_a_call_that_will_not_stop_is_named_and_the_run_goes_on() -> None:
    @tool
    async def stubborn() -> str:
        """Does not stop."""
        for _ in range(3):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue
        return "late"

    async def main() -> None:
        async with world(ScriptedModel([reply(calls=[call("stubborn")]), "Well."])) as runtime:
            run = runtime.start(clerk(stubborn), "Go.")
            await asyncio.sleep(1.0)
            run.cancel_call("call_1")
            assert (await run.answer()).output == "Well."
            assert now() == pytest.approx(3.0)  # the grace
            assert runtime.stragglers == ("stubborn",)
            await asyncio.sleep(60)

    run_virtual(main())


# ---- steering ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.5, 2.5, 6.5])
def test_what_is_said_into_a_run_joins_it_at_the_next_step(at: float) -> None:
    async def main() -> None:
        model = ScriptedModel([CALLS, TEXT, reply("Only 2026.")])
        async with world(model) as runtime:
            run = runtime.start(CLERK, "Wait.")
            answer = await told(run, at, lambda: run.steer("Only 2026, please."))
            assert_valid(answer.messages)
            said = answer.messages.index(UserMessage("Only 2026, please."))
            # Before the first reply it comes to the model with its results; during the second, after it.
            assert said == {0.0: 1, 0.5: 4, 2.5: 4, 6.5: 5}[at]
            assert answer.output == ("Only 2026." if at == 6.5 else "It is done.")
            assert_whole(await runtime.journal.read(run.run_id))

    run_virtual(main())


def test_what_is_said_now_stops_the_reply_and_what_was_shown_of_it_stays() -> None:
    async def main() -> None:
        model = ScriptedModel([TEXT, reply("Of course.")])
        async with world(model) as runtime:
            run = runtime.start(CLERK, "Wait.")
            answer = await told(run, 1.5, lambda: run.steer("Shorter!", when="now"))
            assert [type(message).__name__ for message in answer.messages] == [
                *("UserMessage", "AssistantMessage", "UserMessage", "AssistantMessage")
            ]
            cut = answer.messages[1]
            assert isinstance(cut, AssistantMessage)
            assert "It is done.".startswith(cut.content)
            assert cut.content
            assert (answer.output, now(), model.cut) == ("Of course.", 1.5, 1)
            facts = [event async for event in run.events() if isinstance(event, Steered | MessageAdded | ModelReplied)]
            assert [type(fact) for fact in facts] == [Steered, ModelReplied, MessageAdded, ModelReplied]

    run_virtual(main())


def test_what_is_said_now_stops_the_calls_that_run_and_keeps_the_results_that_are_there() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, reply("Of course.")])) as runtime:
            run = runtime.start(CLERK, "Wait.")
            answer = await told(run, 3.5, lambda: run.steer("Stop waiting!", when="now"))
            assert results(answer.messages) == ["waited 1.0", "The call was stopped: the user said something new."]
            assert (answer.output, now()) == ("Of course.", 3.5)

    run_virtual(main())


def test_a_run_that_is_over_or_about_to_be_hears_nothing() -> None:
    async def main() -> None:
        async with world(ScriptedModel([CALLS, TEXT])) as runtime:
            run = runtime.start(CLERK, "Wait.")
            await asyncio.sleep(0.5)
            with pytest.raises(SettingInvalid, match="empty"):
                run.steer("")
            run.cancel(mode="after_turn")
            with pytest.raises(SettingInvalid, match="is over or about to be"):
                run.steer("And?")
            await run.wait()
            with pytest.raises(SettingInvalid, match="is over or about to be"):
                run.steer("And?")

    run_virtual(main())


@pytest.mark.parametrize("say", [lambda run: run.steer("And?", when="now"), lambda run: run.cancel(mode="after_tools")])
@pytest.mark.parametrize("journal", [None, 0.004])
def test_whatever_step_something_is_said_at_the_conversation_is_valid(
    say: Callable[[Run], Any], journal: float | None
) -> None:
    def said_at(n: int) -> bool:
        async def main() -> bool:
            settings: dict[str, Any] = {} if journal is None else {"journal": LateJournal(journal)}
            model = ScriptedModel(lambda asked: TEXT if any(m["role"] == "tool" for m in asked["messages"]) else CALLS)
            async with world(model, **settings) as runtime:
                run = runtime.start(clerk(wait), "Wait.")
                came = list[bool]()

                def do() -> None:
                    came.append(run.state.ended is None)
                    try:
                        say(run)
                    except SettingInvalid:
                        came[0] = False  # too late

                asyncio.get_running_loop().at_step(n, do)  # type: ignore[attr-defined]
                try:
                    answer = await run.answer()
                except RunCancelled as failed:
                    answer = failed.answer
                assert_valid(answer.messages)
                assert_whole(await runtime.journal.read(run.run_id))
            return came == [True]

        return run_virtual(main())

    n = 1
    while said_at(n):
        n += 1
    assert n > 40


def test_a_run_is_steered_and_its_calls_stopped_on_the_real_loop_from_any_thread() -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply(calls=[call("wait", seconds=60)]), "Done."])) as runtime:
            run = runtime.start(CLERK, "Wait.")
            async for event in run.events():
                if event.__class__.__name__ == "ToolStarted":
                    thread = threading.Thread(target=run.cancel_call, args=("call_1",))
                    thread.start()
            assert results((await run.answer()).messages) == ["The call was stopped: somebody asked for that."]

    asyncio.run(main())

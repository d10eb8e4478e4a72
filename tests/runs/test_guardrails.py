"""Guardrails look at what is asked and at what is answered; one that trips lets nothing more happen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from agentrt import Agent, Answer, Budget, Context, Runtime, run, stream, tool
from agentrt.errors import (
    BudgetExceeded,
    GuardrailTripped,
    ProviderFailed,
    RunCancelled,
    SettingInvalid,
    ToolError,
    Tripped,
)
from agentrt.events import RunEnded, RunStarted, TextDelta, ToolStarted
from agentrt.guardrails import guardrail
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, Message, UserMessage, text_of
from agentrt.testing import InlineThreads, ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import assert_valid, assert_whole, left_behind, now, results, virtual_loop, wait, world

LONG = reply("a long story", pieces=12, pause=1.0)


@tool(effect="read")
async def look() -> str:
    """Look."""
    return "looked"


@guardrail(on="input")
async def slow_pass(text: str, context: Context) -> None:
    await asyncio.sleep(2)


@guardrail(on="input")
async def slow_trip(text: str, context: Context) -> None:
    await asyncio.sleep(2)
    raise Tripped(f"about {text!r}")


@guardrail(on="output")
async def no_numbers(text: str, context: Context) -> Tripped | None:
    return Tripped("a number") if any(c.isdigit() for c in text) else None


def clerk(*guardrails: Any, **more: Any) -> Agent[Any, Any]:
    return Agent(name="clerk", model="openai:scripted", tools=[wait, look], guardrails=guardrails, **more)


def ask(
    model: ScriptedModel, agent: Agent[Any, Any], input: str | Sequence[Message] = "Go.", **options: Any
) -> Answer[Any]:
    async def main() -> Answer[Any]:
        async with world(model, threads=InlineThreads()):
            return await run(agent, input, **options)

    return run_virtual(main())


def tripped(model: ScriptedModel, agent: Agent[Any, Any], input: str | Sequence[Message] = "Go.") -> GuardrailTripped:
    with pytest.raises(GuardrailTripped) as failed:
        ask(model, agent, input)
    assert failed.value.reason == "guardrail"
    assert failed.value.answer.output == ""
    return failed.value


# ---- input --------------------------------------------------------------------------------------------


def test_an_input_that_passes_costs_no_time() -> None:
    async def main() -> float:
        async with world(ScriptedModel([LONG])):
            began = now()
            assert (await run(clerk(slow_pass), "Go.")).output == "a long story"
            return now() - began

    async def without() -> float:
        async with world(ScriptedModel([LONG])):
            began = now()
            await run(clerk(), "Go.")
            return now() - began

    assert run_virtual(main()) == pytest.approx(run_virtual(without()))


def test_an_input_that_trips_cuts_the_reply_and_ends_the_run() -> None:
    model = ScriptedModel([LONG])

    async def main() -> None:
        async with world(model):
            began = now()
            async with stream(clerk(slow_trip), "Go.") as running:
                events = [event async for event in running]
                assert now() - began == pytest.approx(2.0, abs=0.1)
                with pytest.raises(GuardrailTripped, match=r"guardrail \"slow_trip\" tripped: about 'Go\.'") as failed:
                    await running.answer()
        assert failed.value.answer.output == ""
        ended = events[-1]
        assert isinstance(ended, RunEnded)
        assert (ended.outcome, ended.code) == ("failed", "guardrail")
        assert model.cut == 1
        shown = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert text_of(failed.value.answer.messages[-1]) == shown  # who looked on has seen it

    run_virtual(main())


def test_no_tool_that_may_change_anything_runs_before_the_input_has_passed() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1), call("look")])])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(clerk(slow_trip), "Go.")
            with pytest.raises(GuardrailTripped) as failed:
                await running.answer()
            started = [event.name async for event in running.events() if isinstance(event, ToolStarted)]
        assert started == ["look"]
        assert_valid(failed.value.answer.messages)
        assert results(failed.value.answer.messages)[1] == "looked"

    run_virtual(main())


def test_tools_run_once_the_input_has_passed() -> None:
    answer = ask(ScriptedModel([reply(calls=[call("wait", seconds=1)]), "Done."]), clerk(slow_pass))
    assert results(answer.messages) == ["waited 1.0"]


def test_a_run_is_no_success_before_its_input_has_passed() -> None:
    tripped(ScriptedModel(["Quick."]), clerk(slow_trip))


def test_a_run_that_fails_by_itself_does_not_wait_for_its_guardrails() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])):
            began = now()
            with pytest.raises(ProviderFailed):
                await run(clerk(slow_pass), "Go.")
            assert now() - began < 1

        spent = ScriptedModel([reply(calls=[call("look")], usage=(10, 5))])
        async with world(spent):
            began = now()
            with pytest.raises(BudgetExceeded):
                await run(clerk(slow_pass, budget=Budget(tokens=15)), "Go.")
            assert now() - began < 1

    run_virtual(main())


def test_a_guardrail_sees_the_text_of_what_is_asked_or_the_conversation() -> None:
    seen: list[object] = []

    @guardrail(on="input")
    async def text_alone(text: str, context: Context[dict[str, int]]) -> None:
        seen.append((text, context.deps, context.metadata))

    @guardrail(on="input")
    def all_of_it(messages: Sequence[Message], context: Context[dict[str, int]]) -> None:
        seen.append([text_of(message) for message in messages])

    before: list[Message] = [
        UserMessage("One?"),
        AssistantMessage("One."),
        UserMessage("Two?"),
        UserMessage("Or three?"),
    ]
    agent = clerk(text_alone, all_of_it)
    ask(ScriptedModel(["Three."]), agent, before, deps={"a": 1}, metadata={"user": "ada"})
    assert ("Two?\nOr three?", {"a": 1}, {"user": "ada"}) in seen
    assert ["One?", "One.", "Two?", "Or three?"] in seen


def test_what_is_said_into_a_run_passes_before_the_model_hears_it() -> None:
    @guardrail(on="input")
    async def no_swearing(text: str, context: Context) -> None:
        if "darn" in text:
            raise Tripped("swearing")

    model = ScriptedModel([reply(calls=[call("wait", seconds=3)]), "Done."])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(clerk(no_swearing), "Go.")
            await asyncio.sleep(1)
            running.steer("darn it")
            with pytest.raises(GuardrailTripped, match="swearing") as failed:
                await running.answer()
        assert len(model.requests) == 1
        assert "darn it" not in [text_of(message) for message in failed.value.answer.messages]

    run_virtual(main())


def test_a_run_that_was_taken_up_is_screened_again() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with world(ScriptedModel([reply(calls=[call("wait", seconds=1)])]), journal=journal) as runtime:
            with pytest.raises(GuardrailTripped):
                await runtime.start(clerk(slow_trip), "Go.", run_id="r1").answer()
        facts = await journal.read("r1")
        for end in range(1, len(facts)):
            model = ScriptedModel([reply(calls=[call("wait", seconds=1)]) if end == 1 else LONG])
            async with world(model, journal=await left_behind(facts[:end])) as runtime:
                running = await runtime.resume("r1", clerk(slow_trip))
                with pytest.raises(GuardrailTripped):
                    await running.answer()
                assert not any([isinstance(event, ToolStarted) async for event in running.events()])

    run_virtual(main())


# ---- output -------------------------------------------------------------------------------------------


def test_an_answer_that_passes_is_the_answer() -> None:
    assert ask(ScriptedModel(["None."]), clerk(no_numbers)).output == "None."


def test_an_answer_that_trips_ends_the_run() -> None:
    failed = tripped(ScriptedModel(["It is 5."]), clerk(no_numbers))
    assert str(failed) == 'guardrail "no_numbers" tripped: a number'
    assert text_of(failed.answer.messages[-1]) == "It is 5."


def test_only_the_finished_answer_is_looked_at() -> None:
    model = ScriptedModel([reply("Step 1.", calls=[call("look")]), "Done."])
    assert ask(model, clerk(no_numbers)).output == "Done."


def test_an_answer_must_be_of_its_form_before_it_is_looked_at() -> None:
    class Name(BaseModel):
        name: str

    model = ScriptedModel(['{"name": 5}', '{"name": "Ada"}'])
    assert ask(model, clerk(no_numbers, output=Name)).output == Name(name="Ada")
    tripped(ScriptedModel(['{"name": "R2"}']), clerk(no_numbers, output=Name))


# ---- guardrails of every kind -----------------------------------------------------------------------


@guardrail(on="output")
def plain_trip(text: str, context: Context) -> None:
    raise Tripped("plainly")


@guardrail(on="output")
async def broken(text: str, context: Context) -> None:
    raise KeyError("mine")


@guardrail(on="output")
async def of_a_tool(text: str, context: Context) -> None:
    raise ToolError("the checker is down")


@guardrail(on="output", timeout=3)
async def hanging(text: str, context: Context) -> None:
    await asyncio.sleep(10_000)


@guardrail(on="output")
async def cancelled_by_itself(text: str, context: Context) -> None:
    raise asyncio.CancelledError


def _yes(text: str, context: Context) -> Any:
    return True


@pytest.mark.parametrize(
    ("rail", "text"),
    [
        (plain_trip, 'guardrail "plain_trip" tripped: plainly'),
        (broken, r'guardrail "broken" failed \(KeyError\); the log of run \w+ says more'),
        (of_a_tool, "guardrail failed: the checker is down"),
        (hanging, 'guardrail failed: "hanging" was not done in 3 s and was stopped'),
        (cancelled_by_itself, "guardrail failed: .* cancelled by its own code"),
        (guardrail(on="output")(_yes), 'guardrail "_yes" failed: expected None or Tripped, came True'),
    ],
)
def test_a_guardrail_that_fails_has_tripped(rail: Any, text: str) -> None:
    with pytest.raises(GuardrailTripped, match=text):
        ask(ScriptedModel(["Hello."]), clerk(rail))


def test_all_look_side_by_side_and_the_first_that_trips_counts() -> None:
    async def main() -> None:
        async with world(ScriptedModel([LONG])):
            began = now()
            with pytest.raises(GuardrailTripped, match="slow_trip"):
                await run(clerk(slow_pass, slow_trip, slow_pass), "Go.")
            assert now() - began == pytest.approx(2.0, abs=0.1)

    run_virtual(main())


def test_a_guardrail_that_will_not_stop_is_a_straggler() -> None:
    @guardrail(on="input")
    async def deaf(text: str, context: Context) -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(30)

    async def main() -> None:
        async with Runtime(providers=[ScriptedModel([LONG]).provider("openai")]) as runtime:
            running = runtime.start(clerk(deaf), "Go.")
            await asyncio.sleep(1)
            began = now()
            await running.stop()
            assert now() - began == pytest.approx(2.0)
            assert running.state.ended is not None
            assert running.state.ended.stragglers == ("deaf",)
            await asyncio.sleep(40)

    run_virtual(main())


def test_a_guardrail_may_be_called_as_the_function_it_was() -> None:
    assert asyncio.run(no_numbers("5", Context(None))).args == ("a number",)


def test_mistakes_are_told_where_they_are_written() -> None:
    with pytest.raises(SettingInvalid, match='on="both"; it is "input" or "output"'):
        guardrail(on="both")(_yes)  # type: ignore[arg-type]
    with pytest.raises(SettingInvalid, match="timeout=0; it needs more than 0 seconds"):
        guardrail(on="input", timeout=0)(_yes)
    with pytest.raises(SettingInvalid, match="expected two parameters, the first of them annotated"):
        guardrail(on="input")(lambda text, context: None)
    with pytest.raises(SettingInvalid, match="write @guardrail"):
        clerk(_yes)


# ---- every step ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rail", [slow_pass, slow_trip])
def test_a_cancel_at_every_step_leaves_nothing_behind(rail: Any) -> None:
    cut: list[int] = []

    async def scene(n: int) -> None:
        model = ScriptedModel([reply("Hm.", calls=[call("wait", seconds=1)], pieces=2, pause=0.1), "Done."])
        journal = MemoryJournal()
        async with assert_no_leaks(), Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
            async with assert_no_leaks(runtime):
                running = runtime.start(clerk(rail, no_numbers), "Go.", run_id="r1")

                def cancel() -> None:
                    if running.state.ended is None:
                        cut.append(n)
                        running.cancel()

                virtual_loop().at_step(n, cancel)
                try:
                    assert (await running.answer()).output == "Done."
                except RunCancelled as cancelled:
                    assert_valid(cancelled.answer.messages)
                except GuardrailTripped as failed:
                    assert rail is slow_trip
                    assert_valid(failed.answer.messages)
        facts = await journal.read("r1")
        assert_whole(facts)
        assert isinstance(facts[0], RunStarted)

    for n in range(1, 2_000):
        run_virtual(scene(n))
        if len(cut) < n:
            break
    assert len(cut) > 20

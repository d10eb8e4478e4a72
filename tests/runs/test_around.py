"""Middleware around the model and around tools: it may observe, change, deny, answer; and it cannot hang a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from msgspec.structs import replace

from agentrt import Agent, Answer, Context, Runtime, run, stream, tool
from agentrt.errors import (
    DeadlineExceeded,
    ProviderFailed,
    ProviderUnavailable,
    RunCancelled,
    RunFailed,
    ToolError,
)
from agentrt.events import ModelReplied, Rewound, TextDelta, ToolProgress
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, SystemMessage, ToolCall, Usage, text_of
from agentrt.middleware import ProceedModel, ProceedTool
from agentrt.model.model import ModelReply, ModelRequest
from agentrt.testing import ScriptedModel, assert_no_leaks, call, faults, reply, run_virtual
from agentrt.toolbox.outcome import ToolOutcome
from tests.runs.world import assert_valid, assert_whole, now, results, virtual_loop, wait, world


@tool(effect="read")
async def look(seconds: float) -> str:
    """Look."""
    await asyncio.sleep(seconds)
    return f"looked {seconds}"


@tool
async def broken() -> str:
    """Fail."""
    raise ToolError("no luck", code="luck")


def clerk(*, tools: Any = (wait, look, broken), **around: Any) -> Agent[Any]:
    return Agent(name="clerk", model="openai:scripted", tools=tools, **around)


def ask(model: ScriptedModel, agent: Agent[Any], **options: Any) -> Answer:
    async def main() -> Answer:
        async with world(model):
            return await run(agent, "Go.", **options)

    return run_virtual(main())


def failure(model: ScriptedModel, agent: Agent[Any], **options: Any) -> RunFailed:
    with pytest.raises(RunFailed) as failed:
        ask(model, agent, **options)
    return failed.value


@asynccontextmanager
async def stuck(model: ScriptedModel) -> AsyncGenerator[Runtime]:
    """A world that some code does not want to leave."""
    async with Runtime(providers=[model.provider("openai")]) as runtime:
        yield runtime


def saying(text: str) -> ModelReply:
    return ModelReply(AssistantMessage(text), "stop", None)


# ---- around the model ----------------------------------------------------------------------------------


def test_the_first_middleware_is_outermost() -> None:
    order: list[str] = []

    def named(name: str) -> Callable[[ModelRequest, ProceedModel], Any]:
        async def around(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
            order.append(f"{name} in")
            reply = await proceed(request)
            order.append(f"{name} out")
            return reply

        return around

    assert ask(ScriptedModel(["Hello."]), clerk(around_model=[named("a"), named("b")])).output == "Hello."
    assert order == ["a in", "b in", "b out", "a out"]


def test_a_request_may_be_changed() -> None:
    async def shout(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        messages = (SystemMessage("Shout."), *request.messages)
        return await proceed(replace(request, messages=messages, temperature=0.5, tools=()))

    model = ScriptedModel(["HELLO."])
    ask(model, clerk(around_model=[shout]))
    assert model.requests[0]["messages"][0]["content"] == "Shout."
    assert model.requests[0]["temperature"] == 0.5
    assert "tools" not in model.requests[0]


def events_of(model: ScriptedModel, agent: Agent[Any]) -> tuple[list[Any], Answer]:
    async def main() -> tuple[list[Any], Answer]:
        async with world(model):
            async with stream(agent, "Go.") as running:
                return [event async for event in running], await running.answer()

    return run_virtual(main())


def test_the_reply_is_shown_as_it_arrives() -> None:
    arrived: list[float] = []

    async def watch(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        reply = await proceed(request)
        arrived.append(now())
        return reply

    model = ScriptedModel([reply("abcd", pieces=4, pause=1.0)])
    events, answer = events_of(model, clerk(around_model=[watch]))
    assert answer.output == "abcd"
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "b", "c", "d"]
    assert not any(isinstance(event, Rewound) for event in events)


def test_a_reply_may_be_given_without_asking() -> None:
    async def cached(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        return saying("From the cache.")

    model = ScriptedModel([])
    events, answer = events_of(model, clerk(around_model=[cached]))
    assert (answer.output, answer.usage) == ("From the cache.", Usage())
    assert model.requests == []
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["From the cache."]


def test_a_reply_that_is_changed_takes_the_place_of_what_was_shown() -> None:
    async def redact(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        reply = await proceed(request)
        return replace(reply, message=replace(reply.message, content=reply.message.content.replace("4711", "****")))

    events, answer = events_of(ScriptedModel(["It is 4711."]), clerk(around_model=[redact]))
    assert answer.output == "It is ****."
    (rewound,) = [event for event in events if isinstance(event, Rewound)]
    (fact,) = [event for event in events if isinstance(event, ModelReplied)]
    shown = [event.text for event in events if isinstance(event, TextDelta) and event.message_id == fact.message_id]
    assert rewound.replaced_by == fact.message_id
    assert shown == ["It is ****."]
    assert answer.usage.output_tokens == 5


def test_asking_twice_costs_twice_and_shows_the_second_reply() -> None:
    async def twice(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        first = await proceed(request)
        return first if first.message.content == "Good." else await proceed(request)

    events, answer = events_of(ScriptedModel(["Bad.", "Good."]), clerk(around_model=[twice]))
    assert answer.output == "Good."
    assert answer.usage == Usage(20, 10, requests=2)
    assert sum(isinstance(event, Rewound) for event in events) == 1
    assert sum(isinstance(event, ModelReplied) for event in events) == 1


def test_calls_that_a_middleware_makes_up_have_ids_of_their_own() -> None:
    async def calling(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        if any(message.__class__.__name__ == "ToolMessage" for message in request.messages):
            return await proceed(request)
        calls = (ToolCall("", "wait", '{"seconds": 1}'), ToolCall("x", "wait", '{"seconds": 2}')) * 2
        return ModelReply(AssistantMessage("", calls), "tool_calls", None)

    answer = ask(ScriptedModel(["Done."]), clerk(around_model=[calling]))
    assert_valid(answer.messages)
    assert results(answer.messages) == ["waited 1.0", "waited 2.0"] * 2


def test_a_call_that_a_middleware_doubles_has_two_ids() -> None:
    async def double(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        said = await proceed(request)
        return replace(said, message=replace(said.message, tool_calls=said.message.tool_calls * 2))

    model = ScriptedModel([reply(calls=[call("wait", seconds=1)]), "Done."])
    answer = ask(model, clerk(around_model=[double]))
    assert_valid(answer.messages)
    assert results(answer.messages) == ["waited 1.0"] * 2


def test_a_middleware_sees_the_reply_of_whichever_model_gave_it_after_all_attempts() -> None:
    seen: list[str] = []

    async def watch(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        seen.append(request.model)
        return await proceed(request)

    model = ScriptedModel(["Hello."])
    model.faults.then(faults.status(503), times=3)
    agent = Agent(name="clerk", model="openai:a", fallbacks=["openai:b"], around_model=[watch])
    assert ask(model, agent).output == "Hello."
    assert seen == ["a"]


def test_what_the_provider_says_ends_the_run_as_it_would_without() -> None:
    async def through(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        return await proceed(request)

    model = ScriptedModel([])
    failed = failure(model, clerk(around_model=[through]))
    assert isinstance(failed, ProviderFailed)
    assert failed.reason == "provider_refused"


def test_a_middleware_may_answer_for_a_provider_that_is_down() -> None:
    async def soothe(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        try:
            return await proceed(request)
        except ProviderUnavailable:
            return saying("Come back later.")

    model = ScriptedModel([])
    model.faults.then(faults.status(503), times=9)
    assert ask(model, clerk(around_model=[soothe])).output == "Come back later."


async def raising(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
    raise KeyError("mine")


async def answering_nothing(request: ModelRequest, proceed: ProceedModel) -> Any:
    await proceed(request)


async def cancelling_itself(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
    raise asyncio.CancelledError


async def asking_twice_at_once(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(proceed(request))
        group.create_task(proceed(request))
    return first.result()


@pytest.mark.parametrize("around", [raising, answering_nothing, cancelling_itself, asking_twice_at_once])
def test_a_middleware_that_fails_ends_the_run_and_says_whose_fault_it_was(around: Any) -> None:
    failed = failure(ScriptedModel([reply("Hello.", pieces=2, pause=1.0)]), clerk(around_model=[around]))
    assert failed.reason == "middleware_failed"
    assert "a middleware around the model failed" in str(failed)
    assert "mine" not in str(failed)


def test_a_cancel_comes_through_and_closes_the_connection() -> None:
    swallowed: list[str] = []

    async def stubborn(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        while True:
            try:
                return await proceed(request)
            except asyncio.CancelledError:
                swallowed.append("cancel")
                if len(swallowed) > 2:
                    raise

    model = ScriptedModel([reply("a long story", pieces=12, pause=1.0)] * 3)

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(clerk(around_model=[stubborn]), "Go.")
            await asyncio.sleep(3.5)
            await running.stop()
            assert model.cut == 1
            with pytest.raises(RunCancelled) as cancelled:
                await running.answer()
            assert cancelled.value.answer.output == "a l"
        assert len(model.requests) == 1  # it proceeded no more

    run_virtual(main())


def test_a_middleware_that_will_not_stop_is_a_straggler_and_the_run_ends() -> None:
    release = asyncio.Event()

    async def deaf(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()
        return await proceed(request)

    model = ScriptedModel(["Too late."])

    async def main() -> None:
        async with stuck(model) as runtime:
            running = runtime.start(clerk(around_model=[deaf]), "Go.")
            await asyncio.sleep(1)
            began = now()
            await running.stop()
            assert now() - began == pytest.approx(2.0)
            assert running.state.ended is not None
            assert running.state.ended.stragglers == ("around_model",)
            release.set()
            await asyncio.sleep(1)
            assert runtime.stragglers == ()
        assert model.requests == []

    run_virtual(main())


def test_a_middleware_that_hangs_ends_with_the_runs_deadline() -> None:
    async def hang(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        await asyncio.sleep(10_000)
        return await proceed(request)

    assert isinstance(failure(ScriptedModel([]), clerk(around_model=[hang]), deadline=5), DeadlineExceeded)


# ---- around tools ---------------------------------------------------------------------------------------


def results_with(around: Any, *calls: ToolCall) -> list[str]:
    model = ScriptedModel([reply(calls=calls), "Done."])
    arounds = around if isinstance(around, list) else [around]
    return results(ask(model, clerk(around_tool=arounds)).messages)


async def through(call: ToolCall, context: Context, proceed: ProceedTool) -> ToolOutcome:
    return await proceed(call)


def test_a_call_goes_through_and_its_outcome_stays_what_it_was() -> None:
    assert results_with(through, call("wait", seconds=1), call("broken"), call("wait", seconds="long")) == (
        results_with([], call("wait", seconds=1), call("broken"), call("wait", seconds="long"))
    )


def test_the_first_middleware_around_a_tool_is_outermost_and_knows_the_call() -> None:
    seen: list[str] = []

    async def outer(call: ToolCall, context: Context, proceed: ProceedTool) -> str:
        seen.append(f"{call.name} {context.call_id == call.id} {context.run_id != ''}")
        return f"<{(await proceed(call)).content}>"

    async def inner(call: ToolCall, context: Context, proceed: ProceedTool) -> str:
        return f"[{(await proceed(call)).content}]"

    assert results_with([outer, inner], call("wait", seconds=1)) == ["<[waited 1.0]>"]
    assert seen == ["wait True True"]


def test_arguments_that_are_changed_are_read_again() -> None:
    async def changed(call: ToolCall, context: Context, proceed: ProceedTool) -> ToolOutcome:
        return await proceed(replace(call, id="other", name="broken", arguments=call.arguments.replace("1", "3")))

    async def spoiled(call: ToolCall, context: Context, proceed: ProceedTool) -> ToolOutcome:
        return await proceed(replace(call, arguments='{"seconds": "long"}'))

    assert results_with(changed, call("wait", seconds=1)) == ["waited 3.0"]
    assert "seconds: should be a valid number" in results_with(spoiled, call("wait", seconds=1))[0]


def test_a_call_may_be_denied_or_answered() -> None:
    async def deny(call: ToolCall, context: Context, proceed: ProceedTool) -> str | ToolOutcome:
        if call.name == "broken":
            return ToolOutcome("denied", "Not today.", "denied")
        return "answered for it"

    assert results_with(deny, call("broken"), call("wait", seconds=9)) == ["Not today.", "answered for it"]


def test_what_a_middleware_raises_is_told_to_the_model() -> None:
    async def raises(call: ToolCall, context: Context, proceed: ProceedTool) -> str:
        if call.name == "broken":
            raise ToolError("You may not do that.")
        raise KeyError("mine")

    assert results_with(raises, call("broken"), call("wait", seconds=9)) == ["You may not do that.", "KeyError: 'mine'"]


def test_a_failed_call_may_be_made_once_more() -> None:
    tries: list[str] = []

    @tool
    async def moody(name: str) -> str:
        tries.append(name)
        if len(tries) == 1:
            raise ToolError("not now")
        return "well then"

    async def again(call: ToolCall, context: Context, proceed: ProceedTool) -> ToolOutcome:
        outcome = await proceed(call)
        return outcome if outcome.status == "ok" else await proceed(call)

    model = ScriptedModel([reply(calls=[call("moody", name="a")]), "Done."])
    assert results(ask(model, clerk(tools=[moody], around_tool=[again])).messages) == ["well then"]
    assert tries == ["a", "a"]


def test_an_early_read_goes_through_the_middleware_too() -> None:
    begun: list[float] = []

    async def note(call: ToolCall, context: Context, proceed: ProceedTool) -> ToolOutcome:
        begun.append(now())
        await context.emit("noted")
        return await proceed(call)

    early = call("look", seconds=1)
    model = ScriptedModel([reply(calls=[early, call("wait", seconds=1)], pieces=8, pause=1.0), "Done."])
    events, answer = events_of(model, clerk(around_tool=[note]))
    assert results(answer.messages) == ["looked 1.0", "waited 1.0"]
    assert len(begun) == 2
    assert begun[0] < begun[1] - 1
    assert sum(isinstance(event, ToolProgress) for event in events) == 2


def test_a_middleware_that_keeps_a_call_from_stopping_is_a_straggler() -> None:
    async def deaf(call: ToolCall, context: Context, proceed: ProceedTool) -> ToolOutcome:
        try:
            return await proceed(call)
        except asyncio.CancelledError:
            await asyncio.sleep(30)
            return await proceed(call)

    model = ScriptedModel([reply(calls=[call("wait", seconds=60)])])

    async def main() -> None:
        async with stuck(model) as runtime:
            running = runtime.start(clerk(around_tool=[deaf]), "Go.")
            await asyncio.sleep(5)
            began = now()
            await running.stop()
            assert now() - began == pytest.approx(2.0)
            assert running.state.ended is not None
            assert running.state.ended.stragglers == ("wait",)
            await asyncio.sleep(40)
            assert runtime.stragglers == ()

    run_virtual(main())


def test_one_call_can_be_stopped_within_its_middleware() -> None:
    model = ScriptedModel([reply(calls=[call("wait", call_id="c1", seconds=60), call("wait", seconds=2)]), "Done."])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(clerk(around_tool=[through]), "Go.")
            await asyncio.sleep(1)
            running.cancel_call("c1", "enough")
            assert results((await running.answer()).messages) == ["The call was stopped: enough.", "waited 2.0"]

    run_virtual(main())


# ---- every step ------------------------------------------------------------------------------------------


def test_a_cancel_at_every_step_comes_through_all_middleware() -> None:
    cut: list[int] = []

    async def measure(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
        return await proceed(request)

    async def scene(n: int) -> None:
        calls = [call("wait", seconds=1), call("look", seconds=1)]
        model = ScriptedModel([reply("Hm.", calls=calls, pieces=2, pause=0.1), reply("Done.")])
        journal = MemoryJournal()
        agent = clerk(around_model=[measure, measure], around_tool=[through, through])
        async with assert_no_leaks(), Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
            async with assert_no_leaks(runtime):
                running = runtime.start(agent, "Go.", run_id="r1")

                def cancel() -> None:
                    if running.state.ended is None:
                        cut.append(n)
                        running.cancel()

                virtual_loop().at_step(n, cancel)
                try:
                    assert (await running.answer()).output == "Done."
                except RunCancelled as cancelled:
                    assert_valid(cancelled.answer.messages)
                assert running.state.ended is not None
                assert running.state.ended.stragglers == ()
        assert_whole(await journal.read("r1"))

    for n in range(1, 2_000):
        run_virtual(scene(n))
        if len(cut) < n:
            break
    assert len(cut) > 40


def test_nothing_is_around_where_nothing_was_put() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1)]), "Done."])
    assert text_of(ask(model, clerk()).messages[-1]) == "Done."

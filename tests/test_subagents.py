"""Runs inside of runs: agents as tools, conversations handed over, and what they inherit and spend."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrt import Agent, Budget, Context, Runtime, as_tool, tool
from agentrt.errors import BudgetExceeded, DeadlineExceeded, RunCancelled, RunFailed, SettingInvalid
from agentrt.events import HandedOff, RunStarted, ToolProgress, ToolReturned
from agentrt.journal.memory import MemoryJournal
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from agentrt.trace import correlation
from tests.runs.world import LateJournal, assert_valid, assert_whole, now, results, wait, world


def expert(*tools: Any, **settings: Any) -> Agent[Any]:
    return Agent(name="expert", model="openai:expert", description="Knows all.", tools=tools, **settings)


def chief(*tools: Any, **settings: Any) -> Agent[Any]:
    return Agent(name="chief", model="openai:chief", tools=tools, **settings)


def by_model(**turns: list[Any]) -> ScriptedModel:
    """A script for each model; the n-th reply of one is chosen by how often that model was asked."""
    asked = dict.fromkeys(turns, 0)

    def script(request: dict[str, Any]) -> Any:
        name = request["model"]
        asked[name] += 1
        said = turns[name][asked[name] - 1]
        return reply(said) if isinstance(said, str) else said

    return ScriptedModel(script)


ASK = reply(calls=[call("expert", question="Why?"), call("expert", question="How?")])


async def inner_runs(runtime: Runtime, outer: Run) -> list[RunStarted]:
    rows = [await runtime.journal.read(row.run_id) for row in await runtime.journal.runs()]
    began = [facts[0] for facts in rows if isinstance(facts[0], RunStarted)]
    return [one for one in began if one.run_id != outer.run_id]


def test_agents_answer_side_by_side_as_tools_and_what_they_spend_is_part_of_the_result() -> None:
    async def main() -> None:
        slow = reply("Because.", pieces=2, pause=0.5)
        async with world(by_model(chief=[ASK, "Done."], expert=[slow, slow])) as runtime:
            run = runtime.start(chief(as_tool(expert())), "Ask.", metadata={"tab": "1"}, principal="ada")
            answer = await run.answer()
            assert results(answer.messages) == ["Because.", "Because."]
            assert now() == pytest.approx(2.5)
            inner = await inner_runs(runtime, run)
            assert [(one.parent, one.principal, one.metadata) for one in inner] == [
                (run.run_id, "ada", {"tab": "1"})
            ] * 2
            assert len({one.trace.split("-")[1] for one in inner if one.trace} | {str(run.state.run_id)}) == 2
            landed = [event async for event in run.events() if isinstance(event, ToolReturned)]
            assert [one.usage.total_tokens for one in landed if one.usage] == [15, 15]
            assert (answer.usage.total_tokens, answer.usage.requests) == (60, 4)
            told = [event.data async for event in run.events() if isinstance(event, ToolProgress)]
            assert sorted(one["text"] for one in told) == sorted(["Beca", "use."] * 2)

    run_virtual(main())


def test_an_inner_run_ends_with_the_budget_of_the_run_around_it() -> None:
    async def main() -> None:
        loops = [reply(calls=[call("wait", seconds=0.1)])] * 20
        async with world(by_model(chief=[ASK, "Done."], expert=loops)) as runtime:
            run = runtime.start(chief(as_tool(expert(wait))), "Ask.", budget=Budget(tokens=100))
            with pytest.raises(BudgetExceeded) as failed:
                await run.answer()
            texts = results(failed.value.answer.messages)
            assert all("tokens of the run around it" in text for text in texts)
            assert 100 <= failed.value.answer.usage.total_tokens <= 130  # what was in flight when it was used up
            assert_whole(await runtime.journal.read(run.run_id))

    run_virtual(main())


def test_an_inner_run_has_its_own_budget_too() -> None:
    async def main() -> None:
        loops = [reply(calls=[call("wait", seconds=0.1)])] * 20
        one = reply(calls=[call("expert", question="Why?")])
        async with world(by_model(chief=[one, "Done."], expert=loops)) as runtime:
            agent = chief(as_tool(expert(wait), budget=Budget(tokens=20)))
            answer = await runtime.start(agent, "Ask.").answer()
            assert results(answer.messages) == ["expert has no answer: the run has used up its budget: 30 of 20 tokens"]

    run_virtual(main())


def test_an_inner_run_ends_with_the_deadline_and_with_the_cancel_of_the_run_around_it() -> None:
    async def main(cancel: bool) -> None:
        slow = reply("Because.", pieces=8, pause=1.0)
        async with world(by_model(chief=[ASK], expert=[slow, slow])) as runtime:
            run = runtime.start(chief(as_tool(expert())), "Ask.", deadline=3.0)
            await asyncio.sleep(2.0)
            if cancel:
                run.cancel("enough")
            with pytest.raises(RunCancelled if cancel else DeadlineExceeded):
                await run.answer()
            assert now() == pytest.approx(2.0 if cancel else 3.0)
            for row in await runtime.journal.runs():
                assert_whole(await runtime.journal.read(row.run_id))

    run_virtual(main(True))
    run_virtual(main(False))


def test_whatever_step_the_outer_run_is_cancelled_at_all_runs_end_once() -> None:
    def cut_at(n: int) -> bool:
        async def main() -> bool:
            model = by_model(chief=[ASK, "Done."], expert=[reply("Because.", pieces=2, pause=0.01)] * 2)
            came = list[bool]()
            async with world(model, journal=LateJournal(0.003)) as runtime:
                run = runtime.start(chief(as_tool(expert(), effect="read")), "Ask.")
                loop: Any = asyncio.get_running_loop()

                def cut() -> None:
                    came.append(run.state.ended is None)
                    run.cancel()

                loop.at_step(n, cut)
                try:
                    messages = (await run.answer()).messages
                except RunCancelled as failed:
                    messages = failed.answer.messages
                assert_valid(messages)
                for row in await runtime.journal.runs():
                    assert_whole(await runtime.journal.read(row.run_id))
            return came == [True]

        return run_virtual(main())

    n = 1
    while cut_at(n):
        n += 1
    assert n > 50


def test_an_inner_run_that_waits_for_a_person_is_an_error_of_the_tool() -> None:
    @tool(needs_approval=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    async def main() -> None:
        one = reply(calls=[call("expert", question="Why?")])
        async with world(by_model(chief=[one, "Done."], expert=[reply(calls=[call("pay")])])) as runtime:
            answer = await runtime.start(chief(as_tool(expert(pay))), "Ask.").answer()
            assert results(answer.messages)[0].startswith("expert waits for a person, about pay; its run is ")
            assert len(await runtime.waiting()) == 1

    run_virtual(main())


# ---- handing over --------------------------------------------------------------------------------------


def test_a_conversation_is_handed_to_another_agent_with_its_own_model_and_tools() -> None:
    async def main() -> None:
        hand = reply("Let me fetch somebody.", calls=[call("transfer_to_expert")])
        model = by_model(chief=[hand], expert=[reply(calls=[call("wait", seconds=0.1)]), "I am the expert."])
        async with world(model) as runtime:
            agent = chief(handoffs=[expert(wait, instructions="You know all.")])
            run = runtime.start(agent, "Ask.")
            answer = await run.answer()
            assert answer.output == "I am the expert."
            assert results(answer.messages) == ["The conversation is handed over to expert.", "waited 0.1"]
            offered = [[one["function"]["name"] for one in asked.get("tools", [])] for asked in model.requests]
            assert offered == [["transfer_to_expert"], ["wait"], ["wait"]]
            described = model.requests[0]["tools"][0]["function"]["description"]
            assert described == "Hand the conversation over to expert: Knows all."
            assert model.requests[1]["messages"][0] == {"role": "system", "content": "You know all."}
            assert [event.agent async for event in run.events() if isinstance(event, HandedOff)] == ["expert"]

    run_virtual(main())


def test_the_first_of_two_handoffs_counts_and_other_calls_of_the_reply_still_run() -> None:
    async def main() -> None:
        calls = [call("transfer_to_expert"), call("wait", seconds=0.1), call("transfer_to_other")]
        model = by_model(chief=[reply(calls=calls)], expert=["Here I am."])
        async with world(model) as runtime:
            other = Agent[Any](name="other", model="openai:other")
            answer = await runtime.start(chief(wait, handoffs=[expert(), other]), "Ask.").answer()
            assert results(answer.messages) == [
                *(
                    "The conversation is handed over to expert.",
                    "waited 0.1",
                    "The conversation goes to expert already.",
                )
            ]
            assert answer.output == "Here I am."

    run_virtual(main())


def test_a_run_that_was_handed_over_is_resumed_by_whoever_had_it() -> None:
    hand = reply(calls=[call("transfer_to_expert"), call("wait", seconds=0.1)])

    def model() -> ScriptedModel:
        return by_model(chief=[hand], expert=["Here I am."] * 2)

    async def lived() -> list[Any]:
        async with world(model()) as runtime:
            run = runtime.start(chief(wait, handoffs=[expert()]), "Ask.")
            await run.answer()
            return list(await runtime.journal.read(run.run_id))

    async def resumed(facts: list[Any]) -> None:
        journal = MemoryJournal()
        epoch = await journal.take(facts[0].run_id)
        for fact in facts:
            await journal.append(facts[0].run_id, epoch, fact)
        async with world(model(), journal=journal) as runtime:
            run = await runtime.resume(facts[0].run_id, chief(wait, handoffs=[expert()]))
            answer = await run.answer()
            assert answer.output == "Here I am."
            assert results(answer.messages)[0] == "The conversation is handed over to expert."
            assert_whole(await journal.read(run.run_id))

    facts = run_virtual(lived())
    for cut in range(1, len(facts)):
        run_virtual(resumed(facts[:cut]))


def test_two_agents_of_one_name_cannot_be_told_apart() -> None:
    async def main() -> None:
        async with world(by_model()) as runtime:
            with pytest.raises(SettingInvalid, match='two agents are called "expert"'):
                runtime.start(chief(handoffs=[expert(), expert()]), "Ask.")
            with pytest.raises(SettingInvalid, match="need names of their own: transfer_to_expert"):
                runtime.start(chief(tool(_nothing, name="transfer_to_expert"), handoffs=[expert()]), "Ask.")

    run_virtual(main())


async def _nothing() -> None:
    """Nothing."""


# ---- made for each run ---------------------------------------------------------------------------------


def test_instructions_and_tools_may_depend_on_who_asks() -> None:
    made: list[str] = []

    async def instructions(context: Context[Any]) -> str:
        made.append(context.run_id)
        return f"You serve {context.principal}."

    def tools(context: Context[Any]) -> list[Any]:
        return [wait] if context.deps == "trusted" else []

    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("wait", seconds=0.1)]), "Done.", reply(calls=[call("wait")]), "No."])
        agent: Agent[Any] = Agent(name="a", model="openai:m", instructions=instructions, tools=tools)
        async with world(model) as runtime:
            for deps, result in (
                ("trusted", "waited 0.1"),
                ("anybody", 'there is no tool "wait"; the tools are: none'),
            ):
                answer = await runtime.start(agent, "Go.", deps=deps, principal="ada").answer()
                assert results(answer.messages) == [result]
        assert len(made) == 2  # once a run, however many turns it has
        assert [asked["messages"][0]["content"] for asked in model.requests] == ["You serve ada."] * 4

    run_virtual(main())


@pytest.mark.parametrize("what", ["instructions", "tools"])
def test_a_function_that_fails_to_make_them_fails_the_run(what: str) -> None:
    def fails(_: Context[Any]) -> Any:
        raise KeyError("secret")

    async def main() -> None:
        async with world(ScriptedModel([])) as runtime:
            settings: dict[str, Any] = {what: fails}
            run = runtime.start(Agent[Any](name="a", model="openai:m", **settings), "Go.")
            with pytest.raises(RunFailed, match=f'the {what} of agent "a" could not be made') as failed:
                await run.answer()
            assert failed.value.reason == "agent_failed"
            assert "secret" not in str(failed.value)
            assert isinstance(failed.value.__cause__, Exception)

    run_virtual(main())


# ---- one correlation -----------------------------------------------------------------------------------


def test_the_run_and_the_call_are_known_wherever_the_tool_goes() -> None:
    seen: dict[str, Any] = {}

    def note(name: str) -> None:
        seen[name] = correlation()

    @tool
    async def outer() -> str:
        """Look."""
        note("tool")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(note, "thread of its own"))
        return "ok"

    @tool
    def threaded() -> str:
        """Look."""
        note("plain function")
        return "ok"

    @tool
    async def inmost() -> str:
        """Look."""
        note("inner")
        return "ok"

    async def main() -> None:
        calls = [call("outer"), call("threaded"), call("expert", question="?")]
        model = by_model(chief=[reply(calls=calls), "Done."], expert=[reply(calls=[call("inmost")]), "Fine."])
        providers = [model.provider("openai")]
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        async with assert_no_leaks(), Runtime(providers=providers) as runtime:
            agent = chief(outer, threaded, as_tool(expert(inmost)))
            run = runtime.start(agent, "Go.", principal="ada", metadata={"tab": "1"}, thread="t", trace=trace)
            await run.answer()
        assert correlation() is None
        tool_seen = seen["tool"]
        assert (tool_seen.run_id, tool_seen.thread, tool_seen.principal) == (run.run_id, "t", "ada")
        assert tool_seen.call_id == "call_1"
        assert seen["thread of its own"] == tool_seen
        assert seen["plain function"].call_id == "call_2"
        inner = seen["inner"]
        assert (inner.parent, inner.principal, inner.metadata) == (run.run_id, "ada", {"tab": "1"})
        spans = {one.traceparent.split("-")[2] for one in (tool_seen, inner)} | {trace.split("-")[2]}
        assert {one.traceparent.split("-")[1] for one in (tool_seen, inner)} == {trace.split("-")[1]}
        assert len(spans) == 3

    asyncio.run(main())


def test_a_trace_that_is_none_is_refused() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])) as runtime:
            for trace in ("x", "00-0-0-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"):
                with pytest.raises(SettingInvalid, match="expected a W3C traceparent"):
                    runtime.start(chief(), "Go.", trace=trace)

    run_virtual(main())

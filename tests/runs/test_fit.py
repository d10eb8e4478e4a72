"""A conversation of any length is sent within the model's window, for few summaries, and all of it stays kept."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import count as numbers
from typing import Any

import pytest

from agentrt import Agent, Budget, Runtime, run, stream, tool
from agentrt.errors import ProviderFailed
from agentrt.events import AnyEvent, ContextTrimmed, FellBack, ModelReplied, Summarised
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, ImagePart, Message, ToolCall, ToolMessage, UserMessage
from agentrt.model.model import ModelRequest
from agentrt.model.tokens import count_request
from agentrt.runs.context import SUM_UP
from agentrt.runs.gauge import Gauge
from agentrt.testing import ScriptedModel, call, faults, reply, run_virtual
from agentrt.windows import ContextWindow
from tests.runs.world import assert_valid, results, world

SMALL = ContextWindow(tokens=4_000)


@tool
async def look(page: int) -> str:
    """Look at a page."""
    return f"Page {page}: " + "lorem ipsum " * 100


def clerk(window: ContextWindow | None = SMALL, **settings: Any) -> Agent[Any]:
    agent: Agent[Any] = Agent(
        name="clerk", model="openai:scripted", instructions="You are a clerk.", tools=[look], window=window, **settings
    )
    return agent


def asks_for_summary(request: dict[str, Any]) -> bool:
    return str(request["messages"][0]["content"]).startswith("You keep the minutes")


def assert_sendable(request: dict[str, Any]) -> None:
    """As strict servers have it: every call has its result right behind it."""
    wanted: list[str] = []
    for message in request["messages"]:
        if message["role"] == "tool":
            wanted.remove(message["tool_call_id"])
        else:
            assert not wanted
            wanted = [one["id"] for one in message.get("tool_calls") or ()]
    assert not wanted


class Reader:
    """A model that looks at one page in every run, and sums up when it is asked to."""

    def __init__(self, summary: str = "They looked at some pages.") -> None:
        self.model = ScriptedModel(self._answer)
        self._summary = summary
        self._pages = numbers(1)

    def _answer(self, request: dict[str, Any]) -> Any:
        assert_sendable(request)
        if asks_for_summary(request):
            return reply(self._summary)
        if request["messages"][-1]["role"] == "tool":
            return reply("That page says lorem ipsum. " * 4)
        return reply(calls=[call("look", page=next(self._pages))])

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [request for request in self.model.requests if not asks_for_summary(request)]

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [request for request in self.model.requests if asks_for_summary(request)]


def length(request: dict[str, Any]) -> int:
    """Characters of the messages sent. A token of these texts has fewer than five."""
    return len(json.dumps(request["messages"]))


def test_a_thread_of_two_hundred_turns_stays_within_a_small_window_for_few_summaries() -> None:
    reader = Reader()

    async def main() -> tuple[Message, ...]:
        async with world(reader.model):
            for n in range(100):
                answer = await run(clerk(), f"What does page {n + 1} say?", thread="t")
        return answer.messages

    messages = run_virtual(main())
    assert_valid(messages)
    assert len(messages) == 400
    assert all(len(content) > 1_000 for content in results(messages))  # the facts hold everything
    assert len(reader.asked) == 200
    assert 2 <= len(reader.summaries) <= 15
    for n, request in enumerate(reader.asked):
        assert f"What does page {n // 2 + 1} say?" in json.dumps(request["messages"][-3:])
        assert request["messages"][0]["content"] == "You are a clerk."
        assert length(request) < 4_000 * 5


def test_a_summary_is_kept_and_not_paid_again_by_the_runs_that_follow_or_by_another_process() -> None:
    journal = MemoryJournal()

    async def talk(reader: Reader, first: int, last: int) -> None:
        async with Runtime(providers=[reader.model.provider("openai")], journal=journal):
            for n in range(first, last):
                await run(clerk(), f"What does page {n} say?", thread="t")

    async def main() -> None:
        before, after = Reader("They looked at pages one and two."), Reader()
        n = 0
        while not before.summaries:
            await talk(before, n, n + 1)
            n += 1
        await talk(after, n, n + 1)
        assert not after.summaries
        roles = [(message["role"], message["content"]) for message in after.asked[0]["messages"][1:3]]
        assert roles == [("user", SUM_UP), ("assistant", "They looked at pages one and two.")]

    run_virtual(main())


def test_one_run_of_many_steps_keeps_its_question() -> None:
    pages = numbers(1)

    def answer(request: dict[str, Any]) -> Any:
        assert_sendable(request)
        if asks_for_summary(request):
            return reply("Pages until now: lorem ipsum.")
        page = next(pages)
        return reply(calls=[call("look", page=page)]) if page <= 60 else reply("All say lorem ipsum.")

    model = ScriptedModel(answer)

    async def main() -> None:
        async with world(model):
            answer = await run(clerk(budget=Budget(turns=99)), "Read all sixty pages.")
            assert answer.output == "All say lorem ipsum."
            assert len(results(answer.messages)) == 60

    run_virtual(main())
    asked = [request for request in model.requests if not asks_for_summary(request)]
    assert len(asked) == 61 and len(model.requests) - 61 <= 8
    for request in asked:
        assert {"role": "user", "content": "Read all sixty pages."} in request["messages"]


def test_what_was_shortened_can_be_read_where_it_was_cut() -> None:
    pages = numbers(1)
    notes: list[str] = []

    def answer(request: dict[str, Any]) -> Any:
        said = [str(message["content"]) for message in request["messages"] if message["role"] == "tool"]
        found = re.search(r'left out here to save room; read_result\(call_id="(\w+)", offset=(\d+)\)', "".join(said))
        offered = [offered["function"]["name"] for offered in request["tools"]]
        assert offered == ["look", "read_result"] if found else ["look"]
        if notes:
            notes.append(said[-1])
            return reply("Now I know.")
        if found:
            notes.append(found[0])
            arguments = json.dumps({"call_id": found[1], "offset": int(found[2])})
            return reply(calls=[ToolCall("r1", "read_result", arguments)])
        return reply(calls=[call("look", page=next(pages))])

    async def main() -> None:
        async with world(ScriptedModel(answer)):
            messages = (await run(clerk(ContextWindow(tokens=4_000, excerpt=200, summarise=False)), "Read.")).messages
        assert notes[1] == results(messages)[0][150:]

    run_virtual(main())


def test_the_events_tell_what_was_trimmed_and_the_usage_counts_the_summary() -> None:
    reader = Reader()

    async def main() -> None:
        async with world(reader.model):
            while True:
                async with stream(clerk(), "Next page.", thread="t") as running:
                    events: list[AnyEvent] = [event async for event in running]
                    answer = await running.answer()
                summaries = [event for event in events if isinstance(event, Summarised)]
                if summaries:
                    break
        (kept,) = summaries
        told = [event for event in events if isinstance(event, ContextTrimmed)][-1]
        assert told.before > 3_500 > told.after  # an eighth is kept free for the reply
        assert told.summarised == kept.covers
        assert kept.usage.requests == 1
        assert answer.usage.requests == 1 + sum(isinstance(event, ModelReplied) for event in events)

    run_virtual(main())


def test_a_record_for_the_summary_goes_on_from_the_summary_before() -> None:
    reader = Reader("A first summary.")

    async def main() -> None:
        async with world(reader.model):
            while len(reader.summaries) < 2:
                await run(clerk(), "Next page.", thread="t")

    run_virtual(main())
    record = reader.summaries[1]["messages"][1]["content"].splitlines()
    assert json.loads(record[0]) == {"summary so far": "A first summary."}
    assert "tools" not in reader.summaries[1]


def test_a_question_too_long_by_itself_is_refused_before_anything_is_sent() -> None:
    model = ScriptedModel(["never"])

    async def main() -> None:
        async with world(model):
            with pytest.raises(ProviderFailed, match=r"what the user said, \d+ tokens") as failed:
                await run(clerk(), "word " * 5_000)
            assert failed.value.reason == "context_length_exceeded"

    run_virtual(main())
    assert model.requests == []


def test_without_summaries_what_cannot_be_shortened_is_an_error() -> None:
    reader = Reader()

    async def talk() -> None:
        async with world(reader.model):
            for _ in range(100):
                await run(clerk(replace(SMALL, summarise=False)), "Next page.", thread="t")

    with pytest.raises(ProviderFailed, match="does not fit the window of openai:scripted: expected at most"):
        run_virtual(talk())
    assert not reader.summaries and len(reader.asked) > 10


def too_long(text: str) -> Any:
    return faults.status(400, code="context_length_exceeded", message=text)


SAID = "This model's maximum context length is 3000 tokens. However, your messages resulted in 5613 tokens."


def test_a_provider_that_finds_it_too_long_is_asked_once_more_and_its_window_is_learned() -> None:
    reader = Reader()

    async def main() -> None:
        async with world(reader.model):
            for _ in range(6):
                await run(clerk(ContextWindow()), "Next page.", thread="t")
            assert not reader.summaries
            reader.model.faults.then(too_long(SAID))
            async with stream(clerk(ContextWindow()), "Next page.", thread="t") as running:
                events = [event async for event in running]
            assert [event for event in events if isinstance(event, ContextTrimmed)]
            before = len(reader.asked)
            await run(clerk(ContextWindow()), "Next page.", messages=asked_before(100))
            assert all(length(request) < 3_000 * 5 for request in reader.asked[before - 1 :])

    run_virtual(main())


def test_a_request_that_is_too_long_only_with_its_reply_is_trimmed_to_leave_room_for_it() -> None:
    reader = Reader()
    said = "maximum context length is 4096 tokens and your request has 2104 input tokens (2000 > 4096 - 2104)."
    reader.model.faults.then(too_long(said))

    async def main() -> None:
        async with world(reader.model):
            await run(clerk(ContextWindow(), max_output_tokens=2_000), "Next page.", messages=asked_before(20))

    run_virtual(main())
    assert len(reader.summaries) == 1
    assert all(length(request) < 2_096 * 5 for request in reader.model.requests)


def test_a_provider_that_finds_it_too_long_twice_has_the_last_word() -> None:
    model = ScriptedModel([])
    model.faults.then(too_long("too big")).then(too_long("still too big"))

    async def main() -> None:
        async with world(model):
            with pytest.raises(ProviderFailed, match="still too big"):
                await run(clerk(ContextWindow()), "word " * 2_000, messages=[*asked_before(40)])

    run_virtual(main())


def asked_before(exchanges: int) -> list[Message]:
    return [m for n in range(exchanges) for m in (UserMessage(f"What is {n}?"), AssistantMessage("A number. " * 20))]


def test_a_history_of_many_windows_is_summed_up_piece_by_piece() -> None:
    reader = Reader()

    async def main() -> None:
        async with world(reader.model):
            await run(clerk(), "Next page.", messages=asked_before(600))

    run_virtual(main())
    assert 5 <= len(reader.summaries) <= 30
    for request in reader.model.requests:
        assert length(request) < 4_000 * 5


@pytest.mark.parametrize("said", ["", "blah " * 20_000])
def test_a_summary_that_is_none_is_paid_once_and_not_used(said: str) -> None:
    reader = Reader(said)

    async def main() -> None:
        async with world(reader.model):
            history = asked_before(15)
            async with stream(clerk(replace(SMALL, tokens=1_500)), "Next page.", messages=history) as running:
                events = [event async for event in running]
                with pytest.raises(ProviderFailed, match="does not fit"):
                    await running.answer()
            (kept,) = [event for event in events if isinstance(event, Summarised)]
            assert (kept.text, kept.covers, kept.usage.requests) == ("", 0, 1)

    run_virtual(main())
    assert len(reader.summaries) == 1


def test_without_a_policy_nothing_is_trimmed() -> None:
    reader = Reader()

    async def main() -> None:
        async with world(reader.model):
            await run(clerk(None), "Next page.", messages=asked_before(600))

    run_virtual(main())
    assert len(reader.asked[0]["messages"]) == 1_202 and not reader.summaries


def test_a_fallback_with_a_window_of_its_own_gets_what_fits_there() -> None:
    large, small = Reader(), Reader()
    large.model.faults.afterwards(faults.status(503))
    agent = replace(clerk(ContextWindow(tokens=90_000)), model="large:own", fallbacks=("openai:gpt-4",))

    async def main() -> None:
        async with Runtime(providers=[large.model.provider("large"), small.model.provider("openai")]):
            async with stream(agent, "Next page.", messages=asked_before(400)) as running:
                events = [event async for event in running]
            assert [event for event in events if isinstance(event, FellBack)]

    run_virtual(main())
    assert not large.model.requests
    assert len(small.asked) == 2 and all(length(request) < 8_192 * 5 for request in small.asked)


def test_room_is_kept_for_instructions_and_the_reply() -> None:
    reader = Reader()
    agent = replace(clerk(), instructions="Never lie. " * 400, max_output_tokens=1_500)

    async def main() -> None:
        async with world(reader.model):
            for _ in range(20):
                await run(agent, "Next page.", thread="t")

    run_virtual(main())
    for request in reader.model.requests:
        assert length(request) < 2_500 * 5
        assert request["max_completion_tokens"] == 1_500


def test_each_message_is_counted_once_and_as_a_request_would_be() -> None:
    gauge = Gauge()
    count = gauge.counter("gpt-4o")
    messages: tuple[Message, ...] = (
        UserMessage("hello"),
        UserMessage((ImagePart(url="https://example.org/a.png"),)),
        ToolMessage("c1", "look", "lorem " * 500),
    )
    assert count(messages[1]) >= 1_000
    empty = count_request(ModelRequest(model="gpt-4o", messages=())).tokens
    assert sum(map(count, messages)) + empty == count_request(ModelRequest(model="gpt-4o", messages=messages)).tokens
    assert count(UserMessage("hello")) == count(messages[0])
    assert len(vars(gauge)["_counts"]) == 3


def test_what_the_provider_counts_corrects_what_we_count() -> None:
    gauge = Gauge()
    assert gauge.ratio("openai:own") == 1.0
    gauge.told("openai:own", 999, 700)
    gauge.told("openai:own", 5_000, 10)
    assert gauge.ratio("openai:own") == 1.0  # neither says anything
    gauge.told("openai:own", 10_000, 6_520)
    assert gauge.ratio("openai:own") == 0.7
    gauge.told("openai:own", 10_000, 6_000)
    assert gauge.ratio("openai:own") == 0.7
    gauge.told("openai:own", 10_000, 8_000)
    assert gauge.ratio("openai:own") == 0.85
    assert gauge.ratio("groq:own") == 1.0


def test_a_model_whose_tokens_are_fewer_than_our_estimates_is_sent_more() -> None:
    def longest(ratio: float) -> int:
        def answer(request: dict[str, Any]) -> Any:
            if asks_for_summary(request):
                return reply("They took notes.")
            return reply("Noted.", usage=(int(length(request) / 4.6 * ratio), 5))

        model = ScriptedModel(answer)

        async def main() -> None:
            async with world(model):
                for n in range(120):
                    await run(clerk(), f"Note {n}: " + "lorem ipsum " * 20, thread="t")

        run_virtual(main())
        return max(length(request) for request in model.requests if not asks_for_summary(request))

    assert 1.25 < longest(0.7) / longest(1.0) < 1.5

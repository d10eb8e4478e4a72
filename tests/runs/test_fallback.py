"""A model that cannot be asked is followed by the agent's next one, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentrt import Agent, Runtime, run, stream
from agentrt.errors import ProviderFailed, SettingInvalid
from agentrt.events import AnyEvent, CallAttempted, FellBack, Rewound, TextDelta
from agentrt.messages import Answer, AssistantMessage
from agentrt.testing import ScriptedModel, assert_no_leaks, call, faults, reply, run_virtual
from agentrt.testing.faults import Fault
from tests.runs.world import CLERK

AGENT = replace(CLERK, fallbacks=("backup:spare",))
DOWN = faults.status(503)


def ask(first: ScriptedModel, second: ScriptedModel, agent: Agent[None] = AGENT) -> tuple[Answer, list[AnyEvent]]:
    async def main() -> tuple[Answer, list[AnyEvent]]:
        providers = [first.provider("openai"), second.provider("backup")]
        async with assert_no_leaks(), Runtime(providers=providers) as runtime:
            async with assert_no_leaks(runtime), stream(agent, "Hello?") as running:
                events = [event async for event in running]
                return await running.answer(), events

    return run_virtual(main())


def fell_back(events: list[AnyEvent]) -> list[FellBack]:
    return [event for event in events if isinstance(event, FellBack)]


@pytest.mark.parametrize(
    "fault",
    [
        DOWN,
        faults.status(429),
        faults.status(429, code="insufficient_quota"),
        faults.silent(100),
        faults.status(401),
        faults.status(404),
    ],
    ids=["down", "throttled", "out of quota", "silent", "key revoked", "model gone"],
)
def test_the_next_model_is_asked_where_the_first_cannot_answer(fault: Fault) -> None:
    first, second = ScriptedModel([]), ScriptedModel(["Here."])
    first.faults.afterwards(fault)
    answer, events = ask(first, second)

    assert answer.output == "Here."
    (fell,) = fell_back(events)
    assert (fell.model, fell.instead_of) == ("backup:spare", "openai:scripted")
    assert [body["model"] for body in second.requests] == ["spare"]


def test_a_model_that_answers_is_the_only_one_asked() -> None:
    first, second = ScriptedModel(["Here."]), ScriptedModel([])
    answer, events = ask(first, second)
    assert (answer.output, fell_back(events), second.requests) == ("Here.", [], [])


def test_a_request_that_is_wrong_is_wrong_everywhere() -> None:
    first, second = ScriptedModel([]), ScriptedModel(["Here."])
    first.faults.afterwards(faults.status(400))
    with pytest.raises(ProviderFailed):
        ask(first, second)
    assert second.requests == []


def test_the_last_model_says_why_there_is_no_answer() -> None:
    first, second = ScriptedModel([]), ScriptedModel([])
    first.faults.afterwards(DOWN)
    second.faults.afterwards(faults.status(429, code="insufficient_quota"))
    with pytest.raises(ProviderFailed) as caught:
        ask(first, second)
    assert caught.value.reason == "provider_exhausted"


def test_text_of_the_first_is_taken_back_before_the_next_speaks() -> None:
    first, second = ScriptedModel([reply("one two three four", pieces=4)] * 3), ScriptedModel(["Here."])
    first.faults.afterwards(faults.cut(after=600))
    answer, events = ask(first, second)

    assert answer.output == "Here."
    shown: dict[str, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            shown[event.message_id] = shown.get(event.message_id, "") + event.text
        elif isinstance(event, Rewound):
            assert shown.pop(event.replaced_by, None) is None
            del shown[event.message_id]
    assert list(shown.values()) == ["Here."]


def test_a_key_known_to_be_used_up_is_passed_over_without_a_request() -> None:
    first, second = ScriptedModel([]), ScriptedModel(["One.", "Two."])
    first.faults.afterwards(faults.status(429, code="insufficient_quota"))

    async def main() -> None:
        async with Runtime(providers=[first.provider("openai"), second.provider("backup")]):
            assert (await run(AGENT, "Hello?")).output == "One."
            assert (await run(AGENT, "Hello?")).output == "Two."

    run_virtual(main())
    assert len(first.faults.requests) == 1


def test_each_turn_asks_the_preferred_model_first() -> None:
    first, second = ScriptedModel(["Here."]), ScriptedModel([reply(calls=[call("wait", seconds=1)])])
    first.faults.then(DOWN, times=3)
    answer, events = ask(first, second)

    assert answer.output == "Here."
    asked = [event.model for event in events if isinstance(event, CallAttempted) and event.error is None]
    assert asked == ["spare", "scripted"]


def test_what_one_provider_wants_back_is_not_sent_to_another() -> None:
    first, second = ScriptedModel(["Here."]), ScriptedModel(["Here."])

    async def main() -> None:
        before = [
            AssistantMessage("A.", extra='{"reasoning_content":"mine"}', provider="openai"),
            AssistantMessage("B.", extra='{"signature":"its own"}', provider="backup"),
        ]
        async with Runtime(providers=[first.provider("openai"), second.provider("backup")]):
            await run(AGENT, "Hello?", messages=before)
            first.faults.afterwards(DOWN)
            await run(AGENT, "Hello?", messages=before)

    run_virtual(main())
    mine, its_own = first.requests[0]["messages"], second.requests[0]["messages"]
    assert [("reasoning_content" in said, "signature" in said) for said in mine[:2]] == [(True, False), (False, False)]
    assert [("reasoning_content" in said, "signature" in said) for said in its_own[:2]] == [
        (False, False),
        (False, True),
    ]


@pytest.mark.parametrize("fallbacks", [["no-colon"], ["openai:"], "backup:spare"])
def test_a_fallback_that_names_no_model_is_an_error(fallbacks: object) -> None:
    with pytest.raises(SettingInvalid, match="fallbacks"):
        replace(CLERK, fallbacks=fallbacks)  # type: ignore[arg-type]

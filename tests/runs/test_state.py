from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrt.events import (
    CancelAsked,
    Fact,
    ModelReplied,
    RunEnded,
    RunResumed,
    RunStarted,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import AssistantMessage, FinishReason, ToolCall, ToolMessage, Usage, UserMessage
from agentrt.runs.state import RunState, Stop, fold

STARTED = RunStarted(run_id="r1", agent="clerk", model="openai:m", messages=(UserMessage("How many?"),), ends_at=600.0)


def replied(*ids: str, text: str = "") -> ModelReplied:
    calls = tuple(ToolCall(c, "stock", "{}") for c in ids)
    finish: FinishReason = "tool_calls" if ids else "stop"
    return ModelReplied(
        message_id="m1", message=AssistantMessage(text, calls), finish=finish, usage=Usage(10, 5, requests=1)
    )


def returned(call: str) -> ToolReturned:
    return ToolReturned(call_id=call, name="stock", status="ok", content=f"result of {call}")


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """What a run may live through: turns of calls whose results land in any order, then an end or none."""
    facts: list[Fact] = [STARTED]
    for turn in range(draw(st.integers(0, 3))):
        ids = [f"c{turn}.{n}" for n in range(draw(st.integers(0, 4)))]
        facts.append(replied(*ids))
        landing = draw(st.permutations(ids))
        facts += [ToolStarted(call_id=c, name="stock", arguments="{}", idempotency_key=c) for c in ids]
        facts += [returned(c) for c in landing]
    if draw(st.booleans()):
        facts.append(RunEnded(outcome="success"))
    return facts


@given(histories(), st.data())
def test_folding_in_two_parts_is_folding_at_once(facts: list[Fact], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(facts)))
    assert fold(facts[cut:], fold(facts[:cut])) == fold(facts)


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_transcript_does_not_depend_on_the_order_in_which_results_land(landing: list[str]) -> None:
    state = fold([STARTED, replied("a", "b", "c", "d"), *(returned(c) for c in landing)])
    results = [message.call_id for message in state.messages if isinstance(message, ToolMessage)]
    assert results == ["a", "b", "c", "d"]
    assert state.open_calls == ()


def test_calls_without_a_result_are_open_and_join_the_transcript_together() -> None:
    state = fold([STARTED, replied("a", "b"), returned("b")])
    assert [call.id for call in state.open_calls] == ["a"]
    assert not any(isinstance(message, ToolMessage) for message in state.messages)


def test_usage_and_counts_add_up_over_turns() -> None:
    state = fold([STARTED, replied("a", "b"), returned("a"), returned("b"), replied(text="Three.")])
    assert state.usage == Usage(20, 10, requests=2)
    assert (state.turns, state.tool_calls) == (2, 2)


def test_the_answer_is_the_text_of_the_last_reply() -> None:
    state = fold([STARTED, replied("a"), returned("a"), replied(text="Three.")])
    assert state.answer().output == "Three."
    assert state.answer().messages[-1] == AssistantMessage("Three.")


def test_a_run_whose_model_was_never_asked_has_an_empty_answer_in_spite_of_its_history() -> None:
    before = RunState(messages=(UserMessage("Earlier?"), AssistantMessage("Earlier.")))
    assert fold([STARTED], before).text == ""


def test_a_cancel_and_the_end_are_remembered() -> None:
    state = fold([STARTED, CancelAsked(reason="user"), RunEnded(outcome="cancelled")])
    assert state.stop == Stop("now", "user")
    assert state.ended is not None
    assert state.ended.outcome == "cancelled"


def test_a_call_has_started_from_its_intent_to_its_result_also_over_a_resumption() -> None:
    intents = [ToolStarted(call_id=c, name="stock", arguments="{}", idempotency_key=c) for c in ("a", "b")]
    facts: list[Fact] = [STARTED, replied("a", "b", "c"), *intents, returned("b"), RunResumed()]
    assert fold(facts).started == {"a"}
    assert fold([*facts, intents[0]]).started == {"a"}
    assert fold([*facts, returned("a")]).started == frozenset()
    assert fold([*facts, replied()]).started == frozenset()


@given(histories(), st.data())
def test_a_resumption_changes_no_state(facts: list[Fact], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(facts)))
    assert fold([*facts[:cut], RunResumed(), *facts[cut:]]) == fold(facts)

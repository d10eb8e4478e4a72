from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentrt.agent import Budget
from agentrt.messages import AssistantMessage, FinishReason, Message, ToolCall, Usage, UserMessage
from agentrt.runs.moves import AskModel, CallTools, End, next_move
from agentrt.runs.state import RunState, Stop

CALLS = (ToolCall("a", "stock"), ToolCall("b", "stock"))
ASKED: tuple[Message, ...] = (UserMessage("How many?"),)
CALLING = RunState(messages=(*ASKED, AssistantMessage("", CALLS)), turns=1, tool_calls=2, calls=CALLS)
ANSWERED = RunState(messages=(*ASKED, AssistantMessage("Three.")), turns=1, finish="stop")


def test_a_question_goes_to_the_model() -> None:
    assert next_move(RunState(messages=ASKED), Budget(), 0.0) == AskModel(offer_tools=True)


def test_open_calls_are_run() -> None:
    assert next_move(CALLING, Budget(), 0.0) == CallTools(CALLS)


def test_a_reply_without_calls_is_the_end() -> None:
    assert next_move(ANSWERED, Budget(), 0.0) == End("success")


@pytest.mark.parametrize("finish", ["content_filter", "refusal"])
def test_a_model_that_would_not_answer_fails_the_run(finish: FinishReason) -> None:
    move = next_move(replace(ANSWERED, finish=finish), Budget(), 0.0)
    assert isinstance(move, End)
    assert (move.outcome, move.code) == ("failed", "content_filtered")


def test_tools_are_withheld_on_the_last_turn_of_the_budget() -> None:
    last = RunState(messages=ASKED, turns=2)
    assert next_move(last, Budget(turns=3), 0.0) == AskModel(offer_tools=False)
    assert next_move(last, Budget(turns=4), 0.0) == AskModel(offer_tools=True)


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        (Budget(turns=1), "1 of 1 turns"),
        (Budget(tool_calls=1), "2 tool calls asked for, 1 allowed"),
        (Budget(tokens=15), "15 of 15 tok"),
    ],
)
def test_what_the_budget_does_not_cover_is_not_begun(budget: Budget, spent: str) -> None:
    move = next_move(replace(CALLING, usage=Usage(10, 5)), budget, 0.0)
    assert isinstance(move, End)
    assert (move.outcome, move.code) == ("budget", "budget_exceeded")
    assert spent in move.message


def test_a_finished_answer_is_a_success_though_it_used_up_the_budget() -> None:
    assert next_move(replace(ANSWERED, usage=Usage(100, 5)), Budget(turns=1, tokens=10), 0.0) == End("success")


def test_the_deadline_ends_a_run_that_still_has_something_to_do() -> None:
    move = next_move(replace(CALLING, ends_at=10.0), Budget(), 10.0)
    assert isinstance(move, End)
    assert move.outcome == "deadline"
    assert next_move(replace(CALLING, ends_at=10.0), Budget(), 9.9) == CallTools(CALLS)


def test_a_cancel_goes_before_everything_else() -> None:
    move = next_move(replace(CALLING, stop=Stop("now", "user"), ends_at=0.0), Budget(turns=1), 10.0)
    assert move == End("cancelled", "cancelled", "user")


def test_an_answer_that_came_before_the_deadline_was_noticed_still_counts() -> None:
    assert next_move(replace(ANSWERED, ends_at=10.0), Budget(), 11.0) == End("success")


def test_a_run_whose_process_died_while_it_ended_it_is_not_a_success() -> None:
    cut_short = replace(ANSWERED, finish="cancelled", ends_at=10.0)
    move = next_move(cut_short, Budget(turns=1), 9.0)
    assert isinstance(move, End)
    assert (move.outcome, move.code, move.message) == ("failed", "internal", "the process died while it ended the run")
    late = next_move(cut_short, Budget(turns=1), 10.0)
    assert isinstance(late, End)
    assert late.outcome == "deadline"
    cancelled = next_move(replace(cut_short, stop=Stop("now", "enough")), Budget(turns=1), 10.0)
    assert cancelled == End("cancelled", "cancelled", "enough")

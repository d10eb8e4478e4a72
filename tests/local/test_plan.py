from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec
import pytest

from agentrt.local.plan import Call, Inquiry, Rule, Turn, next_turn
from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, ToolSpec, UserMessage


def tool(name: str, *arguments: str, required: Sequence[str] | None = None) -> ToolSpec:
    schema = {
        "type": "object",
        "properties": {argument: {"type": "string"} for argument in arguments},
        "required": list(arguments if required is None else required),
    }
    return ToolSpec(name, "", msgspec.Raw(json.dumps(schema).encode()))


def open_calls(inquiry: Inquiry) -> Sequence[Call]:
    """Open the door, then what the door's result names, one thing a word."""
    door = inquiry.result("open", inquiry.subject) or ""
    return [Call("open", inquiry.subject), Call("knock", inquiry.subject), *(Call("look", x) for x in door.split())]


def render(inquiry: Inquiry) -> str:
    return "; ".join(f"{call.tool} {call.value}: {text}" for call, text in inquiry.results.items())


DOOR = Rule((re.compile("open (?P<subject>\\w+)"),), "open", "what is behind the {subject}", open_calls, render)
OPEN, KNOCK, LOOK = tool("open", "what"), tool("knock", "at"), tool("look", "thing")
ASKED = UserMessage("open sesame")


def after(turn: Turn, results: Sequence[str], start: int = 0) -> list[Message]:
    """The messages that a turn of calls and their results leave."""
    calls = [ToolCall(f"c{start + n}", name, arguments) for n, (name, arguments) in enumerate(turn.calls)]
    answers = [ToolMessage(call.id, call.name, text) for call, text in zip(calls, results, strict=True)]
    return [AssistantMessage("", tuple(calls)), *answers]


def test_calls_that_wait_for_no_result_are_made_together() -> None:
    turn = next_turn([ASKED], [OPEN, KNOCK, LOOK], [DOOR])
    assert turn == Turn(calls=(("open", '{"what":"sesame"}'), ("knock", '{"at":"sesame"}')))


def test_results_bring_further_calls_and_then_the_answer() -> None:
    tools = [OPEN, KNOCK, LOOK]
    messages: list[Message] = [ASKED]
    messages += after(next_turn(messages, tools, [DOOR]), ["gold gold jars", "nobody"])
    turn = next_turn(messages, tools, [DOOR])
    assert turn.calls == (("look", '{"thing":"gold"}'), ("look", '{"thing":"jars"}'))
    messages += after(turn, ["shiny", "empty"], start=2)
    text = "open sesame: gold gold jars; knock sesame: nobody; look gold: shiny; look jars: empty"
    assert next_turn(messages, tools, [DOOR]) == Turn(text)


def test_a_tool_that_is_not_offered_is_not_called() -> None:
    assert next_turn([ASKED], [OPEN], [DOOR]).calls == (("open", '{"what":"sesame"}'),)


def test_without_the_tool_it_needs_the_rule_says_that_it_cannot_tell() -> None:
    text = next_turn([ASKED], [KNOCK], [DOOR]).text
    assert text == "I cannot tell what is behind the sesame: the tool `open` is not offered to me."
    assert next_turn([ASKED], [], [DOOR]).text.endswith("I may call no tools.")


def test_when_tools_are_withheld_it_answers_from_what_it_has() -> None:
    messages: list[Message] = [ASKED]
    messages += after(next_turn(messages, [OPEN], [DOOR]), ["gold"])
    assert next_turn(messages, [], [DOOR]) == Turn("open sesame: gold")


def test_the_last_user_message_is_the_question_and_earlier_results_are_not_its_own() -> None:
    first = after(Turn(calls=(("open", '{"what":"jar"}'),)), ["genie"])
    messages: list[Message] = [
        SystemMessage("open nothing"),
        UserMessage("open jar"),
        *first,
        AssistantMessage("done"),
        ASKED,
    ]
    assert next_turn(messages, [OPEN], [DOOR]).calls == (("open", '{"what":"sesame"}'),)
    again: list[Message] = [*messages, *after(Turn(calls=(("open", '{"what":"sesame"}'),)), ["gold"]), ASKED]
    assert next_turn(again, [OPEN], [DOOR]).calls == (("open", '{"what":"sesame"}'),)


@pytest.mark.parametrize("messages", [[], [SystemMessage("open sesame")], [UserMessage(" ")], [UserMessage("shut it")]])
def test_a_question_no_rule_fits_is_no_error(messages: list[Message]) -> None:
    assert "no" in next_turn(messages, [OPEN], [DOOR]).text


def test_the_name_of_the_argument_is_taken_from_the_schema() -> None:
    optional = tool("open", "door", "speed", required=["door"])
    assert next_turn([ASKED], [optional], [DOOR]).calls == (("open", '{"door":"sesame"}'),)
    unmarked = tool("open", "gate", "speed", required=[])
    assert next_turn([ASKED], [unmarked], [DOOR]).calls == (("open", '{"gate":"sesame"}'),)


@pytest.mark.parametrize("parameters", [b"7", b"{", b"{}", b'{"required": ["a", "b"]}'])
def test_a_tool_that_cannot_be_called_with_one_argument_is_not_used(parameters: bytes) -> None:
    assert "not offered" in next_turn([ASKED], [ToolSpec("open", "", msgspec.Raw(parameters))], [DOOR]).text


def test_calls_of_other_makers_do_no_harm() -> None:
    strange = AssistantMessage("", (ToolCall("x", "open", "no json"), ToolCall("y", "open", '{"n": 1}')))
    messages: list[Message] = [
        ASKED,
        strange,
        ToolMessage("x", "open", "?"),
        ToolMessage("y", "open", "?"),
        ToolMessage("z", "a", ""),
    ]
    assert next_turn(messages, [OPEN], [DOOR]).calls == (("open", '{"what":"sesame"}'),)


def test_a_rule_that_gives_way_leaves_the_question_to_the_next_that_fits() -> None:
    def is_empty(inquiry: Inquiry) -> bool:
        return inquiry.result("open", inquiry.subject) == ""

    guess = Rule(DOOR.patterns, "open", "", open_calls, render, gives_way=is_empty)
    knocking = Rule((re.compile("(?P<subject>.+)"),), "knock", "", lambda x: [Call("knock", x.question)], render)
    messages: list[Message] = [ASKED]
    messages += after(next_turn(messages, [OPEN, KNOCK], [guess, knocking]), ["", "who?"])
    assert next_turn(messages, [OPEN, KNOCK], [guess, knocking]).calls == (("knock", '{"at":"open sesame"}'),)
    assert next_turn(messages, [OPEN, KNOCK], [guess]).text == "I was asked nothing that I have a rule for."

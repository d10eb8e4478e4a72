"""The next turn of the rules provider, worked out from the request and from nothing else.

A rule does not remember where it is. Out of the results so far it says which calls ought to have been made
by now; those that were not are the next turn, and when none is left it words the answer. So a resumed, a
repeated and a shortened conversation all go on from where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agentrt.messages import AssistantMessage, Message, ToolMessage, ToolSpec, UserMessage, text_of


class Call(msgspec.Struct, frozen=True):
    """A call with its one argument."""

    tool: str
    value: str


class Inquiry(msgspec.Struct, frozen=True):
    """A question and what is known of it.

    `subject` is what the rule's pattern found in the question, `offered` the name of the one argument of
    each tool that may be called, `results` what the calls since the question brought.
    """

    question: str
    subject: str
    offered: Mapping[str, str]
    results: Mapping[Call, str]

    def result(self, tool: str, value: str) -> str | None:
        """What that call brought, or None if it was not made."""
        return self.results.get(Call(tool, value))


def _never(_: Inquiry) -> bool:
    return False


class Rule(msgspec.Struct, frozen=True):
    """What to do about one kind of question.

    One of `patterns` finds it, with a group `subject`; without the tool `needs` the rule is of no use; `calls`
    gives all calls that ought to have been made by now; `render` words the answer; `lacking` is what
    cannot be told without the tool. A rule that only guessed from the question what it is about says by
    `gives_way`, out of the results so far, that it guessed wrong: then the next pattern that fits is used.
    """

    patterns: tuple[re.Pattern[str], ...]
    needs: str
    lacking: str
    calls: Callable[[Inquiry], Sequence[Call]]
    render: Callable[[Inquiry], str]
    gives_way: Callable[[Inquiry], bool] = _never


class Turn(msgspec.Struct, frozen=True):
    """An answer, or calls as pairs of the tool's name and its arguments in JSON."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()


def next_turn(messages: Sequence[Message], tools: Sequence[ToolSpec], rules: Sequence[Rule]) -> Turn:
    """What to say or call next about the last user message; the first of `rules` that fits it is used."""
    asked = max((n for n, message in enumerate(messages) if isinstance(message, UserMessage)), default=None)
    if asked is not None:
        question, offered, results = text_of(messages[asked]).strip(), _offered(tools), _results(messages[asked + 1 :])
        for rule in rules:
            for found in filter(None, (pattern.search(question) for pattern in rule.patterns)):
                inquiry = Inquiry(question, found["subject"], offered, results)
                if not rule.gives_way(inquiry):
                    return _turn(rule, inquiry, any_tools=bool(tools))
    return Turn("I was asked nothing that I have a rule for.")


def _turn(rule: Rule, inquiry: Inquiry, *, any_tools: bool) -> Turn:
    wanted = dict.fromkeys(rule.calls(inquiry))
    if rule.needs not in inquiry.offered and not any(c.tool == rule.needs and c in inquiry.results for c in wanted):
        return Turn(_cannot(rule, inquiry, any_tools=any_tools))
    due = [c for c in wanted if c.tool in inquiry.offered and c not in inquiry.results]
    if not due:
        return Turn(rule.render(inquiry))
    return Turn(calls=tuple((c.tool, _arguments(inquiry.offered[c.tool], c.value)) for c in due))


def _cannot(rule: Rule, inquiry: Inquiry, *, any_tools: bool) -> str:
    missing = f"the tool `{rule.needs}` is not offered to me" if any_tools else "I may call no tools"
    return f"I cannot tell {rule.lacking.format(subject=inquiry.subject)}: {missing}."


def _arguments(name: str, value: str) -> str:
    return msgspec.json.encode({name: value}).decode()


class _Schema(msgspec.Struct):
    properties: dict[str, Any] = {}
    required: list[str] = []


def _offered(tools: Sequence[ToolSpec]) -> dict[str, str]:
    """The tools that can be called with one argument, and the name of that argument."""
    offered: dict[str, str] = {}
    for tool in tools:
        try:
            schema = msgspec.json.decode(tool.parameters, type=_Schema)
        except msgspec.DecodeError:
            continue
        names = schema.required or list(schema.properties)[:1]
        if len(names) == 1:
            offered[tool.name] = names[0]
    return offered


def _results(messages: Sequence[Message]) -> dict[Call, str]:
    called: dict[str, Call] = {}
    results: dict[Call, str] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            called |= {call.id: Call(call.name, _value(call.arguments)) for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.call_id in called:
            results[called[message.call_id]] = message.content
    return results


def _value(arguments: str) -> str:
    """The first text among the arguments, '' if there is none."""
    try:
        values = msgspec.json.decode(arguments, type=dict[str, Any]).values()
    except msgspec.DecodeError:
        return ""
    return next((value for value in values if isinstance(value, str)), "")

"""What the tests of rules share: a small made-up world of packages, and a conversation with rules over some tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import msgspec

from agentrt.local.plan import Rule, next_turn
from agentrt.messages import AssistantMessage, Message, ToolCall, ToolMessage, ToolSpec, UserMessage

Tools = Mapping[str, Callable[[str], str]]

DOCS = {
    "u/alpha": "# Alpha\n\nAlpha is a tool for making letters.\n\nIt has many friends.\n",
    "u/beta": "Beta\n====\n\nThis is a library that sorts letters.\n\nBeta needs care.\n",
    "u/gamma": "Gamma\n=====\n\nGamma reads letters aloud.\n\nThat is all.\n",
    "u/core": "Core\n====\n\nCore is the framework below all letters.\n\nThat is all.\n",
}
HITS = [
    {"title": "Core", "url": "u/core", "text": "Core is the framework below all letters.", "score": 3.5},
    {"title": "alpha", "url": "u/alpha", "text": "Alpha is a tool for making letters.", "score": 2.0},
]


def spec(name: str) -> ToolSpec:
    return ToolSpec(name, "", msgspec.Raw(b'{"properties": {"it": {"type": "string"}}, "required": ["it"]}'))


def converse(question: str, rules: Sequence[Rule], tools: Tools, turns: int) -> tuple[str, list[list[tuple[str, str]]]]:
    """The answer, and the calls turn by turn; in the last of `turns` the tools are withheld."""
    messages: list[Message] = [UserMessage(question)]
    made: list[list[tuple[str, str]]] = []
    while True:
        offered: Sequence[ToolSpec] = [spec(name) for name in tools] if len(made) < turns - 1 else []
        turn = next_turn(messages, offered, rules)
        if not turn.calls:
            return turn.text, made
        values = [(name, json.loads(arguments)["it"]) for name, arguments in turn.calls]
        calls = [ToolCall(f"c{len(made)}.{n}", *call) for n, call in enumerate(turn.calls)]
        messages.append(AssistantMessage("", tuple(calls)))
        for call, (name, value) in zip(calls, values, strict=True):
            messages.append(ToolMessage(call.id, name, tools[name](value)))
        made.append(values)

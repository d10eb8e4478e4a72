"""The whole idea of agentrt in about a hundred lines of the standard library.

A run is a list of facts. Its state is their fold. The next move follows from the state. One loop makes
the moves, and whoever wants to watch reads the list. What the real one adds - limits, retries, cancels
that are awaited, a journal on disk - changes none of these sentences; tests/examples holds the two
against each other.

    python examples/whole_idea.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any


# ---- facts: what happened, and nothing else ---------------------------------------------------------
@dataclass(frozen=True)
class Asked:
    text: str


@dataclass(frozen=True)
class Call:
    id: str
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Replied:
    text: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Returned:
    call: Call
    result: str


Fact = Asked | Replied | Returned


# ---- the state is their fold -------------------------------------------------------------------------
@dataclass(frozen=True)
class State:
    messages: tuple[tuple[str, str], ...] = ()
    calls: tuple[Call, ...] = ()
    results: tuple[tuple[str, str], ...] = ()


def apply(state: State, fact: Fact) -> State:
    match fact:
        case Asked(text):
            return replace(state, messages=(*state.messages, ("user", text)))
        case Replied(text, calls):
            return replace(state, messages=(*state.messages, ("assistant", text)), calls=calls, results=())
        case Returned(call, result):
            results = (*state.results, (call.id, result))
            if len(results) < len(state.calls):
                return replace(state, results=results)
            ordered = tuple(("tool", dict(results)[call.id]) for call in state.calls)
            return State(messages=(*state.messages, *ordered))


# ---- the next move follows from the state ------------------------------------------------------------
def next_move(state: State) -> str:
    if state.calls:
        return "call tools"
    return "end" if state.messages[-1][0] == "assistant" else "ask model"


# ---- one loop makes the moves ------------------------------------------------------------------------
Model = Callable[[tuple[tuple[str, str], ...]], Awaitable[Replied]]
Tool = Callable[..., Awaitable[str]]


async def run(model: Model, tools: dict[str, Tool], question: str, watch: Callable[[Fact], None]) -> State:
    facts: list[Fact] = []

    def happened(fact: Fact) -> State:
        facts.append(fact)  # the real one appends to a journal, and waits for it before going on
        watch(fact)
        return reduce(apply, facts, State())

    async def perform(call: Call) -> None:
        try:
            result = await tools[call.tool](**call.arguments)
        except Exception as error:  # noqa: BLE001 - a tool that fails stops nobody: the model reads what went wrong
            result = f"{type(error).__name__}: {error}"
        happened(Returned(call, result))

    state = happened(Asked(question))
    while (move := next_move(state)) != "end":
        if move == "ask model":
            state = happened(await model(state.messages))
        else:
            async with asyncio.TaskGroup() as group:  # all calls of a turn, side by side
                for call in state.calls:
                    group.create_task(perform(call))
            state = reduce(apply, facts, State())
    return state


# ---- somebody to try it with -------------------------------------------------------------------------
async def shelf(sku: str) -> str:
    await asyncio.sleep({"A-1207": 0.2, "B-33": 0.1}[sku])
    return {"A-1207": "3 left", "B-33": "none left"}[sku]


async def script(messages: tuple[tuple[str, str], ...]) -> Replied:
    results = [text for role, text in messages if role == "tool"]
    if not results:
        wanted = ("A-1207", "B-33", "C-9")
        return Replied("", tuple(Call(f"c{n}", "shelf", {"sku": sku}) for n, sku in enumerate(wanted)))
    return Replied("; ".join(results))


if __name__ == "__main__":
    asyncio.run(run(script, {"shelf": shelf}, "How many A-1207, B-33 and C-9 are left?", print))

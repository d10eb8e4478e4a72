"""A run's facts gone through once more, move by move: was each what follows from those before?

Pure. For who wants to know why a run did what it did, and whether this version would do it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from agentrt.agent import Budget
from agentrt.events import ApprovalAsked, ClientAsked, Fact, ModelReplied, RunEnded, ToolReturned, ToolStarted
from agentrt.runs.moves import AskModel, CallTools, End, Move, Rest, next_move
from agentrt.runs.state import RunState, apply


class Step(msgspec.Struct, frozen=True):
    """A fact and the move that follows from all up to it; None behind the last.

    `doubt` says why the fact itself does not follow from those before; None if it does.
    """

    fact: Fact
    move: Move | None
    doubt: str | None


def retraced(facts: Iterable[Fact], budget: Budget, before: RunState) -> Iterator[Step]:
    """The steps of a run that began in the state `before`."""
    state = before
    move: Move | None = None
    for fact in facts:
        doubt = _doubt(state, move, fact)
        state = apply(state, fact)
        move = None if isinstance(fact, RunEnded) else next_move(state, budget, fact.at)
        yield Step(fact, move, doubt)


def named(move: Move) -> str:
    """The move in a few words."""
    match move:
        case AskModel():
            return "ask the model" if move.offer_tools else "ask the model, without tools"
        case CallTools():
            return f"call {', '.join(call.name for call in move.calls)}"
        case Rest():
            return "rest"
        case End():
            return f"end: {move.outcome}"


def _doubt(state: RunState, move: Move | None, fact: Fact) -> str | None:
    match fact:
        case ModelReplied() if fact.finish != "cancelled" and not isinstance(move, AskModel):
            return f"the model replied, where the next move was to {_to(move)}"
        case ToolStarted() | ToolReturned() | ApprovalAsked() | ClientAsked():
            if fact.call_id not in {call.id for call in state.open_calls}:
                return f"no call {fact.call_id} of {fact.name} was open"
        case RunEnded():
            if (fact.outcome == "success") != (move == End("success")):
                return f"the run ended in {fact.outcome}, where the next move was to {_to(move)}"
        case _:
            pass
    return None


def _to(move: Move | None) -> str:
    return "begin" if move is None else named(move)

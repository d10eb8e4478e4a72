"""What people say to a run that goes on, or that rests and waits for them."""

from __future__ import annotations

from typing import assert_never

import msgspec

from agentrt.errors import SettingInvalid
from agentrt.events import ApprovalGiven, Fact, ToolReturned
from agentrt.messages import ToolCall
from agentrt.runs.state import RunState
from agentrt.surrogates import mended_text


class Approved(msgspec.Struct, frozen=True):
    """The call may run."""

    call_id: str


class Denied(msgspec.Struct, frozen=True):
    """The call may not run; the model is told the reason."""

    call_id: str
    reason: str = ""


class Returned(msgspec.Struct, frozen=True):
    """The result of a call that the client ran (`@tool(run_in="client")`), in the text that the model reads."""

    call_id: str
    content: str
    error: bool = False


Decision = Approved | Denied | Returned


def decided(state: RunState, decision: Decision, by: str | None = None) -> Fact:
    """The fact that somebody decided so. The first answer counts: a call that waits no more takes none.

    Raises:
        SettingInvalid: no such call waits for that.
    """
    _check(decision, by)
    call = _waiting(state, decision)
    match decision:
        case Approved():
            return ApprovalGiven(call_id=call.id, approved=True, by=by)
        case Denied():
            return ApprovalGiven(call_id=call.id, approved=False, reason=mended_text(decision.reason), by=by)
        case Returned():
            status, code = ("error", "client_failed") if decision.error else ("ok", None)
            content = mended_text(decision.content)
            return ToolReturned(call_id=call.id, name=call.name, status=status, content=content, code=code)  # type: ignore[arg-type]
        case _:
            assert_never(decision)


def _check(decision: object, by: object) -> None:
    if not isinstance(decision, Decision):
        raise SettingInvalid(f"expected Approved(...), Denied(...) or Returned(...), and got {decision!r:.80}")
    text = decision.content if isinstance(decision, Returned) else getattr(decision, "reason", "")
    if not (isinstance(decision.call_id, str) and isinstance(text, str) and isinstance(by, str | None)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SettingInvalid(f"expected texts, and got {decision!r:.80} by {by!r:.80}")


def _waiting(state: RunState, decision: Decision) -> ToolCall:
    given = isinstance(decision, Returned)
    wanted = state.handed_out if given else state.waiting - state.handed_out
    waits = {call.id: call for call in state.open_calls if call.id in wanted}
    if decision.call_id in waits:
        return waits[decision.call_id]
    what = "a result" if given else "a decision"
    waiting = ", ".join(sorted(waits)) or "none"
    raise SettingInvalid(f'no call "{decision.call_id}" waits for {what}; waiting for one: {waiting}')

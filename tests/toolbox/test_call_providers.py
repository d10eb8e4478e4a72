"""What a call tells of the provider it went to."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from agentrt.errors import ProviderThrottled
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome


def call(made: Tool[Any], arguments: str = "{}") -> ToolOutcome:
    async def main() -> ToolOutcome:
        return await Caller().call(made, arguments, Context(None))

    return run_virtual(main())


def raising(error: BaseException) -> Tool[object]:
    async def failing() -> None:
        raise error

    return tool(failing)


THROTTLED = ProviderThrottled("slow down", retry_after=3)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (THROTTLED, ToolOutcome("error", "slow down", "provider_rate_limited", error=THROTTLED)),
        (
            ExceptionGroup("", [ExceptionGroup("", [THROTTLED])]),
            ToolOutcome("error", "slow down", "provider_rate_limited", error=THROTTLED, alone=False),
        ),
        (
            ExceptionGroup("", [THROTTLED, KeyError("x")]),
            ToolOutcome("error", "slow down; KeyError: 'x'", "tool_failed"),
        ),
    ],
)
def test_a_providers_error_is_kept_for_its_gate(
    raised: Exception, told: ToolOutcome, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(raising(raised)) == told
    assert bool(caplog.records) == (told.error is None), "it is no fault of the tool's, and no news for the log"


@pytest.mark.parametrize("asked", [nan, inf, -1.0, "3"])
def test_a_pause_that_is_none_is_left_out(asked: Any) -> None:
    told = call(raising(ProviderThrottled("slow down", retry_after=asked))).error
    assert told is not None
    assert told.retry_after is None


def test_arguments_are_looked_at_without_a_call() -> None:
    @tool
    async def count(limit: int) -> None:
        raise AssertionError

    caller = Caller()
    assert caller.refused(count, '{"limit": 1}') is None
    assert caller.refused(count, '{"limit": "many"}') == call(count, '{"limit": "many"}')

"""What replies cost, and budgets of money."""

from __future__ import annotations

import pytest

from agentrt import Budget
from agentrt.errors import BudgetExceeded, SettingInvalid
from agentrt.prices import Price
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, assert_valid, world

DEAR = {"openai:scripted": Price(input=1_000.0, output=10_000.0)}
"""A reply of 10 tokens for 5 costs 0.01 + 0.05 US dollars."""

WAIT = reply(calls=[call("wait", seconds=0.1)])


def test_an_answer_says_what_it_cost_where_prices_are_known() -> None:
    async def main() -> None:
        async with world(ScriptedModel([WAIT, "Done."]), prices=DEAR) as runtime:
            answer = await runtime.start(CLERK, "Wait.").answer()
            assert answer.usage.usd == pytest.approx(0.12)
        async with world(ScriptedModel(["Done."])) as runtime:
            assert (await runtime.start(CLERK, "Wait.").answer()).usage.usd == 0.0

    run_virtual(main())


def test_a_run_ends_when_its_money_is_spent() -> None:
    async def main() -> None:
        async with world(ScriptedModel([WAIT, WAIT, WAIT]), prices=DEAR) as runtime:
            run = runtime.start(CLERK, "Wait.", budget=Budget(usd=0.12))
            with pytest.raises(BudgetExceeded, match=r"0\.1200 of 0\.1200 US dollars") as failed:
                await run.answer()
            assert run.state.turns == 2
            assert_valid(failed.value.answer.messages)

    run_virtual(main())


def test_a_budget_of_money_needs_a_price_for_every_model() -> None:
    async def main() -> None:
        async with world(ScriptedModel([])) as runtime:
            with pytest.raises(SettingInvalid, match=r'price of "openai:scripted" is not known; say it: Runtime\('):
                runtime.start(CLERK, "Wait.", budget=Budget(usd=1.0))
            assert await runtime.journal.runs() == []

    run_virtual(main())


@pytest.mark.parametrize("usd", [0.0, -1.0, float("nan")])
def test_a_budget_of_no_money_is_none(usd: float) -> None:
    with pytest.raises(SettingInvalid, match="more than 0 US dollars"):
        Budget(usd=usd)
